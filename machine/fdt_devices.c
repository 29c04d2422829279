/*
 * fdt_devices.c: UARTs, virtio-mmio slots, IOMMUs, power, QEMU's firmware configuration device.
 */
#include "fdt_machine.h"

#include <lib/bytes.h>

enum { PORT_LIMIT = 0x10000, CONFIGURATION_SIZE = 24 };

enum { /* sifive,test: written to its first register */
       TEST_PASS = 0x5555,
       TEST_RESET = 0x7777,
};

/* ---- UARTs -------------------------------------------------------------------------------------------- */

/* clock-frequency, or that of the fixed clock which `clocks` names first. */
static uint32_t clock_of(const struct fdt_reader *reader)
{
    struct fdt_value clocks = fdt_own(reader, "clocks");
    uint64_t frequency = 0;

    if (!fdt_value_number(fdt_own(reader, "clock-frequency"), &frequency) && clocks.at != NULL) {
        uint32_t clock = fdt_find_phandle(&reader->fdt, fdt_cell(clocks, 0, 0));
        if (clock != FDT_NO_NODE)
            (void)fdt_value_number(fdt_property(&reader->fdt, clock, "clock-frequency"), &frequency);
    }
    return frequency <= UINT32_MAX ? (uint32_t)frequency : 0;
}

static void describe_uart(struct fdt_reader *reader, enum uart_kind kind)
{
    struct machine *machine = reader->machine;
    uint32_t shift = fdt_own_cell(reader, "reg-shift", 0);
    uint32_t width = fdt_own_cell(reader, "reg-io-width", kind == UART_NS16550 ? 1 : 4);
    uint64_t base, size;

    if (machine->uart_count == MACHINE_MAX_UARTS || !fdt_registers(reader, 0, 8, &base, &size))
        return;
    if (shift > 4 || (width != 1 && width != 2 && width != 4) || (kind == UART_NS16550 && size < 8u << shift)) {
        fdt_complain(reader, "%s: registers of %u bytes, 1 << %u apart, in 0x%llx bytes are impossible; it is ignored",
                     FDT_NODE_NAME(reader), width, shift, (unsigned long long)size);
        return;
    }
    /* microvm's ISA serial port has its port number where an address should be. */
    bool port = base < PORT_LIMIT && reader->has_ports;
    uint32_t known = machine->uart_count;
    struct machine_uart *uart = machine_add_uart(machine, port ? ADDRESS_PORT : ADDRESS_MEMORY, base);
    if (uart == NULL)
        return;
    if (machine->uart_count != known || uart->kind == UART_UNKNOWN) {
        uart->kind = kind;
        uart->registers.access_bytes = (uint8_t)width;
        uart->register_shift = (uint8_t)shift;
        uart->clock_hz = clock_of(reader);
        uart->baud = fdt_own_cell(reader, "current-speed", 0);
        uart->line = fdt_line(reader, 0);
    }
    if (reader->node.offset == reader->stdout_node) {
        uart->console = true;
        if (reader->stdout_baud != 0)
            uart->baud = reader->stdout_baud;
    }
}

/* ---- virtio-mmio and fw_cfg ----------------------------------------------------------------------------- */

static void describe_virtio(struct fdt_reader *reader)
{
    uint64_t base, size;

    /* The register layout ends at 0x100, where configuration space begins [virtio 1.2 §4.2.2]. */
    if (!fdt_registers(reader, 0, 0x100, &base, &size))
        return;
    machine_add_virtio_slot(reader->machine, base, size > UINT32_MAX ? UINT32_MAX : (uint32_t)size,
                            fdt_line(reader, 0));
}

static void describe_configuration(struct fdt_reader *reader)
{
    uint64_t base, size;

    if (fdt_registers(reader, 0, CONFIGURATION_SIZE, &base, &size))
        reader->machine->fw_cfg =
            (struct machine_register){.space = ADDRESS_MEMORY, .access_bytes = 8, .address = base};
}

/* ---- IOMMUs ---------------------------------------------------------------------------------------------- */

static void collect_virtio_iommu(struct fdt_reader *reader, struct fdt_landmark *landmark)
{
    uint32_t segment =
        fdt_cell(fdt_property(&reader->fdt, reader->levels[reader->depth - 1].node, "linux,pci-domain"), 0, 0);
    uint32_t where = fdt_cell(reader->node.reg, 0, UINT32_MAX); /* phys.hi: bus 23:16, device 15:11, function 10:8 */

    if (where == UINT32_MAX || segment > UINT16_MAX) {
        fdt_complain(reader, "%s: its reg names no PCI function; it is ignored", FDT_NODE_NAME(reader));
        return;
    }
    struct machine_iommu *iommu =
        machine_add_iommu_pci(reader->machine, IOMMU_VIRTIO, (uint16_t)segment, (uint16_t)(where >> 8));
    if (iommu != NULL) {
        iommu->id = landmark->phandle;
        landmark->iommu = (uint32_t)(iommu - reader->machine->iommus);
    }
}

