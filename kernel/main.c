/*
 * main.c: boot's table of contents. platform/ARCH/boot.S comes before it and calls kernel_main() in the upper
 * half, on the boot stack, with only the kernel image mapped.
 */
#include "console.h"
#include "drivers.h"
#include "kernel.h"
#include "log.h"
#include "options.h"
#include "partition.h"
#include "process/start.h"
#include "process/thread.h"
#include "random.h"
#include "selftest.h"
#include "trace.h"

#include <authority/device.h>
#include <lib/string.h>
#include <memory/memory.h>
#include <platform/clock.h>
#include <platform/cpu.h>
#include <platform/interrupt.h>
#include <platform/serial.h>

struct machine machine;
struct firmware_cost firmware_cost;
static struct cpu boot_cpu;

static void greet(const struct boot_info *boot)
{
    static const char *const protocols[] = {[BOOT_PVH] = "pvh", [BOOT_FDT] = "fdt", [BOOT_EFI] = "efi"};

    say("vmos %s %s (%s) booted by %s", vmos_version, ARCH_NAME, vmos_commit, protocols[boot->protocol]);
}

static void start_clock(const struct boot_info *boot)
{
    struct timer_source source = {0};

    if (!timer_init(&machine, &source))
        panic("this machine has no clock that vmos can use");
    clock_init(&source, boot->entry_counter);
    log_info("clock", "%s at %llu.%06llu MHz by %s, alarm by %s", source.counter_name,
             (unsigned long long)(source.frequency_hz / 1000000), (unsigned long long)(source.frequency_hz % 1000000),
             source.calibration, source.alarm_name);
}

/* What the kernel costs: its image without the ramdisk and what was released, and what it has taken of the usable
 * memory. */
static void describe_memory(uint64_t released)
{
    struct frame_counts counts;
    uint64_t usable = released,
             image = (uint64_t)(image_end - image_start) - released - (uint64_t)(initrd_embedded_end - initrd_embedded);

    frames_count(&counts);
    for (uint32_t i = 0; i < machine.memory_count; i++)
        if (machine.memory[i].kind == MEMORY_USABLE)
            usable += machine.memory[i].size;
    log_info("memory", "%llu MiB usable; the kernel takes %llu KiB and has allocated %llu KiB",
             (unsigned long long)(usable >> 20), (unsigned long long)(image / 1024),
             (unsigned long long)((usable - counts.free * PAGE_SIZE) / 1024));
}

/* Once there are all CPUs: what there is of them and of memory becomes the budget that processes live on. */
static void processes_start(void)
{
    user_init();
    if (!scheduler_init_cpu(&boot_cpu))
        panic("no memory to begin with");
    processes_init();
}

/* Since the EFI stub's first instruction: what it and the kernel took, and what the firmware did when it was called. */
static void describe_firmware(void)
{
    uint64_t awake = clock_awake_ticks(), own_ns = clock_duration(awake - firmware_cost.ticks),
             firmware_ns = clock_duration(firmware_cost.ticks);

    if (firmware_cost.calls != 0)
        log_info("efi", "from entry to ready vmos took %llu us and %llu calls of the firmware took %llu us",
                 (unsigned long long)(own_ns / NANOSECONDS_PER_MICROSECOND), (unsigned long long)firmware_cost.calls,
                 (unsigned long long)(firmware_ns / NANOSECONDS_PER_MICROSECOND));
}

_Noreturn void kernel_main(const struct boot_info *boot)
{
    boot_cpu.hardware_id = boot->boot_cpu;
    boot_cpu.stack_guard = (uintptr_t)boot_stack_guard;
    boot_cpu.stack_top = (uintptr_t)boot_stack_top;
    cpu_init(&boot_cpu);
    cpu_add(&boot_cpu);
    vm_init(boot->image_physical);
    serial_early_init();
    greet(boot);

    discover_machine(boot);
    serial_init(&machine);
    log_flush();
    discover_print();
    vm_take_memory(&machine);
    trace_init_cpu(&boot_cpu);
    discover_more(boot);
    discover_done();
    uint64_t released = vm_release_spare();
    interrupt_init(&machine);
    start_clock(boot);
    cpu_interrupts_enable();
    smp_start();

    random_init(&machine);
    processes_start();
    manifest_read();
    manifest_check(kernel_drivers, kernel_driver_count);
    devices_discover(&machine, kernel_drivers, kernel_driver_count, say_device);
    late_console();
    devices_options(manifest_driver_option);
    devices_start(manifest_wants_driver);
    partitions_scan();
    random_take_entropy();
    released += vm_release_boot_code();
    describe_memory(released);
    describe_firmware();
    init_start();
    init_wait();
    uint64_t idle = clock_idle(), now = clock_now();
    log_info("kernel", "ready after %llu us, of which %llu us asleep",
             (unsigned long long)(now / NANOSECONDS_PER_MICROSECOND),
             (unsigned long long)(idle / NANOSECONDS_PER_MICROSECOND));
    say("ready");

    if (options.selftest) {
        unsigned failed = selftest_run(options.selftest_names);
        if (options.then == THEN_POWEROFF)
            kernel_power_off(failed != 0);
    }
    if (options.then == THEN_POWEROFF)
        kernel_power_off(false);
    if (options.then == THEN_REBOOT)
        kernel_reboot();
    console_run();
}

_Noreturn void kernel_power_off(bool failed)
{
    devices_stop();
    log_info("power", "switching the machine off");
    cpu_interrupts_disable();
    cpu_power_off(&machine, failed);
    log_error("power", "nothing on this machine switches it off; it stops here and can be turned off from outside");
    cpu_halt();
}

_Noreturn void kernel_reboot(void)
{
    devices_stop();
    log_info("power", "restarting the machine");
    cpu_interrupts_disable();
    cpu_reset(&machine);
    log_error("power", "nothing on this machine restarts it; it stops here and can be reset from outside");
    cpu_halt();
}
