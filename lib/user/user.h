/* user.h: what the files of lib/user share, and start.S. */
#ifndef LIB_USER_H
#define LIB_USER_H

#include <stdatomic.h>
#include <vmos/service.h>

/* Guards a few instructions. Whoever waits gives way; if he is the more urgent one, he has used up his budget some
 * time, and the holder goes on. */
struct user_lock {
    atomic_flag taken;
};

static inline void user_lock_take(struct user_lock *lock)
{
    while (atomic_flag_test_and_set_explicit(&lock->taken, memory_order_acquire))
        vmos_thread_yield();
}

static inline void user_lock_release(struct user_lock *lock)
{
    atomic_flag_clear_explicit(&lock->taken, memory_order_release);
}

/* What thread_start leaves at the top of a new thread's stack. */
struct thread_begin {
    void (*run)(void *argument, struct message_buffer *buffer);
    void *argument;
};

/* ARCH/start.S: entries, which call these. */
void program_entry(void);
void thread_entry(void);
_Noreturn void user_start(const struct start_info *info, struct message_buffer *buffer);
_Noreturn void user_thread(const struct thread_begin *begin, struct message_buffer *buffer);

#endif
