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

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";

    if (strcmp(what, "forge") == 0)
        forge();
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
