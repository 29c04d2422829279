/*
 * clock.h: one monotonic clock in nanoseconds and a tickless timer queue for each CPU.
 *
 * ARCH/timer.c gives a counter, its frequency, and a one-shot alarm; platform/clock.c makes the rest.
 */
#ifndef PLATFORM_CLOCK_H
#define PLATFORM_CLOCK_H

#include <vmos/machine.h>
#include <lib/printf.h>

/* ARCH/timer.c. Fills in what it found; false when there is no usable counter (then panic says so). */
struct timer_source {
    const char *counter_name; /* "TSC", "CNTVCT_EL0", "time CSR" */
    const char *alarm_name;   /* "local APIC one-shot", "TSC-deadline", "Sstc", "SBI" */
    const char *calibration;  /* "HPET", "PM timer", "device tree", "CPUID 0x15"... */
    uint64_t frequency_hz;
};
bool timer_init(const struct machine *machine, struct timer_source *source);
/* On each further CPU: its alarm, not armed. */
void timer_init_cpu(void);
uint64_t counter_read(void); /* any time, also before timer_init; ordered against loads before it */
/* Raises this CPU's timer interrupt once when counter_read() >= deadline; replaces the alarm before it; a deadline
 * in the past fires at once. UINT64_MAX: none. Its interrupt calls clock_alarm(). */
void timer_arm(uint64_t counter_deadline);
/* A better frequency, when a coarse calibration has been refined after some time has passed; 0: no news. */
uint64_t timer_refine(void);

/* platform/clock.c */
void clock_init(const struct timer_source *source, uint64_t entry_counter);
uint64_t clock_now(void);                /* nanoseconds since entry_counter; monotonic */
uint64_t clock_duration(uint64_t ticks); /* of the counter, in nanoseconds */
void clock_alarm(void);                  /* from the timer interrupt: runs what is due */
void clock_report(struct printer *printer);

/* A one-shot timer; the memory is the caller's and must live until it fires or is cancelled. `fire` runs
 * in interrupt context with interrupts disabled, on the CPU that has started the timer. One CPU at a time may start
 * or cancel a timer, any CPU; once timer_cancel has returned it does not fire, and is not firing on another CPU: so
 * nobody holds a lock meanwhile that `fire` takes. One that is `for_threads` may be started while it fires elsewhere:
 * its `fire` takes the objects' lock and looks whether its time has come. */
struct timer {
    uint64_t deadline_ns;
    void (*fire)(struct timer *timer);
    void *context;
    struct timer *next; /* from here on clock.c's own */
    struct cpu *cpu;    /* whose queue it is, or was last, in */
    bool armed;
    bool for_threads; /* set by the caller: firing is no reason to wake the kernel's own thread */
};
void timer_start(struct timer *timer, uint64_t deadline_ns); /* moves it when already armed */
void timer_cancel(struct timer *timer);
/* The same for who holds a lock that `fire` takes: it may just be firing on another CPU when this returns. */
void timer_cancel_soon(struct timer *timer);

/* cpu_sleep(), with the time slept counted as idle; returns at once when another CPU has called ipi_wake for this one
 * since the last time. */
void clock_sleep(void);
uint64_t clock_idle(void); /* nanoseconds that this CPU has slept since boot */
/* Ticks of the counter since entry_counter in which this CPU was at work. Parts of them are subtracted as ticks: a
 * frequency that is refined in between makes nanoseconds before and after it differ. */
uint64_t clock_awake_ticks(void);

/* Spins for at least this long; for hardware that asks for microseconds. */
void clock_spin(uint64_t nanoseconds);

#endif
