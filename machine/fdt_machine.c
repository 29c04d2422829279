/*
 * fdt_machine.c: fdt_read, the device tree as a reader of the machine. How it goes about it: fdt_machine.h.
 * `qemu-system-aarch64 -M virt,dumpdtb=FILE` shows what it reads; on microvm the tree is in fw_cfg, etc/fdt.
 */
#include "fdt_machine.h"

#include <machine/readers.h>
#include <lib/bytes.h>
#include <lib/string.h>
#include <lib/text.h>

/* Without #address-cells and #size-cells a node's children have these [§2.3.5]. */
enum { DEFAULT_ADDRESS_CELLS = 2, DEFAULT_SIZE_CELLS = 1 };

static const struct {
    const char *compatible;
    enum fdt_kind kind;
} kinds[] = {
    {"virtio,mmio", KIND_VIRTIO_MMIO}, /* the most frequent first */
    {"riscv,cpu-intc", KIND_CPU_INTERRUPTS},
    {"pci-host-ecam-generic", KIND_PCI_ECAM},
    {"arm,gic-v3", KIND_GIC3},
    {"arm,gic-v3-its", KIND_ITS},
    {"arm,gic-v2m-frame", KIND_V2M},
    {"arm,cortex-a15-gic", KIND_GIC2},
    {"arm,gic-400", KIND_GIC2},
    {"arm,cortex-a9-gic", KIND_GIC2},
    {"arm,cortex-a7-gic", KIND_GIC2},
    {"arm,gic-v2", KIND_GIC2},
    {"arm,armv8-timer", KIND_ARM_TIMER},
    {"arm,armv7-timer", KIND_ARM_TIMER},
    {"arm,armv7-timer-mem", KIND_ARM_TIMER_MEMORY},
    {"arm,smmu-v3", KIND_SMMUV3},
    {"arm,pl011", KIND_PL011},
    {"arm,sbsa-uart", KIND_PL011},
    {"arm,psci-1.0", KIND_PSCI},
    {"arm,psci-0.2", KIND_PSCI},
    {"arm,psci", KIND_PSCI_OLD},
    {"riscv,plic0", KIND_PLIC},
    {"sifive,plic-1.0.0", KIND_PLIC},
    {"thead,c900-plic", KIND_PLIC},
    {"riscv,aplic", KIND_APLIC},
    {"riscv,imsics", KIND_IMSIC},
    {"riscv,iommu", KIND_RISCV_IOMMU},
    {"virtio,pci-iommu", KIND_VIRTIO_IOMMU},
    {"intel,ce4100-ioapic", KIND_IO_APIC},
    {"ns16550a", KIND_NS16550},
    {"ns16550", KIND_NS16550},
    {"snps,dw-apb-uart", KIND_NS16550},
    {"sifive,uart0", KIND_SIFIVE_UART},
    {"sifive,test0", KIND_SIFIVE_TEST},
    {"sifive,test1", KIND_SIFIVE_TEST},
    {"syscon", KIND_SYSCON},
    {"syscon-poweroff", KIND_SYSCON_POWEROFF},
    {"syscon-reboot", KIND_SYSCON_REBOOT},
    {"qemu,fw-cfg-mmio", KIND_FW_CFG},
    {"motorola,mc146818", KIND_RTC},
};

static enum fdt_kind kind_of(struct fdt_value compatible)
{
    uint32_t offset = 0;
    const char *each;

    while ((each = fdt_next_string(compatible, &offset)) != NULL)
        for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
            if (each[0] == kinds[i].compatible[0] && strcmp(each, kinds[i].compatible) == 0)
                return kinds[i].kind;
    return KIND_OTHER;
}

bool fdt_may_complain(struct fdt_reader *reader)
{
    if (reader->complaints == FDT_MAX_COMPLAINTS)
        log_warn("fdt", "there is more that cannot be used; it is not listed");
    return reader->complaints <= FDT_MAX_COMPLAINTS && reader->complaints++ < FDT_MAX_COMPLAINTS;
}

