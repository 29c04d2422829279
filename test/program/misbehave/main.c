/* main.c: misbehave, for test/qemu/test_services.py: does what its argument says. */
#include <lib/malloc.h>
#include <lib/string.h>
#include <vmos/service.h>

static uint64_t crash_in_call(struct server *server, struct request *request, struct message_buffer *buffer)
{
    (void)server, (void)request, (void)buffer;
    *(volatile int *)16 = 1;
    return 0;
}

static void second_thread(void *argument, struct message_buffer *buffer)
{
    buffer->words[0] = 1;
    vmos_notification_signal(*(handle *)argument, buffer->words[0]);
}

/* What the SDK gives, tried: memory, floating point, chance, a thread, sleep. */
static int try_things(void)
{
    volatile double third = 1.0 / 3;
    uint64_t random[2] = {0}, taken = 0, before = now_ns();
    handle notification = 0;
    static char *blocks[40];

    for (int i = 0; i < 40; i++) {
        blocks[i] = malloc((size_t)i * 3000 + 1);
        if (blocks[i] == NULL)
            return 2;
        memset(blocks[i], i, (size_t)i * 3000 + 1);
    }
    for (int i = 0; i < 40; i++) {
        for (int j = 0; j <= i * 3000; j++)
            if (blocks[i][j] != i)
                return 3;
        free(blocks[i]);
    }
    random_bytes(random, sizeof random);
    if (random[0] == random[1] || third * 3 < 0.999 || third * 3 > 1.001)
        return 4;
    if (vmos_notification_create(&notification) != STATUS_OK ||
        thread_start(second_thread, &notification, 8192, NULL) != STATUS_OK ||
        vmos_notification_wait(notification, 1, before + NANOSECONDS_PER_SECOND, &taken) != STATUS_OK || taken != 1)
        return 5;
    sleep_until(before + 50 * NANOSECONDS_PER_MILLISECOND);
    if (now_ns() < before + 50 * NANOSECONDS_PER_MILLISECOND)
        return 6;
    printf("all of it works\n");
    return 0;
}

int main(int argc, char **argv)
{
    struct server server = {.endpoint = start_handle("trap"), .call = crash_in_call};
    const char *what = argc > 1 ? argv[1] : "";

    if (strcmp(what, "crash") == 0)
        *(volatile int *)16 = 1;
    if (strcmp(what, "exit") == 0)
        return 3;
    if (strcmp(what, "try") == 0)
        return try_things();
    if (strcmp(what, "trap") == 0)
        return (int)serve(&server, first_buffer);
    if (strcmp(what, "call") == 0) {
        uint32_t label = 0;
        enum status status = call(first_buffer, start_handle("trap"), &label, "", 0, NULL, 0, DEADLINE_NEVER);
        printf("the call gave: %s\n", status_text(status));
        return 0;
    }
    for (int i = 0; i < argc; i++)
        printf("argument %d is \"%s\"\n", i, argv[i]);
    return 0;
}
