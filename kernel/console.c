/*
 * console.c: the diagnostics console. `commands` at the end of the file lists all that it can do.
 */
#include "console.h"

#include "iotest.h"
#include "kernel.h"
#include "log.h"
#include "pager.h"
#include "partition.h"
#include "process/commands.h"
#include "process/ledger.h"
#include "random.h"
#include "selftest.h"
#include "trace.h"

#include <authority/device.h>
#include <lib/line.h>
#include <lib/string.h>
#include <lib/text.h>
#include <machine/readers.h>
#include <memory/memory.h>
#include <platform/clock.h>
#include <platform/cpu.h>
#include <platform/interrupt.h>
#include <platform/serial.h>

enum { CONTROL_C = 'C' & 0x1f };

struct command {
    const char *name, *arguments, *summary;
    void (*run)(struct printer *out, const char *arguments);
};

static const struct command *command_at(size_t index); /* NULL behind the last */

/* Bytes from the interrupt handler to the prompt; what finds no room is counted, and so is all behind it until the
 * prompt has said so. */
static uint8_t received[1024];
static volatile uint32_t received_head, received_tail, received_lost;
static bool listening; /* bytes come by interrupt; else they are polled for */

static void byte_received(uint8_t byte)
{
    uint32_t head = received_head;

    if (head - received_tail < sizeof received && received_lost == 0) {
        received[head % sizeof received] = byte;
        received_head = head + 1;
    } else {
        received_lost = received_lost + 1;
    }
}

/* The line in which bytes are missing is not carried out. */
static void give_up_line(struct line_editor *editor)
{
    uintptr_t saved = cpu_interrupts_disable();
    uint32_t lost = received_lost;

    received_lost = 0;
    cpu_interrupts_restore(saved);
    print(&console_printer, "\n%u characters came faster than they could be handled and are lost\n", lost);
    line_start(editor);
}

static bool input_waiting(void *context)
{
    bool *redraw = context;

    if (redraw != NULL)
        *redraw |= log_disturbed();
    return received_head != received_tail || (redraw != NULL && *redraw);
}

/* Sleeps until something was typed, or `redraw` is not NULL and what stands on the line was disturbed. */
static void wait_for_input(bool *redraw)
{
    log_at_prompt(redraw != NULL);
    kernel_wait(input_waiting, redraw, listening ? DEADLINE_NEVER : clock_now() + 20 * NANOSECONDS_PER_MILLISECOND);
    log_at_prompt(false);
    serial_poll();
}

static uint8_t take_byte(void)
{
    uint8_t byte = received[received_tail % sizeof received];

    received_tail = received_tail + 1;
    return byte;
}

uint8_t console_key(void)
{
    bool redraw = false;

    while (!input_waiting(NULL) && !redraw)
        wait_for_input(&redraw);
    return input_waiting(NULL) ? take_byte() : 0;
}

bool console_interrupted(void)
{
    serial_poll();
    for (uint32_t at = received_tail; at != received_head; at++)
        if (received[at % sizeof received] == CONTROL_C) {
            received_tail = at + 1;
            return true;
        }
    return false;
}

static void run_help(struct printer *out, const char *arguments)
{
    const struct command *command;

    (void)arguments;
    for (size_t i = 0; (command = command_at(i)) != NULL; i++)
        print(out, "  %-9s %-13s %s\n", command->name, command->arguments, command->summary);
    print(out, "Keys: arrows edit and recall, Ctrl-C gives a line up; in QEMU Ctrl-A X leaves.\n");
}

/* The machine in a sentence, for who does not want to read on. */
static void summarise(struct printer *out)
{
    unsigned devices = 0, driven = 0;
    uint64_t usable = 0;

    for (struct device *device = device_first(); device != NULL; device = device->next) {
        devices++;
        driven += device->running;
    }
    for (uint32_t i = 0; i < machine.memory_count; i++)
        if (machine.memory[i].kind == MEMORY_USABLE)
            usable += machine.memory[i].size;
    print(out, "CPUs: %u, memory: %llu MiB, devices: %u of which vmos drives %u\n", machine.cpu_count,
          (unsigned long long)(usable >> 20), devices, driven);
}

