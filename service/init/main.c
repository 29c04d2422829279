/*
 * main.c: init, the first process: starts what vmos.conf names, watches it, and starts it again where the manifest says
 * so. It is a process like any other; what it gives to others is what the kernel has given to it.
 */
#include "init.h"

#include <lib/string.h>

handle notification;

static void say_mistake(const struct manifest_line *line)
{
    char sentence[160];

    manifest_sentence(line, sentence, sizeof sentence);
    printf("vmos.conf %s\n", sentence);
}

/* What can only be wrong beside other lines. */
static void refuse(struct manifest_line *line, const char *found, const char *expected)
{
    snprintf(line->mistake.found, sizeof line->mistake.found, "%s", found);
    line->mistake.expected = expected;
}

/* A service that offers what another one does would be given the receiving end of that one's calls: it is none. */
static void read_service(struct manifest_line *line)
{
    struct manifest_service wanted;

    if (line->mistake.expected == NULL && manifest_service(line, &wanted)) {
        const char *refused = offers_refused(&wanted.offer);
        const struct service *service;
        if (service_find(wanted.name) != NULL)
            refuse(line, wanted.name, "a name that no service before it has");
        else if (refused != NULL)
            refuse(line, refused, "something to offer that nothing else offers, of 48 in all");
        else if ((service = service_add(&wanted)) == NULL)
            refuse(line, wanted.name, "at most 48 services, and memory for them");
        else
            offers_add(&wanted.offer, service);
    }
    if (line->mistake.expected != NULL)
        say_mistake(line);
}

/* Lines about drivers, and such as are about nothing, are the kernel's. */
static void read_manifest(void)
{
    struct manifest_cursor cursor = {0};
    struct manifest_line line;
    const void *text;

    if (!ramdisk_file("vmos.conf", &text, &cursor.size)) {
        printf("the initial ramdisk cannot be read, or has no vmos.conf; nothing is started\n");
        return;
    }
    cursor.text = text;
    while (manifest_next(&cursor, &line))
        if (line.kind == MANIFEST_SERVICE)
            read_service(&line);
}

static void start_services(void)
{
    const char *why;

    for (unsigned i = 0; i < service_count; i++)
        if (!services[i]->wanted.asked)
            service_start(services[i], &why);
}

static void notified(struct server *server, uint64_t bits)
{
    (void)server;
    services_look(bits);
}

int main(int argc, char **argv)
{
    struct server server = {
        .endpoint = start_handle("control"), .mask = UINT64_MAX, .call = control_answer_call, .notified = notified};
    enum status status = vmos_notification_create(&notification);

    (void)argc, (void)argv;
    if (status != STATUS_OK) {
        printf("there is no notification to be had (%s)\n", status_text(status));
        return 1;
    }
    server.notification = notification;
    read_manifest();
    start_services();
    status = serve(&server, first_buffer);
    printf("nothing can come any more (%s)\n", status_text(status));
    return 1;
}