bool fdt_okay(struct fdt_value status)
{
    return status.at == NULL || fdt_string_list_index(status, "okay") == 0 || fdt_string_list_index(status, "ok") == 0;
}

struct fdt_value fdt_own(const struct fdt_reader *reader, const char *name)
{
    return fdt_property(&reader->fdt, reader->node.offset, name);
}

uint32_t fdt_own_cell(const struct fdt_reader *reader, const char *name, uint32_t otherwise)
{
    return fdt_cell(fdt_own(reader, name), 0, otherwise);
}

/* ---- Visiting ------------------------------------------------------------------------------------------- */

static bool is(const struct fdt_item *property, const char *name)
{
    return strcmp(property->name, name) == 0;
}

/* One property into the node and its level. The first letter decides which names are compared at all. */
static void note_property(struct fdt_node *node, struct fdt_level *level, const struct fdt_item *item)
{
    struct fdt_value value = {item->value, item->length};

    switch (item->name[0]) {
    case '#':
        if (is(item, "#address-cells")) {
            level->address_cells = fdt_cell(value, 0, DEFAULT_ADDRESS_CELLS);
        } else if (is(item, "#size-cells")) {
            level->size_cells = fdt_cell(value, 0, DEFAULT_SIZE_CELLS);
        } else if (is(item, "#interrupt-cells")) {
            node->interrupt_cells = fdt_cell(value, 0, 0);
            node->has_interrupt_cells = true;
        }
        break;
    case 'c':
        if (is(item, "compatible"))
            node->compatible = value;
        break;
    case 'd':
        if (is(item, "device_type"))
            node->device_type = value;
        else if (is(item, "dma-coherent"))
            level->coherent = true;
        else if (is(item, "dma-noncoherent"))
            level->coherent = false;
        break;
    case 'i':
        if (is(item, "interrupts"))
            node->interrupts = value;
        else if (is(item, "interrupt-parent"))
            level->interrupt_parent = fdt_cell(value, 0, 0);
        else if (is(item, "interrupts-extended"))
            node->interrupts_extended = value;
        else if (is(item, "interrupt-map"))
            node->has_interrupt_map = true;
        break;
    case 'l':
        if (is(item, "linux,phandle") && node->phandle == 0)
            node->phandle = fdt_cell(value, 0, 0);
        break;
    case 'p':
        if (is(item, "phandle"))
            node->phandle = fdt_cell(value, 0, 0);
        break;
    case 'r':
        if (is(item, "reg")) {
            node->reg = value;
        } else if (is(item, "ranges")) {
            level->ranges = value;
            level->has_ranges = true;
        }
        break;
    case 's':
        if (is(item, "status"))
            node->status = value;
        break;
    default:
        break;
    }
}

/* Reads the node whose begin token is `begin`; *offset stands behind that and moves behind the properties. */
static void read_node(struct fdt_reader *reader, const struct fdt_item *begin, uint32_t *offset)
{
    struct fdt_level *level = &reader->levels[reader->depth];
    struct fdt_node *node = &reader->node;
    uint32_t behind = *offset;
    struct fdt_item item;

    *level = (struct fdt_level){
        .node = begin->offset,
        .address_cells = DEFAULT_ADDRESS_CELLS,
        .size_cells = DEFAULT_SIZE_CELLS,
        .coherent = reader->depth != 0 && reader->levels[reader->depth - 1].coherent,
    };
    *node = (struct fdt_node){.offset = begin->offset, .name = begin->name};
    while (fdt_next(&reader->fdt, &behind, &item) == FDT_TOKEN_PROPERTY) {
        note_property(node, level, &item);
        *offset = behind;
    }
    node->kind = kind_of(node->compatible);
    level->pci = fdt_string_list_index(node->device_type, "pci") == 0 || node->kind == KIND_PCI_ECAM;
    level->takes_interrupts = node->has_interrupt_cells;
    if (node->kind == KIND_OTHER && node->has_interrupt_map && !level->pci)
        node->kind = KIND_NEXUS;
}

