/*
 * fdt_cpus.c: CPUs and their timers [Devicetree Specification 0.4 §3.8; arm,armv8-timer, riscv,cpus bindings].
 */
#include "fdt_machine.h"

#include <lib/bytes.h>
#include <lib/string.h>

/* The affinity fields of MPIDR_EL1; arm64 trees have nothing else in a CPU's reg. */
#define MPIDR_AFFINITY UINT64_C(0xff00ffffff)

/* ---- The RISC-V ISA ------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    uint32_t bit;
} extensions[] = {
    {"sstc", MACHINE_ISA_SSTC},     {"svpbmt", MACHINE_ISA_SVPBMT}, {"ssaia", MACHINE_ISA_SSAIA},
    {"zicbom", MACHINE_ISA_ZICBOM}, {"svadu", MACHINE_ISA_SVADU},
};

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 'a' - 'A') : c;
}

/* One name out of an ISA string, perhaps with a version behind it ("sstc1p0"). */
static uint32_t extension_bit(const char *name, size_t length)
{
    while (length != 0 && name[length - 1] >= '0' && name[length - 1] <= '9') {
        length--;
        if (length > 1 && lower(name[length - 1]) == 'p' && name[length - 2] >= '0' && name[length - 2] <= '9')
            length--;
    }
    for (size_t i = 0; i < sizeof extensions / sizeof extensions[0]; i++) {
        const char *known = extensions[i].name;
        size_t at = 0;
        while (at < length && known[at] != '\0' && lower(name[at]) == known[at])
            at++;
        if (at == length && known[at] == '\0')
            return extensions[i].bit;
    }
    return 0;
}

/* "rv64imafdch_zicsr_sstc": single letters, then names that underscores part. The first name may follow the
 * letters at once [RISC-V Unprivileged, ISA Extension Naming Conventions]. */
static uint32_t isa_string_bits(const char *isa)
{
    const char *at = isa + 4;
    uint32_t bits = 0;

    while (*at != '\0' && *at != '_' && lower(*at) != 's' && lower(*at) != 'x' && lower(*at) != 'z')
        at++;
    while (*at != '\0') {
        const char *end = at;
        while (*end != '\0' && *end != '_')
            end++;
        bits |= extension_bit(at, (size_t)(end - at));
        at = *end == '_' ? end + 1 : end;
    }
    return bits;
}

/* False when the hart cannot run our code. */
static bool isa_of(struct fdt_reader *reader, uint32_t *bits)
{
    struct fdt_value list = fdt_own(reader, "riscv,isa-extensions");
    struct fdt_value base = fdt_own(reader, "riscv,isa-base");
    const char *isa = fdt_string(base.at != NULL ? base : fdt_own(reader, "riscv,isa"));

    *bits = 0;
    if (isa == NULL || lower(isa[0]) != 'r' || lower(isa[1]) != 'v' || isa[2] != '6' || isa[3] != '4') {
        fdt_complain(reader, "%s: its ISA \"%s\" is not rv64; it is not used", FDT_NODE_NAME(reader),
                     fdt_printable(isa == NULL ? "" : isa).text);
        return false;
    }
    if (list.at == NULL) {
        *bits = isa_string_bits(isa);
        return true;
    }
    uint32_t offset = 0;
    const char *each;
    while ((each = fdt_next_string(list, &offset)) != NULL)
        *bits |= extension_bit(each, strlen(each));
    return true;
}

/* ---- CPU nodes -------------------------------------------------------------------------------------- */

static bool is_riscv(const struct fdt_reader *reader)
{
    return fdt_string_list_has(reader->node.compatible, "riscv") || fdt_own(reader, "riscv,isa").at != NULL ||
           fdt_own(reader, "riscv,isa-base").at != NULL;
}

void fdt_collect_cpu(struct fdt_reader *reader)
{
    const struct fdt_level *parent = &reader->levels[reader->depth - 1];
    bool enabled = fdt_okay(reader->node.status);
    uint64_t id, frequency;
    uint32_t bits = 0;

    reader->cpu = UINT32_MAX;
    if (fdt_string_list_index(reader->node.status, "fail") == 0)
        return;
    if (parent->address_cells == 0 || parent->address_cells > FDT_MAX_CELLS ||
        !fdt_number(reader->node.reg, 0, parent->address_cells, &id)) {
        fdt_complain(reader, "%s: its reg is no CPU number; it is ignored", FDT_NODE_NAME(reader));
        return;
    }
    bool riscv = is_riscv(reader);
    if (!riscv && (id & ~MPIDR_AFFINITY) != 0) {
        fdt_complain(reader, "%s: 0x%llx is not an MPIDR; it is ignored", FDT_NODE_NAME(reader),
                     (unsigned long long)id);
        return;
    }
    if (fdt_value_number(fdt_own(reader, "timebase-frequency"), &frequency) && reader->machine->timebase_hz == 0)
        reader->machine->timebase_hz = frequency;
    if (riscv && enabled)
        enabled = isa_of(reader, &bits);

    struct machine_cpu *cpu = machine_add_cpu(reader->machine, id);
    if (cpu == NULL)
        return;
    uint32_t index = (uint32_t)(cpu - reader->machine->cpus);
    if (reader->cpu_interrupts[index] != FDT_CPU_NOT_SEEN) {
        fdt_complain(reader, "%s: CPU 0x%llx was described before; it is ignored", FDT_NODE_NAME(reader),
                     (unsigned long long)id);
        return;
    }
    reader->cpu = index;
    reader->cpu_interrupts[index] = 0;
    cpu->enabled = enabled;
    cpu->node = fdt_own_cell(reader, "numa-node-id", cpu->node);
    if (riscv && enabled) {
        reader->machine->isa = reader->isa_known ? reader->machine->isa & bits : bits;
        reader->isa_known = true;
    }
}

void fdt_collect_cpu_interrupts(struct fdt_reader *reader)
{
    if (reader->cpu != UINT32_MAX && reader->node.phandle != 0)
        reader->cpu_interrupts[reader->cpu] = reader->node.phandle;
}

/* Controllers name the harts in their order, so the search goes on where the last one ended. */
uint32_t fdt_cpu_by_interrupts(struct fdt_reader *reader, uint32_t phandle)
{
    uint32_t count = reader->machine->cpu_count;

    if (phandle == 0 || phandle == UINT32_MAX)
        return UINT32_MAX;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t cpu = (reader->cpu_hint + i) % count;
        if (reader->cpu_interrupts[cpu] == phandle) {
            reader->cpu_hint = cpu;
            return cpu;
        }
    }
    return UINT32_MAX;
}

/* ---- The arm64 timer ---------------------------------------------------------------------------------- */

void fdt_describe_arm_timer(struct fdt_reader *reader)
{
    struct machine_generic_timer *timer = &reader->machine->generic_timer;

    timer->secure_physical = fdt_named_line(reader, "sec-phys", 0);
    timer->physical = fdt_named_line(reader, "phys", 1);
    timer->virtual_ = fdt_named_line(reader, "virt", 2);
    timer->hypervisor = fdt_named_line(reader, "hyp-phys", 3);
    timer->frequency_hz = fdt_own_cell(reader, "clock-frequency", 0);
}

void fdt_describe_arm_timer_memory(struct fdt_reader *reader)
{
    uint64_t base, size;

    if (fdt_registers(reader, 0, 4096, &base, &size))
        reader->machine->generic_timer.counter_control = base;
}