static void run_machine(struct printer *out, const char *arguments)
{
    (void)arguments;
    summarise(out);
    machine_report(&machine, out);
}

static void run_pci(struct printer *out, const char *arguments)
{
    bool any = false;
    (void)arguments;

    for (struct device *device = device_first(); device != NULL; device = device->next)
        if (device->function != NULL) {
            device_report_function(device, out);
            any = true;
        }
    if (!any)
        print(out, "this machine has no PCI functions\n");
}

static void run_devices(struct printer *out, const char *arguments)
{
    size_t length;
    const char *name = text_word(arguments, &length);

    if (name == NULL) {
        devices_report(out);
        return;
    }
    struct device *device = device_find(name);
    if (device == NULL)
        print(out, "there is no device \"%s\"; `devices` lists them all\n", name);
    else
        device_report(device, out);
}

static void run_disks(struct printer *out, const char *arguments)
{
    (void)arguments;
    disks_report(out);
}

static void run_irq(struct printer *out, const char *arguments)
{
    (void)arguments;
    interrupt_report(out);
}

static void run_mem(struct printer *out, const char *arguments)
{
    (void)arguments;
    memory_report(out);
}

static void run_cpu(struct printer *out, const char *arguments)
{
    (void)arguments;
    cpu_report(out);
    smp_report(out);
}

static void run_time(struct printer *out, const char *arguments)
{
    (void)arguments;
    clock_report(out);
}

static void run_log(struct printer *out, const char *arguments)
{
    uint64_t lines = 20;
    size_t length;
    const char *word = text_word(arguments, &length);

    if (word != NULL && (!text_to_number(word, NULL, &lines) || lines == 0)) {
        print(out, "\"%s\" is no number of lines\n", word);
        return;
    }
    log_tail(out, lines > 1000 ? 1000 : (unsigned)lines);
}

static void run_trace(struct printer *out, const char *arguments)
{
    uint64_t events = 20;
    size_t length;
    const char *word = text_word(arguments, &length);

    if (word != NULL && (!text_to_number(word, NULL, &events) || events == 0)) {
        print(out, "\"%s\" is no number of events\n", word);
        return;
    }
    trace_report(out, events > UINT32_MAX ? UINT32_MAX : (unsigned)events);
}

static void run_selftest(struct printer *out, const char *arguments)
{
    char names[LINE_CAPACITY + 1];
    (void)out;

    text_copy(names, arguments, sizeof names);
    for (char *at = names; *at != '\0'; at++)
        if (*at == ' ')
            *at = ',';
    selftest_run(names);
}

static void run_reboot(struct printer *out, const char *arguments)
{
    (void)out;
    (void)arguments;
    kernel_reboot();
}

static void run_poweroff(struct printer *out, const char *arguments)
{
    (void)out;
    (void)arguments;
    kernel_power_off(false);
}

/* NOLINTNEXTLINE(misc-no-recursion): without end on purpose */
__attribute__((noinline)) static uintptr_t overflow_stack(volatile uintptr_t depth)
{
    volatile uintptr_t room[64] = {depth};

    return depth == UINTPTR_MAX ? 0 : overflow_stack(depth + 1) + room[depth % 64];
}

static void panic_here(void *context)
{
    (void)context;
    panic("asked for at the console, of another CPU");
}

/* Each kind of crash, so that what it says can be seen before it is needed. */
static void run_panic(struct printer *out, const char *arguments)
{
    static uint32_t data = 0;

    if (arguments[0] == '\0')
        panic("asked for at the console");
    if (strcmp(arguments, "read") == 0)
        print(out, "%zu\n", strlen((const char *)(uintptr_t)0x10)); /* in a function that calls no other */
    else if (strcmp(arguments, "write-code") == 0)
        *(volatile char *)text_start = 0;
    else if (strcmp(arguments, "execute-data") == 0)
        ((void (*)(void))(uintptr_t)&data)();
    else if (strcmp(arguments, "stack") == 0)
        overflow_stack(0);
    else if (strcmp(arguments, "cpu") == 0)
        print(out, "the last CPU: %s\n", status_text(smp_call(cpu_count() - 1, panic_here, NULL)));
    else
        print(out, "\"%s\" is no kind of crash; there are: read, write-code, execute-data, stack, cpu\n", arguments);
}