static bool is_cpu(const struct fdt_reader *reader)
{
    return reader->depth == 2 && fdt_string_list_index(reader->node.device_type, "cpu") == 0;
}

/* Calls `visit` for each node that is in use, parents first; what is below a disabled node is not in use. */
static void walk(struct fdt_reader *reader, void (*visit)(struct fdt_reader *reader))
{
    uint32_t offset = 0, depth = 0, disabled = UINT32_MAX; /* depth of the disabled node that we are below */
    enum fdt_token token;
    struct fdt_item item;

    while ((token = fdt_next(&reader->fdt, &offset, &item)) != FDT_TOKEN_END && token != FDT_TOKEN_BROKEN) {
        if (token == FDT_TOKEN_NODE) {
            if (depth < disabled) {
                reader->depth = depth;
                read_node(reader, &item, &offset);
                if (fdt_okay(reader->node.status) || is_cpu(reader))
                    visit(reader);
                else
                    disabled = depth;
            }
            depth++;
        } else if (token == FDT_TOKEN_END_NODE) {
            if (--depth == 0)
                break;
            if (depth == disabled)
                disabled = UINT32_MAX;
        }
    }
}

/* ---- Memory ----------------------------------------------------------------------------------------------- */

static void describe_memory(struct fdt_reader *reader)
{
    struct fdt_value usable = fdt_own(reader, "linux,usable-memory");
    uint32_t node = fdt_own_cell(reader, "numa-node-id", MACHINE_NO_NODE);
    enum fdt_reg_result result;
    uint64_t base, size;

    for (uint32_t i = 0; i < MACHINE_MAX_MEMORY_RANGES; i++) {
        result = fdt_reg(reader, usable.at != NULL ? usable : reader->node.reg, i, &base, &size);
        if (result == FDT_REG_NONE)
            break;
        if (result != FDT_REG_OK || size == 0)
            continue;
        machine_add_memory(reader->machine, base, size, MEMORY_USABLE);
        if (node != MACHINE_NO_NODE)
            machine_add_memory_node(reader->machine, base, size, node);
    }
}

/* A child of /reserved-memory. Without reg it only asks for memory from a driver's own pool: nothing to keep. */
static void describe_reserved_memory(struct fdt_reader *reader)
{
    uint64_t base, size;

    for (uint32_t i = 0; i < MACHINE_MAX_MEMORY_RANGES; i++) {
        enum fdt_reg_result result = fdt_reg(reader, reader->node.reg, i, &base, &size);
        if (result == FDT_REG_NONE)
            break;
        if (result == FDT_REG_OK)
            machine_add_memory(reader->machine, base, size, MEMORY_RESERVED);
    }
}

static void read_reservations(struct fdt_reader *reader)
{
    for (uint32_t i = 0; i < reader->fdt.reservation_count && i < MACHINE_MAX_MEMORY_RANGES; i++) {
        uint64_t base, size;
        fdt_reservation(&reader->fdt, i, &base, &size);
        machine_add_memory(reader->machine, base, size, MEMORY_RESERVED);
    }
    if (reader->fdt.reservation_count > MACHINE_MAX_MEMORY_RANGES)
        fdt_complain(reader, "%u memory reservations are more than %d; the rest is ignored",
                     reader->fdt.reservation_count, MACHINE_MAX_MEMORY_RANGES);
}

/* ---- /chosen ------------------------------------------------------------------------------------------------ */

static void read_command_line(struct fdt_reader *reader, struct fdt_value bootargs)
{
    char *to = reader->machine->command_line;
    uint32_t length = 0;

    if (bootargs.at == NULL || to[0] != '\0')
        return;
    for (; length < bootargs.length && bootargs.at[length] != '\0'; length++) {
        if (length == MACHINE_COMMAND_LINE_SIZE - 1) {
            fdt_complain(reader, "the command line is longer than %d bytes; the rest is ignored", length);
            break;
        }
        char c = (char)bootargs.at[length];
        to[length] = (c >= ' ' && c <= '~') || c == '\t' ? c : '?';
    }
    to[length] = '\0';
}

