/*
 * imsic.c: the boot hart's incoming message controller, supervisor interrupt file, `-M virt,aia=aplic-imsic`
 * [RISC-V AIA 1.0 §3]. A device interrupts by writing an identity to the file's page.
 */
#include "controllers.h"
#include "csr.h"

#include <lib/log.h>
#include <platform/interrupt.h>
#include <platform/mmu.h>

enum { /* through siselect and sireg, §3.8; on rv64 only even numbers of 0x80 and above, 64 bits each */
       DELIVERY = 0x70,
       DELIVERY_ON = 1,
       THRESHOLD = 0x72,
       PENDING = 0x80,
       ENABLED = 0xc0,

       CLAIM_IDENTITY_SHIFT = 16, /* in stopei, §3.10 */
       CLAIM_IDENTITY_MASK = 0x7ff,
       MAX_IDENTITIES = 2047,
       SETTLE_TURNS = 8,
};

static struct {
    uint64_t address; /* 0: none */
    uint32_t identities, hart_index;
} file;

static void set_register(uint32_t number, uint64_t value)
{
    csr_write(CSR_SISELECT, number);
    csr_write(CSR_SIREG, value);
}

/* A hart's file lies at a base plus its group and its number in the group, each shifted to its place [§3.6]. */
static uint32_t index_of(const struct machine_imsic *layout, uint64_t address)
{
    unsigned hart_shift = PAGE_SHIFT + layout->guest_index_bits;
    uint64_t group_mask = (UINT64_C(1) << (layout->group_index_bits & 63)) - 1;
    uint64_t hart_mask = (UINT64_C(1) << (layout->hart_index_bits & 63)) - 1;
    uint64_t group = address >> (layout->group_index_shift & 63) & group_mask;
    uint64_t hart = address >> (hart_shift & 63) & hart_mask;

    return (uint32_t)(group << (layout->hart_index_bits & 63) | hart);
}

bool imsic_init(const struct machine *machine, uint32_t cpu)
{
    uint64_t address = machine->cpus[cpu].imsic_base, before;
    uint32_t identities = machine->imsic.id_count;

    if (!machine->imsic.present)
        return false;
    if (address == 0 || identities == 0 || identities > MAX_IDENTITIES) {
        log_warn("imsic", "hart %llu has its file at 0x%llx with %u identities; it is not used",
                 (unsigned long long)machine->cpus[cpu].hardware_id, (unsigned long long)address, identities);
        return false;
    }
    if (!csr_try_swap(CSR_SISELECT, DELIVERY, &before) || !csr_try_swap(CSR_SIREG, 0, &before)) {
        log_warn("imsic", "siselect or sireg traps: the CPU lacks Ssaia, or the firmware keeps it to itself");
        return false;
    }
    for (uint32_t first = 0; first <= identities; first += 64) {
        set_register(ENABLED + first / 32, 0);
        set_register(PENDING + first / 32, 0);
    }
    set_register(THRESHOLD, 0);
    set_register(DELIVERY, DELIVERY_ON);
    if (csr_read(CSR_SIREG) != DELIVERY_ON) {
        log_warn("imsic", "the file at 0x%llx does not deliver", (unsigned long long)address);
        return false;
    }
    file.address = address;
    file.identities = identities;
    file.hart_index = index_of(&machine->imsic, address);
    return true;
}

bool imsic_present(void)
{
    return file.address != 0;
}

uint64_t imsic_address(void)
{
    return file.address;
}

uint32_t imsic_hart_index(void)
{
    return file.hart_index;
}

uint32_t imsic_identity(uint32_t route)
{
    return route < file.identities ? route + 1 : 0;
}

/* QEMU's file (7.2; mended later) changes its state and drives the hart's interrupt without a lock against messages
 * that arrive. One that comes while a register is written can leave the interrupt off with something to claim, or,
 * during a claim, on with nothing to claim: for ever, were it not for this. The file looks again whenever a register
 * is written, also with the same value. Where the two agree this costs two reads. */
void imsic_settle(void)
{
    for (unsigned turn = 0; turn < SETTLE_TURNS; turn++) {
        bool pending = csr_read(CSR_STOPEI) != 0;
        if (pending == ((csr_read(sip) >> INTERRUPT_EXTERNAL & 1) != 0))
            return;
        set_register(DELIVERY, DELIVERY_ON);
    }
}

static uint64_t select_bit(uint32_t array, uint32_t route)
{
    uint32_t identity = imsic_identity(route);

    csr_write(CSR_SISELECT, array + identity / 64 * 2);
    return UINT64_C(1) << identity % 64;
}

void imsic_mask(uint32_t route)
{
    csr_clear(CSR_SIREG, select_bit(ENABLED, route));
    imsic_settle();
}

void imsic_unmask(uint32_t route)
{
    csr_set(CSR_SIREG, select_bit(ENABLED, route));
    imsic_settle();
}

void imsic_forget(uint32_t route)
{
    csr_clear(CSR_SIREG, select_bit(PENDING, route));
    imsic_settle();
}

/* Writing stopei claims what reading it shows. Only enabled identities show, and those are routes. */
uint32_t imsic_claim(void)
{
    uint32_t identity = (uint32_t)(csr_swap(CSR_STOPEI, 0) >> CLAIM_IDENTITY_SHIFT & CLAIM_IDENTITY_MASK);

    return identity == 0 || identity > INTERRUPT_MAX_ROUTES ? NO_ROUTE : identity - 1;
}
