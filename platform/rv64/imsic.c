/*
 * imsic.c: the harts' incoming message controllers, supervisor interrupt files, `-M virt,aia=aplic-imsic`
 * [RISC-V AIA 1.0 §3]. A device, or another hart, interrupts by writing an identity to the file's page.
 *
 * A file's registers can be reached by its own hart only. On the boot hart an identity is enabled with its route; on
 * the others all are from the start, so that a message can be directed there by giving the device another address.
 */
#include "controllers.h"
#include "csr.h"

#include <lib/log.h>
#include <lib/malloc.h>
#include <platform/cpu.h>
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

enum { IPI_IDENTITY = INTERRUPT_MAX_ROUTES + 1 };

/* struct cpu.controller */
struct file {
    uint64_t address;
    volatile uint32_t *page; /* NULL: harts interrupt each other through the firmware */
};

static struct file boot_file; /* address 0: none */
static uint32_t identity_count, boot_index;

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

static bool start(const struct machine *machine, uint32_t cpu, struct file *file)
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
    file->address = address;
    if (file->page != NULL) {
        csr_write(CSR_SISELECT, ENABLED + IPI_IDENTITY / 64 * 2);
        csr_set(CSR_SIREG, UINT64_C(1) << IPI_IDENTITY % 64);
    }
    return true;
}

static volatile uint32_t *map_page(const struct machine *machine, uint64_t address)
{
    return machine->imsic.id_count >= IPI_IDENTITY && address != 0 ? vm_map_device(address, PAGE_SIZE) : NULL;
}

bool imsic_init(const struct machine *machine, uint32_t cpu)
{
    if (machine->imsic.present)
        boot_file.page = map_page(machine, machine->cpus[cpu].imsic_base);
    cpu_local()->controller = &boot_file;
    if (!start(machine, cpu, &boot_file))
        return false;
    identity_count = machine->imsic.id_count;
    boot_index = index_of(&machine->imsic, boot_file.address);
    return true;
}

/* By the boot hart, while nobody else runs who would have to hear of the mapping. */
bool imsic_prepare_cpu(const struct machine *machine, struct cpu *cpu)
{
    uint32_t i = 0;
    struct file *file = imsic_present() ? calloc(1, sizeof *file) : NULL;

    while (i < machine->cpu_count && machine->cpus[i].hardware_id != cpu->hardware_id)
        i++;
    if (file != NULL && i < machine->cpu_count)
        file->page = map_page(machine, machine->cpus[i].imsic_base);
    cpu->controller = file;
    return file != NULL || !imsic_present();
}

bool imsic_init_cpu(const struct machine *machine, uint32_t cpu)
{
    if (!start(machine, cpu, cpu_local()->controller))
        return false;
    for (uint32_t first = 0; first <= identity_count && first <= IPI_IDENTITY; first += 64)
        set_register(ENABLED + first / 32,
                     IPI_IDENTITY - first >= 63 ? UINT64_MAX : (UINT64_C(2) << (IPI_IDENTITY - first)) - 1);
    imsic_settle();
    return true;
}

bool imsic_present(void)
{
    return boot_file.address != 0;
}

uint64_t imsic_address(unsigned cpu)
{
    const struct file *file = cpu_at(cpu)->controller;

    return file != NULL ? file->address : 0;
}

/* What was written before is seen by whoever is interrupted. */
bool imsic_interrupt(const struct cpu *to)
{
    const struct file *file = to->controller;

    if (file == NULL || file->page == NULL)
        return false;
    arch_barrier_full();
    *file->page = IPI_IDENTITY;
    return true;
}

uint32_t imsic_hart_index(void)
{
    return boot_index;
}

uint32_t imsic_identity(uint32_t route)
{
    return route < identity_count ? route + 1 : 0;
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

/* Writing stopei claims what reading it shows. Only enabled identities show: routes, and the one between harts. */
uint32_t imsic_claim(void)
{
    uint32_t identity = (uint32_t)(csr_swap(CSR_STOPEI, 0) >> CLAIM_IDENTITY_SHIFT & CLAIM_IDENTITY_MASK);

    if (identity == IPI_IDENTITY)
        return IPI_ROUTE;
    return identity == 0 || identity > INTERRUPT_MAX_ROUTES ? NO_ROUTE : identity - 1;
}
