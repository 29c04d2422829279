/*
 * sbi.c: calls to the machine's firmware; QEMU's `-bios default` is OpenSBI.
 */
#include "sbi.h"

#include <platform/mmu.h>

struct sbi_result {
    int64_t error; /* 0: success, else negative [§3] */
    uint64_t value;
};

enum {
    LEGACY_SET_TIMER = 0,
    LEGACY_PUT_CHARACTER = 1,
    LEGACY_GET_CHARACTER = 2,
    LEGACY_SHUTDOWN = 8,

    BASE = 0x10, /* §4 */
    BASE_SPECIFICATION_VERSION = 0,
    BASE_IMPLEMENTATION = 1,
    BASE_IMPLEMENTATION_VERSION = 2,
    BASE_PROBE = 3,
    BASE_VENDOR = 4,
    BASE_ARCHITECTURE = 5,
    BASE_CPU_IMPLEMENTATION = 6,

    TIME_SET = 0,
    IPI_SEND = 0,
    HART_START = 0,

    RESET_SYSTEM = 0,
    RESET_SHUTDOWN = 0,
    RESET_COLD_REBOOT = 1,
    RESET_REASON_NONE = 0,
    RESET_REASON_FAILURE = 1,

    CONSOLE_READ = 1,
    CONSOLE_WRITE_BYTE = 2,
};

static struct sbi_result call_all(uint64_t extension, uint64_t function, const uint64_t arguments[5])
{
    register uint64_t a0 __asm__("a0") = arguments[0];
    register uint64_t a1 __asm__("a1") = arguments[1];
    register uint64_t a2 __asm__("a2") = arguments[2];
    register uint64_t a3 __asm__("a3") = arguments[3];
    register uint64_t a4 __asm__("a4") = arguments[4];
    register uint64_t a6 __asm__("a6") = function;
    register uint64_t a7 __asm__("a7") = extension;

    __asm__ volatile("ecall" : "+r"(a0), "+r"(a1) : "r"(a2), "r"(a3), "r"(a4), "r"(a6), "r"(a7) : "memory");
    return (struct sbi_result){(int64_t)a0, a1};
}

static struct sbi_result call(uint64_t extension, uint64_t function, uint64_t argument0, uint64_t argument1,
                              uint64_t argument2)
{
    return call_all(extension, function, (const uint64_t[]){argument0, argument1, argument2, 0, 0});
}

/* 0 when the firmware would not say. */
static uint64_t ask(uint64_t function)
{
    struct sbi_result result = call(BASE, function, 0, 0, 0);

    return result.error == 0 ? result.value : 0;
}

bool sbi_has(uint32_t extension)
{
    struct sbi_result result = call(BASE, BASE_PROBE, extension, 0, 0);

    return result.error == 0 && result.value != 0;
}

/* ---- Console ---------------------------------------------------------------------------------------- */

static enum { CONSOLE_UNKNOWN, CONSOLE_NONE, CONSOLE_LEGACY, CONSOLE_DEBUG } console;

bool sbi_console_present(void)
{
    if (console == CONSOLE_UNKNOWN) {
        bool base = call(BASE, BASE_SPECIFICATION_VERSION, 0, 0, 0).error == 0;
        if (base && sbi_has(SBI_CONSOLE))
            console = CONSOLE_DEBUG;
        else if (!base || sbi_has(LEGACY_PUT_CHARACTER))
            console = CONSOLE_LEGACY;
        else
            console = CONSOLE_NONE;
    }
    return console != CONSOLE_NONE;
}

void sbi_console_write(uint8_t byte)
{
    if (console == CONSOLE_DEBUG)
        call(SBI_CONSOLE, CONSOLE_WRITE_BYTE, byte, 0, 0);
    else if (console == CONSOLE_LEGACY)
        call(LEGACY_PUT_CHARACTER, 0, byte, 0, 0);
}

int sbi_console_read(void)
{
    static uint8_t received;

    if (console == CONSOLE_DEBUG) {
        struct sbi_result result = call(SBI_CONSOLE, CONSOLE_READ, 1, virtual_to_physical(&received), 0);
        return result.error == 0 && result.value == 1 ? received : -1;
    }
    if (console != CONSOLE_LEGACY)
        return -1;

    int64_t byte = call(LEGACY_GET_CHARACTER, 0, 0, 0, 0).error;
    return byte >= 0 && byte <= UINT8_MAX ? (int)byte : -1;
}

