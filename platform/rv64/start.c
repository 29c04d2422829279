/*
 * start.c: starts the other harts by the firmware's hart state management [SBI 1.0 §9].
 */
#include "controllers.h"
#include "local.h"
#include "sbi.h"

#include <lib/log.h>
#include <platform/mmu.h>

struct secondary_translation secondary_translation;
static const struct machine *machine_known;

bool cpu_start_prepare(const struct machine *machine)
{
    machine_known = machine;
    if (!sbi_has(SBI_HARTS)) {
        log_warn("cpu", "the firmware cannot start other harts: it has no hart state management (SBI HSM); they stay "
                        "off");
        return false;
    }
    secondary_translation = (struct secondary_translation){
        .satp = csr_read(satp),
        .offset = (uintptr_t)image_start - virtual_to_physical(image_start),
    };
    return true;
}

bool cpu_start_allocate(struct cpu *cpu)
{
    return imsic_prepare_cpu(machine_known, cpu);
}

const char *cpu_start(struct cpu *cpu)
{
    arch_barrier_full();
    return sbi_hart_start(cpu->hardware_id, virtual_to_physical(secondary_entry), virtual_to_physical(cpu));
}

void cpu_start_done(bool all)
{
    (void)all;
}