/* "/pl011@9000000" or "serial0:115200n8": where the console is, and at what speed. */
static void read_console(struct fdt_reader *reader, const char *path)
{
    const char *options = strchr(path, ':');
    uint64_t baud;

    reader->stdout_node = fdt_find_path(&reader->fdt, path, strlen(path));
    if (reader->stdout_node == FDT_NO_NODE) {
        fdt_complain(reader, "stdout-path \"%s\" leads nowhere; the console is guessed", fdt_printable(path).text);
        return;
    }
    if (options == NULL)
        return;
    uint32_t digits = 0;
    for (baud = 0; digits < 9 && options[1 + digits] >= '0' && options[1 + digits] <= '9'; digits++)
        baud = baud * 10 + (uint64_t)(options[1 + digits] - '0');
    reader->stdout_baud = (uint32_t)baud;
}

static void add_seed(struct machine *machine, struct fdt_value seed)
{
    uint32_t room = MACHINE_SEED_SIZE - machine->seed_size;
    uint32_t size = seed.length < room ? seed.length : room;

    if (seed.at == NULL || size == 0)
        return;
    memcpy(machine->seed + machine->seed_size, seed.at, size);
    machine->seed_size += size;
}

static void read_chosen(struct fdt_reader *reader)
{
    const struct fdt *fdt = &reader->fdt;
    uint32_t chosen = fdt_find_child(fdt, fdt_root(fdt), "chosen", 6);

    if (chosen == FDT_NO_NODE)
        return;
    read_command_line(reader, fdt_property(fdt, chosen, "bootargs"));
    const char *path = fdt_string(fdt_property(fdt, chosen, "stdout-path"));
    if (path == NULL)
        path = fdt_string(fdt_property(fdt, chosen, "linux,stdout-path"));
    if (path != NULL)
        read_console(reader, path);
    add_seed(reader->machine, fdt_property(fdt, chosen, "rng-seed"));
    add_seed(reader->machine, fdt_property(fdt, chosen, "kaslr-seed"));
    reader->probe_only = fdt_cell(fdt_property(fdt, chosen, "linux,pci-probe-only"), 0, 0) == 1;
    if (!fdt_value_number(fdt_property(fdt, chosen, "linux,initrd-start"), &reader->initrd_start) ||
        !fdt_value_number(fdt_property(fdt, chosen, "linux,initrd-end"), &reader->initrd_end))
        reader->initrd_start = reader->initrd_end = 0;
}

/* Is every byte RAM? Several ranges may do it together. True when the memory is not known at all. */
static bool in_memory(const struct machine *machine, uint64_t start, uint64_t end)
{
    bool known = false, moved = true;

    while (moved && start < end) {
        moved = false;
        for (uint32_t i = 0; i < machine->memory_count; i++) {
            const struct memory_range *range = &machine->memory[i];
            if (range->kind != MEMORY_USABLE || range->size == 0)
                continue;
            known = true;
            if (start >= range->base && start - range->base < range->size) {
                start = range->size - (start - range->base) < end - start ? range->base + range->size : end;
                moved = true;
            }
        }
    }
    return !known || start >= end;
}

/* After the second walk, when the memory is known. */
static void read_initrd(struct fdt_reader *reader)
{
    struct machine *machine = reader->machine;
    uint64_t start = reader->initrd_start, end = reader->initrd_end;

    if (start == end)
        return;
    if (start == 0 || start > end || !in_memory(machine, start, end)) {
        fdt_complain(reader, "the initial ramdisk from 0x%llx to 0x%llx does not lie in memory; it is ignored",
                     (unsigned long long)start, (unsigned long long)end);
        return;
    }
    machine->initrd = (struct machine_region){.base = start, .size = end - start};
    machine_add_memory(machine, start, end - start, MEMORY_INITRD);
}