/* ---- Time ------------------------------------------------------------------------------------------- */

static enum { TIMER_UNKNOWN, TIMER_LEGACY, TIMER_EXTENSION } timer;

static void choose_timer(void)
{
    if (timer == TIMER_UNKNOWN)
        timer = sbi_has(SBI_TIME) ? TIMER_EXTENSION : TIMER_LEGACY;
}

void sbi_set_timer(uint64_t deadline)
{
    choose_timer();
    if (timer == TIMER_EXTENSION)
        call(SBI_TIME, TIME_SET, deadline, 0, 0);
    else
        call(LEGACY_SET_TIMER, 0, deadline, 0, 0);
}

const char *sbi_timer_name(void)
{
    choose_timer();
    return timer == TIMER_EXTENSION ? "SBI TIME" : "legacy SBI set_timer";
}

/* ---- Harts ------------------------------------------------------------------------------------------ */

const char *sbi_hart_start(uint64_t hart, uint64_t address, uint64_t argument)
{
    static const char *const errors[] = {/* [§3, §9.1], by -error */
                                         NULL,
                                         "the firmware failed",
                                         "the firmware does not know how",
                                         "the firmware does not know that hart",
                                         "the firmware denies it",
                                         "the firmware does not like the address to start at",
                                         "it runs already, and not by us",
                                         "it is being started already, and not by us"};
    int64_t code = -call(SBI_HARTS, HART_START, hart, address, argument).error;

    if (code == 0)
        return NULL;
    return code > 0 && code < (int64_t)(sizeof errors / sizeof errors[0]) ? errors[code]
                                                                          : "the firmware's answer makes no sense";
}

/* Harts are named by a mask and its base [§7.1]. */
bool sbi_interrupt(uint64_t hart)
{
    return call(SBI_IPI, IPI_SEND, 1, hart, 0).error == 0;
}

/* The function has the kind's number. From address 0 on with size -1: everything [§8]. */
bool sbi_fence(enum sbi_fence kind, uint64_t first, uint64_t mask, unsigned identifier)
{
    return call_all(SBI_FENCE, kind, (const uint64_t[]){mask, first, 0, UINT64_MAX, identifier}).error == 0;
}

/* ---- Power ------------------------------------------------------------------------------------------ */

int64_t sbi_power_off(bool failed)
{
    return call(SBI_RESET, RESET_SYSTEM, RESET_SHUTDOWN, failed ? RESET_REASON_FAILURE : RESET_REASON_NONE, 0).error;
}

int64_t sbi_legacy_shutdown(void)
{
    return call(LEGACY_SHUTDOWN, 0, 0, 0, 0).error;
}

int64_t sbi_reboot(void)
{
    return call(SBI_RESET, RESET_SYSTEM, RESET_COLD_REBOOT, RESET_REASON_NONE, 0).error;
}

/* ---- Report ----------------------------------------------------------------------------------------- */

void sbi_report(struct printer *printer)
{
    static const char *const implementations[] = {"BBL",    "OpenSBI", "Xvisor", "KVM",          "RustSBI",
                                                  "Diosix", "Coffer",  "Xen",    "PolarFire HSS"};
    uint64_t version = ask(BASE_SPECIFICATION_VERSION), implementation = ask(BASE_IMPLEMENTATION);
    size_t known = sizeof implementations / sizeof implementations[0];

    if (version == 0) {
        print(printer, "firmware: SBI 0.1, which says no more\n");
        return;
    }
    print(printer, "firmware: SBI %llu.%llu by %s (implementation %llu), version 0x%llx\n",
          (unsigned long long)(version >> 24 & 0x7f), (unsigned long long)(version & 0xffffff),
          implementation < known ? implementations[implementation] : "an unknown one",
          (unsigned long long)implementation, (unsigned long long)ask(BASE_IMPLEMENTATION_VERSION));
    print(printer, "cpu: vendor 0x%llx, architecture 0x%llx, implementation 0x%llx\n",
          (unsigned long long)ask(BASE_VENDOR), (unsigned long long)ask(BASE_ARCHITECTURE),
          (unsigned long long)ask(BASE_CPU_IMPLEMENTATION));
}
