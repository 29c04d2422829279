/* kernel.h: what the files of the kernel share. */
#ifndef KERNEL_KERNEL_H
#define KERNEL_KERNEL_H

#include <vmos/machine.h>
#include <platform/boot.h>
#include <lib/printf.h>

/* The machine; written during boot, read-only afterwards. */
extern struct machine machine;

/* "0.1", "1a2b3c..." */
extern const char vmos_version[], vmos_commit[];

/* discover.c: runs the readers that fit how we were booted. */
void discover_machine(const struct boot_info *boot);
/* For loglevel=debug, once there is a console: the device tree as it was given. */
void discover_print(void);
/* What can only be learned once there is memory to put it in. */
void discover_more(const struct boot_info *boot);
/* Last: what was found moves to memory that it fits into, from room that can be given away. */
void discover_done(void);

/* late_console.c: takes a serial port that is a PCI function, where it is the console or there is no other. */
void late_console(void);

/* How often EFI firmware was called before its services ended, and the counter's ticks that it took. */
extern struct firmware_cost {
    uint64_t calls, ticks; /* 0: no EFI */
} firmware_cost;

/* manifest.c: the initial ramdisk (from the bootloader, else the embedded one) and its vmos.conf. */
void manifest_read(void);
struct driver;
void manifest_check(const struct driver *const drivers[], size_t count);
bool manifest_wants_driver(const char *name);
bool manifest_driver_option(const char *name, const char *key, char *value, size_t capacity);
const char *manifest_source(void); /* "embedded" or "bootloader's" */
/* ramdisk.c: what manifest_read has found; it stays where it is. */
void ramdisk_use(const void *image, size_t size);
/* A file of the ramdisk, where it lies; NULL: there is none. */
const void *ramdisk_find(const char *name, size_t *size);
/* All of the archive; NULL: there is none. */
const void *ramdisk_image(size_t *size);

/* wait.c: runs drivers and sleeps until `done(context)` or the deadline; false: the deadline came. */
bool kernel_wait(bool (*done)(void *context), void *context, uint64_t deadline_ns);

/* smp_start.c: starts the machine's other CPUs and gives each an index; those that do not come are said and left. */
void smp_start(void);
/* Has that CPU run this, with interrupts on, as soon as it has nothing else to run: one thing at a time, and
 * none on the boot CPU, which runs everything that is not asked for so. STATUS_BUSY: it is not done with the last.
 * STATUS_OUT_OF_RANGE: no such CPU, or the boot CPU. What was written before is seen by the function. */
enum status smp_call(unsigned cpu, void (*run)(void *context), void *context);
/* Whether it is done; then what it has written is seen here. The boot CPU is woken when it ends. */
bool smp_idle(unsigned cpu);
/* A line for each CPU: state, interrupts, time asleep. */
void smp_report(struct printer *printer);

/* Ends the machine in an orderly way: devices stopped first. */
_Noreturn void kernel_power_off(bool failed);
_Noreturn void kernel_reboot(void);

#endif
