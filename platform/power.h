/*
 * power.h: the end of the machine as a chain of means, each said in the log, with what came of it.
 *
 * A machine that obeys ends in the middle of the chain; so a means is named before it is tried, and what it did is
 * told only when the machine is still there. A means that crashes does not stand in the way of the next: cpu_power_off
 * and cpu_reset, called again by the panic, go on behind it.
 */
#ifndef PLATFORM_POWER_H
#define PLATFORM_POWER_H

#include <vmos/machine.h>

/* How long the machine has to obey before the next means is tried: a busy host's QEMU has taken 50 ms. */
#define POWER_SETTLE_NS (500 * NANOSECONDS_PER_MILLISECOND)

/* One means. It says power_trying() just before it acts, and returns when the machine has it not, or lives on. */
typedef void power_means(const struct machine *machine, bool failed);

/* Tries each in turn. `next` is where this chain has got to and belongs to it. */
void power_chain(power_means *const chain[], unsigned count, unsigned *next, const struct machine *machine,
                 bool failed);

void power_trying(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* What all machines may have: registers that tables or the device tree name. */
power_means power_off_by_sleep_control, power_off_by_register, reset_by_acpi, reset_by_register;

/* Writes the register, in whichever space it lies, and waits for the machine to obey. */
void power_write_register(const char *what, const struct machine_register *where, uint32_t value);

/* ARCH: one store of 1, 2 or 4 bytes at a place that firmware names; false when nothing answers there. */
bool power_store(volatile void *at, unsigned width, uint32_t value);

#endif