static void run_line(const char *text)
{
    size_t length = 0;
    const char *word = text_word(text, &length);

    if (word == NULL)
        return;
    const char *arguments = word + length;
    while (*arguments == ' ')
        arguments++;
    const struct command *command;
    for (size_t i = 0; (command = command_at(i)) != NULL; i++)
        if (strlen(command->name) == length && memcmp(command->name, word, length) == 0) {
            if (command->arguments[0] == '\0' && *arguments != '\0')
                print(&console_printer, "%s takes no arguments; \"%s\" is ignored\n", command->name, arguments);
            command->run(pager_begin(), arguments);
            return;
        }
    print(&console_printer, "\"%.*s\" is not a command; `help` lists them all\n", (int)length, word);
}

_Noreturn void console_run(void)
{
    static struct line_editor editor;

    listening = serial_listen(byte_received);
    if (!listening)
        log_info("console", "the serial port's interrupt cannot be routed; input is polled");
    line_init(&editor, "vmos> ", &console_printer);
    print(&console_printer, "This is vmos. `help` lists what it can tell.\n");
    line_start(&editor);
    for (;;) {
        bool redraw = false;
        wait_for_input(&redraw);
        if (redraw)
            line_redraw(&editor);
        while (input_waiting(NULL)) {
            enum line_event event = line_byte(&editor, take_byte());
            if (event == LINE_DONE)
                run_line(editor.text);
            if (event != LINE_NONE)
                line_start(&editor);
        }
        if (received_lost != 0)
            give_up_line(&editor);
    }
}

static const struct command commands[] = {
    {"help", "", "this list", run_help},
    {"machine", "", "what this machine is: CPUs, memory, controllers, buses", run_machine},
    {"pci", "", "every PCI function with its registers and capabilities", run_pci},
    {"devices", "[NAME]", "devices, who drives them, and what they hold", run_devices},
    {"disks", "", "disks and their partitions", run_disks},
    {"irq", "", "interrupt controllers, routes and counts", run_irq},
    {"mem", "", "memory: frames, heap, page tables", run_mem},
    {"ledger", "", "what is in use in all, to compare with later", ledger_command},
    {"cpu", "", "the processors, what they do, the protections in use", run_cpu},
    {"time", "", "the clock, its source and the timers", run_time},
    {"log", "[LINES]", "the last lines of the log", run_log},
    {"trace", "[EVENTS]", "what each CPU did last, for tools/read-trace", run_trace},
    {"selftest", "[NAME ...]", "run self-tests, all when none is named", run_selftest},
    {"iotest", "DISK [...]", "load a disk: read, write, mixed or all; depth= size=", iotest},
    {"ps", "[NAME|ID]", "processes, or one in full with its threads", run_ps},
    {"handles", "NAME|ID", "what a process holds, with which rights", run_handles},
    {"kill", "NAME|ID", "end a process; init does not start it again", run_kill},
    {"spawn", "NAME [ARGS]", "have init start a service, or bin/NAME", run_spawn},
    {"restart", "NAME", "have init end it, if it runs, and start it anew", run_restart},
    {"audit", "", "who gave, took and was refused what, lately", run_audit},
    {"page", "[on|off|N]", "pause after every screen of output, or N lines", pager_command},
    {"reboot", "", "stop all devices and restart the machine", run_reboot},
    {"poweroff", "", "stop all devices and switch the machine off", run_poweroff},
    {"panic", "[KIND]", "crash on purpose, to see what a crash says", run_panic},
};

static const struct command *command_at(size_t index)
{
    return index < sizeof commands / sizeof commands[0] ? &commands[index] : NULL;
}