/* Added in the first walk, because a host bridge's iommu-map may come before its IOMMU. */
void fdt_collect_iommu(struct fdt_reader *reader, struct fdt_landmark *landmark)
{
    struct machine_iommu *iommu;
    uint64_t base, size;

    if (landmark->kind == KIND_VIRTIO_IOMMU)
        collect_virtio_iommu(reader, landmark);
    if (landmark->kind != KIND_SMMUV3 && landmark->kind != KIND_RISCV_IOMMU)
        return;
    if (fdt_reg(reader, reader->node.reg, 0, &base, &size) != FDT_REG_OK || size < 4096)
        return;
    iommu = machine_add_iommu(reader->machine, landmark->kind == KIND_SMMUV3 ? IOMMU_SMMUV3 : IOMMU_RISCV, base);
    if (iommu == NULL)
        return;
    iommu->size = size;
    iommu->id = landmark->phandle;
    iommu->coherent_walks = reader->levels[reader->depth].coherent;
    iommu->event = iommu->command = iommu->error = MACHINE_LINE_NONE;
    landmark->iommu = (uint32_t)(iommu - reader->machine->iommus);
}

static void describe_iommu(struct fdt_reader *reader, const struct fdt_landmark *landmark)
{
    uint64_t base, size;

    if (landmark->iommu == UINT32_MAX) {
        (void)fdt_registers(reader, 0, 4096, &base, &size); /* says what is wrong */
        return;
    }
    struct machine_iommu *iommu = &reader->machine->iommus[landmark->iommu];
    if (landmark->kind == KIND_SMMUV3) { /* positions are those of the arm,smmu-v3 binding */
        iommu->event = fdt_named_line(reader, "eventq", 0);
        iommu->command = fdt_named_line(reader, "cmdq-sync", 2);
        iommu->error = fdt_named_line(reader, "gerror", 3);
    } else if (landmark->kind == KIND_RISCV_IOMMU) { /* command queue first [riscv,iommu binding] */
        iommu->command = fdt_line(reader, 0);
        iommu->event = fdt_line(reader, 1);
    }
}

/* ---- Power ------------------------------------------------------------------------------------------------ */

static void describe_psci(struct fdt_reader *reader)
{
    struct fdt_value method = fdt_own(reader, "method");

    if (fdt_string_list_index(method, "hvc") == 0)
        reader->machine->power.psci = CONDUIT_HVC;
    else if (fdt_string_list_index(method, "smc") == 0)
        reader->machine->power.psci = CONDUIT_SMC;
    else
        fdt_complain(reader, "%s: its method is neither hvc nor smc; it is ignored", FDT_NODE_NAME(reader));
}

static void describe_sifive_test(struct fdt_reader *reader)
{
    struct machine_power *power = &reader->machine->power;
    uint64_t base, size;

    if (!fdt_registers(reader, 0, 4, &base, &size))
        return;
    power->poweroff_register = (struct machine_register){.space = ADDRESS_MEMORY, .access_bytes = 4, .address = base};
    power->reboot_register = power->poweroff_register;
    power->poweroff_value = TEST_PASS;
    power->reboot_value = TEST_RESET;
    power->sifive_test = true;
}

/* A value to write at an offset of a syscon [syscon-poweroff, syscon-reboot bindings]. */
static void describe_syscon(struct fdt_reader *reader, struct machine_register *where, uint32_t *what)
{
    const struct fdt_landmark *syscon = fdt_landmark_by_phandle(reader, fdt_own_cell(reader, "regmap", 0));
    uint32_t offset = fdt_own_cell(reader, "offset", 0);
    uint32_t mask = fdt_own_cell(reader, "mask", UINT32_MAX);

    if (reader->machine->power.sifive_test)
        return;
    if (syscon == NULL || syscon->base == 0 || offset % 4 != 0 || syscon->base > UINT64_MAX - offset) {
        fdt_complain(reader, "%s: its regmap and offset 0x%x lead to no register; it is ignored", FDT_NODE_NAME(reader),
                     offset);
        return;
    }
    *where = (struct machine_register){.space = ADDRESS_MEMORY, .access_bytes = 4, .address = syscon->base + offset};
    *what = fdt_own_cell(reader, "value", mask) & mask; /* without a value the mask is written */
}

void fdt_describe_device(struct fdt_reader *reader)
{
    struct machine_power *power = &reader->machine->power;

    switch (reader->node.kind) {
    case KIND_PL011:
        describe_uart(reader, UART_PL011);
        break;
    case KIND_NS16550:
        describe_uart(reader, UART_NS16550);
        break;
    case KIND_SIFIVE_UART:
        describe_uart(reader, UART_SIFIVE);
        break;
    case KIND_VIRTIO_MMIO:
        describe_virtio(reader);
        break;
    case KIND_FW_CFG:
        describe_configuration(reader);
        break;
    case KIND_PSCI:
        describe_psci(reader);
        break;
    case KIND_PSCI_OLD:
        fdt_complain(reader, "%s: PSCI 0.1 has no fixed function numbers; it is ignored", FDT_NODE_NAME(reader));
        break;
    case KIND_SIFIVE_TEST:
        describe_sifive_test(reader);
        break;
    case KIND_SYSCON_POWEROFF:
        describe_syscon(reader, &power->poweroff_register, &power->poweroff_value);
        break;
    case KIND_SYSCON_REBOOT:
        describe_syscon(reader, &power->reboot_register, &power->reboot_value);
        break;
    case KIND_RTC:
        reader->machine->has_cmos = true;
        break;
    case KIND_SMMUV3:
    case KIND_RISCV_IOMMU: {
        const struct fdt_landmark *landmark = fdt_landmark_by_node(reader, reader->node.offset);
        if (landmark != NULL)
            describe_iommu(reader, landmark);
        break;
    }
    default:
        break;
    }
}
