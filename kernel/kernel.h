/* kernel.h: what the files of the kernel share. */
#ifndef KERNEL_KERNEL_H
#define KERNEL_KERNEL_H

#include <vmos/machine.h>
#include <platform/boot.h>

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

/* late_console.c: takes a serial port that is a PCI function, where it is the console or there is no other. */
void late_console(void);

/* manifest.c: the initial ramdisk (from the bootloader, else the embedded one) and its vmos.conf. */
void manifest_read(void);
bool manifest_wants_driver(const char *name);
const char *manifest_source(void); /* "embedded" or "bootloader's" */

/* wait.c: runs drivers and sleeps until `done(context)` or the deadline; false: the deadline came. */
bool kernel_wait(bool (*done)(void *context), void *context, uint64_t deadline_ns);

/* Ends the machine in an orderly way: devices stopped first. */
_Noreturn void kernel_power_off(bool failed);
_Noreturn void kernel_reboot(void);

#endif
