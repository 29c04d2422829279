/*
 * sbi.h: calls to the machine's firmware [RISC-V SBI 2.0].
 *
 * What the firmware lacks it says; firmware from before SBI 0.2 knows only the legacy calls (§5) and has no way
 * to say anything, so those are tried last and without knowing.
 */
#ifndef SBI_H
#define SBI_H

#include <lib/printf.h>
#include <vmos/abi.h>

enum {
    SBI_TIME = 0x54494d45,    /* §6 */
    SBI_IPI = 0x735049,       /* §7 */
    SBI_FENCE = 0x52464e43,   /* §8 */
    SBI_HARTS = 0x48534d,     /* §9 */
    SBI_RESET = 0x53525354,   /* §10 */
    SBI_CONSOLE = 0x4442434e, /* §12 */
};

/* Whether the firmware has this extension. */
bool sbi_has(uint32_t extension);

/* The firmware's console, if it has one: one byte out; the next byte that has been typed, or -1. */
bool sbi_console_present(void);
void sbi_console_write(uint8_t byte);
int sbi_console_read(void);

/* The timer interrupt comes when the time CSR reaches this; UINT64_MAX: never. Ends the pending one. */
void sbi_set_timer(uint64_t deadline);
const char *sbi_timer_name(void);

/* Has a hart begin at a physical address with `argument` in a1; NULL, or why it does not. */
const char *sbi_hart_start(uint64_t hart, uint64_t address, uint64_t argument);
/* Raises a hart's software interrupt; false when the firmware would not. */
bool sbi_interrupt(uint64_t hart);
/* Has the harts `first` + n, for each bit n of the mask, forget something, and returns when they have. */
enum sbi_fence {
    SBI_FENCE_CODE = 0,         /* what they have fetched as code */
    SBI_FENCE_TRANSLATIONS = 1, /* all of them */
    SBI_FENCE_SPACE = 2,        /* those of one address-space identifier */
};
bool sbi_fence(enum sbi_fence kind, uint64_t first, uint64_t mask, unsigned identifier);

/* Return only when the firmware would not, with its error; the first and the last need SBI_RESET. */
int64_t sbi_power_off(bool failed);
int64_t sbi_legacy_shutdown(void);
int64_t sbi_reboot(void);

/* Which firmware this is, and which CPU it says this is: "key: value" lines. */
void sbi_report(struct printer *printer);

#endif
