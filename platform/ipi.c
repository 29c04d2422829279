/* ipi.c: what CPUs ask of each other. Contract in ipi.h. */
#include <lib/log.h>
#include <platform/clock.h>
#include <platform/ipi.h>
#include <platform/mmu.h>

#define FLUSH_PATIENCE_NS NANOSECONDS_PER_SECOND
#define STOP_PATIENCE_NS  (20 * NANOSECONDS_PER_MILLISECOND)

static bool stopping;
static void (*test_handler)(void);

/* ---- Who there is ----------------------------------------------------------------------------------------------- */

static struct cpu *cpus[CPU_MAX];
static unsigned count;

unsigned cpu_count(void)
{
    unsigned now = __atomic_load_n(&count, __ATOMIC_ACQUIRE);

    return now != 0 ? now : 1;
}

struct cpu *cpu_at(unsigned index)
{
    return index < CPU_MAX ? cpus[index] : NULL;
}

void cpu_add(struct cpu *cpu)
{
    cpu->index = count;
    cpus[count] = cpu;
    __atomic_store_n(&count, count + 1, __ATOMIC_RELEASE);
}

/* ---- Sending ---------------------------------------------------------------------------------------------------- */

/* Whoever sets the first bit interrupts: as long as one stands, an interrupt is on its way. */
bool ipi_send(struct cpu *to, enum ipi kind)
{
    if (__atomic_fetch_or(&to->ipis, 1u << kind, __ATOMIC_SEQ_CST) != 0 || ipi_raise(to))
        return true;
    __atomic_fetch_and(&to->ipis, ~(1u << kind), __ATOMIC_SEQ_CST);
    return false;
}

/* The sleeper says that it sleeps and then looks at `woken`; here it is the other way round. So one of the two sees
 * what the other has written, and no wake-up falls between. */
void ipi_wake(struct cpu *to)
{
    bool self = to == cpu_local();

    /* This CPU is awake; but what runs on it may be a process, and who is to look again the kernel's own thread. */
    if (to == NULL || (self && !to->lending))
        return;
    __atomic_store_n(&to->woken, true, __ATOMIC_SEQ_CST);
    if (self)
        return;
    if (__atomic_load_n(&to->sleeping, __ATOMIC_SEQ_CST) || __atomic_load_n(&to->lending, __ATOMIC_SEQ_CST))
        ipi_send(to, IPI_WAKE);
}

static bool concerns(uint64_t mask, unsigned index)
{
    return (mask >> index & 1) != 0 && cpus[index] != NULL && cpus[index] != cpu_local();
}
_Static_assert(CPU_MAX <= 64, "a bit for each CPU");

bool ipi_flush(uint64_t mask)
{
    uint64_t until = clock_now() + FLUSH_PATIENCE_NS;
    bool all = true;

    for (unsigned i = 0; i < cpu_count(); i++)
        if (concerns(mask, i)) {
            __atomic_fetch_add(&cpus[i]->flushes_wanted, 1, __ATOMIC_SEQ_CST);
            ipi_send(cpus[i], IPI_FLUSH);
        }
    for (unsigned i = 0; i < cpu_count(); i++) {
        if (!concerns(mask, i))
            continue;
        while (__atomic_load_n(&cpus[i]->flushes_done, __ATOMIC_ACQUIRE) != cpus[i]->flushes_wanted &&
               clock_now() < until)
            ipi_relax();
        if (__atomic_load_n(&cpus[i]->flushes_done, __ATOMIC_ACQUIRE) != cpus[i]->flushes_wanted) {
            log_error("cpu", "CPU %u did not drop its translations within a second; their addresses stay unused", i);
            all = false;
        }
    }
    return all;
}

bool ipi_flush_others(void)
{
    return ipi_flush(UINT64_MAX);
}

/* ---- Stopping --------------------------------------------------------------------------------------------------- */

void ipi_stop_others(void)
{
    struct cpu *self = cpu_local();
    uint64_t until = clock_now() + STOP_PATIENCE_NS;

    __atomic_store_n(&stopping, true, __ATOMIC_SEQ_CST);
    for (unsigned i = 0; i < cpu_count(); i++)
        if (cpus[i] != self && cpus[i] != NULL)
            ipi_raise_stop(cpus[i]);
    for (unsigned i = 0; i < cpu_count(); i++)
        while (cpus[i] != self && cpus[i] != NULL && !__atomic_load_n(&cpus[i]->stopped, __ATOMIC_ACQUIRE) &&
               clock_now() < until)
            cpu_relax();
}

bool ipi_stopping(void)
{
    return __atomic_load_n(&stopping, __ATOMIC_RELAXED);
}

_Noreturn void ipi_stop_here(void)
{
    __atomic_store_n(&cpu_local()->stopped, true, __ATOMIC_RELEASE);
    cpu_halt();
}

/* ---- Arrival ---------------------------------------------------------------------------------------------------- */

/* Counted before the flush: a wish that comes later is another turn's. */
static void flush(struct cpu *self)
{
    uint32_t wanted = __atomic_load_n(&self->flushes_wanted, __ATOMIC_ACQUIRE);

    mmu_flush_all();
    __atomic_store_n(&self->flushes_done, wanted, __ATOMIC_RELEASE);
}

void ipi_relax(void)
{
    struct cpu *self = cpu_local();

    if (ipi_stopping())
        ipi_stop_here();
    if (__atomic_load_n(&self->flushes_wanted, __ATOMIC_RELAXED) != self->flushes_done)
        flush(self);
    cpu_relax();
}

void ipi_on_test(void (*handler)(void))
{
    __atomic_store_n(&test_handler, handler, __ATOMIC_RELEASE);
}

void ipi_arrived(void)
{
    struct cpu *self = cpu_local();
    uint32_t kinds = __atomic_exchange_n(&self->ipis, 0, __ATOMIC_SEQ_CST);

    self->interrupts++;
    self->ipis_taken++;
    self->interrupt_depth++;
    if (ipi_stopping())
        ipi_stop_here();
    if (__atomic_load_n(&self->flushes_wanted, __ATOMIC_RELAXED) != self->flushes_done)
        flush(self);
    if ((kinds >> IPI_TEST & 1) != 0) {
        void (*handler)(void) = __atomic_load_n(&test_handler, __ATOMIC_ACQUIRE);
        if (handler != NULL)
            handler();
    }
    self->interrupt_depth--;
}
