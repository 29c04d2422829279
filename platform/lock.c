/* lock.c: spinlocks. Contract and order in lock.h. */
#include <platform/cpu.h>
#include <platform/ipi.h>
#include <platform/lock.h>

static bool given_up;

void lock_enter(struct lock *lock)
{
    struct cpu *self = cpu_local();
    const struct cpu *free = NULL;

    if (__atomic_load_n(&given_up, __ATOMIC_RELAXED))
        return;
    if (self->places_held >> lock->place != 0)
        panic("the lock of the %s is taken while one is held that comes after it, or itself (places 0x%x)", lock->name,
              self->places_held);
    while (!__atomic_compare_exchange_n(&lock->owner, &free, self, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
        while (__atomic_load_n(&lock->owner, __ATOMIC_RELAXED) != NULL)
            if (__atomic_load_n(&given_up, __ATOMIC_RELAXED))
                return;
            else
                ipi_relax();
        free = NULL;
    }
    self->places_held |= 1u << lock->place;
}

uintptr_t lock_take(struct lock *lock)
{
    uintptr_t saved = cpu_interrupts_disable();

    lock_enter(lock);
    return saved;
}

void lock_leave(struct lock *lock)
{
    cpu_local()->places_held &= ~(1u << lock->place);
    __atomic_store_n(&lock->owner, NULL, __ATOMIC_RELEASE);
}

void lock_release(struct lock *lock, uintptr_t saved)
{
    lock_leave(lock);
    cpu_interrupts_restore(saved);
}

void lock_give_up_all(void)
{
    __atomic_store_n(&given_up, true, __ATOMIC_SEQ_CST);
}