/* ---- The reader ---------------------------------------------------------------------------------------------- */

static void collect(struct fdt_reader *reader)
{
    uint64_t frequency;

    if (is_cpu(reader))
        fdt_collect_cpu(reader);
    else if (reader->node.kind == KIND_CPU_INTERRUPTS)
        fdt_collect_cpu_interrupts(reader);
    else if (reader->node.kind != KIND_OTHER && reader->node.kind <= KIND_LAST_LANDMARK)
        fdt_collect_landmark(reader);
    else if (reader->depth == 1 && strcmp(reader->node.name, "cpus") == 0 &&
             fdt_value_number(fdt_own(reader, "timebase-frequency"), &frequency))
        reader->machine->timebase_hz = frequency;
}

static bool is_named(const char *name, const char *wanted)
{
    size_t length = strlen(wanted);

    return strncmp(name, wanted, length) == 0 && (name[length] == '\0' || name[length] == '@');
}

static void describe(struct fdt_reader *reader)
{
    enum fdt_kind kind = reader->node.kind;

    if (reader->depth == 1 && is_named(reader->node.name, "reserved-memory")) {
        /* Its children are in the root's addresses even where it forgot to say so [§3.5.1]. */
        reader->levels[1].has_ranges = true;
        reader->levels[1].ranges = (struct fdt_value){NULL, 0};
    } else if (reader->depth == 2 && is_named(fdt_node_name(&reader->fdt, reader->levels[1].node), "reserved-memory")) {
        describe_reserved_memory(reader);
    } else if (reader->depth == 1 && (fdt_string_list_index(reader->node.device_type, "memory") == 0 ||
                                      (reader->node.device_type.at == NULL && is_named(reader->node.name, "memory")))) {
        describe_memory(reader);
    } else if (kind == KIND_PCI_ECAM) {
        fdt_describe_host_bridge(reader);
    } else if (kind == KIND_ARM_TIMER) {
        fdt_describe_arm_timer(reader);
    } else if (kind == KIND_ARM_TIMER_MEMORY) {
        fdt_describe_arm_timer_memory(reader);
    } else if (kind >= KIND_GIC2 && kind <= KIND_IO_APIC) {
        const struct fdt_landmark *landmark = fdt_landmark_by_node(reader, reader->node.offset);
        if (landmark != NULL)
            fdt_describe_controller(reader, landmark);
    } else if (kind != KIND_OTHER) {
        fdt_describe_device(reader);
    }
}

static void read_model(struct fdt_reader *reader)
{
    const struct fdt *fdt = &reader->fdt;
    const char *model = fdt_string(fdt_property(fdt, fdt_root(fdt), "model"));

    if (model == NULL)
        model = fdt_string(fdt_property(fdt, fdt_root(fdt), "compatible"));
    if (model != NULL && reader->machine->model[0] == '\0')
        text_copy(reader->machine->model, fdt_printable(model).text, MACHINE_NAME_SIZE);
}

enum status fdt_read(struct machine *machine, const void *blob, size_t size)
{
    struct fdt_reader reader = {.machine = machine, .cpu = UINT32_MAX, .stdout_node = FDT_NO_NODE};
    enum status status = fdt_open(&reader.fdt, blob, size);

    if (status != STATUS_OK)
        return status;
    machine->has_device_tree = true;
    for (uint32_t i = 0; i < MACHINE_MAX_CPUS; i++)
        reader.cpu_interrupts[i] = FDT_CPU_NOT_SEEN;
    read_model(&reader);
    read_reservations(&reader);
    read_chosen(&reader);
    walk(&reader, collect);
    fdt_order_lines(&reader);
    reader.describing = true;
    walk(&reader, describe);
    fdt_check_windows(&reader);
    read_initrd(&reader);
    if (machine->timebase_hz == 0 && reader.isa_known)
        fdt_complain(&reader, "there is no timebase-frequency; the time's unit is unknown");
    return STATUS_OK;
}
