/* writer: writes to the console what its argument says, for test_processes_console.py. */
#include <lib/string.h>
#include <vmos/service.h>

static enum status put(const char *text, size_t size)
{
    uint64_t taken = 0;

    return vmos_console_write(start_handle("console"), text, size, &taken);
}

/* Control characters, an escape sequence, what looks like a line of the kernel's, a line without an end. */
static void forge(void)
{
    static const char text[] = "one\ttwo\x1b[2J\x07three\r\x80"
                               "four\n[    0.000001] kernel: forged\nready\nhalf";

    put(text, sizeof text - 1);
}

/* Many lines, each a known one; what was refused is counted. */
static void flood(void)
{
    unsigned refused = 0;
    char line[64];

    for (unsigned i = 0; i < 20000; i++) {
        int length = snprintf(line, sizeof line, "line %u of a flood that nobody wants to read\n", i);
        refused += put(line, (size_t)length) == STATUS_BUSY;
    }
    sleep_until(now_ns() + 2 * NANOSECONDS_PER_SECOND);
    printf("%u of 20000 lines were refused\n", refused);
}

/* What cannot be taken: each answered, none carried out. */
static void refuse(void)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < 500; i++) {
        vmos_handle_close((handle)i << HANDLE_INDEX_BITS | 60);
        vmos_clock_read(start_handle("console"), &value);
    }
    printf("kernel memory: %s\n", status_text(put((const char *)UINT64_C(0xffffffff80000000), 16)));
    printf("nothing: %s\n", status_text(put((const char *)(uintptr_t)16, 16)));
}

/* More lines than one call takes; and what lib/user makes of that: nothing of it may be missing. */
static void many(void)
{
    static char text[4096];
    uint64_t taken = 0;
    size_t length = 0;

    memset(text, '\n', 1024);
    vmos_console_write(start_handle("console"), text, 1024, &taken);
    printf("%u of 1024 empty lines were taken\n", (unsigned)taken);
    for (unsigned i = 0; i < 100; i++)
        length += (size_t)snprintf(text + length, sizeof text - length, "line %u of 100\n", i);
    console_printer.write(&console_printer, text, length);
    printf("those were all\n");
}

/* Another CPU has to forget addresses while this one writes as many lines as it may. */
static volatile bool ended;

static void write_lines(void *argument, struct message_buffer *buffer)
{
    static char text[1024];

    (void)argument;
    (void)buffer;
    memset(text, '\n', sizeof text);
    while (!ended)
        if (put(text, sizeof text) == STATUS_BUSY)
            sleep_until(now_ns() + NANOSECONDS_PER_MILLISECOND);
}

static void forget(void)
{
    struct thread_parameters other = {.cpus = 2}, here = {.cpus = 1};
    handle memory = 0;

    vmos_thread_configure(0, &here);
    if (thread_start(write_lines, NULL, 4096, &other) != STATUS_OK || vmos_memory_create(4096, &memory) != STATUS_OK)
        return;
    for (unsigned i = 0; i < 5; i++) {
        uint64_t address = 0;
        if (vmos_memory_map(0, memory, 0, 0, 4096, RIGHT_READ | RIGHT_WRITE, &address) != STATUS_OK)
            return;
        *(volatile char *)(uintptr_t)address = 1;
        if (vmos_memory_unmap(0, address, 4096) != STATUS_OK)
            return;
        sleep_until(now_ns() + 20 * NANOSECONDS_PER_MILLISECOND);
    }
    ended = true;
    sleep_until(now_ns() + NANOSECONDS_PER_SECOND / 2);
    printf("5 pages were forgotten\n");
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";

    if (strcmp(what, "forge") == 0)
        forge();
    else if (strcmp(what, "many") == 0)
        many();
    else if (strcmp(what, "forget") == 0)
        forget();
    else if (strcmp(what, "flood") == 0)
        flood();
    else if (strcmp(what, "refuse") == 0)
        refuse();
    else if (strcmp(what, "spin") == 0)
        for (;;)
            ;
    else
        sleep_until(DEADLINE_NEVER);
    return 0;
}
