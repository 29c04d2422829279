/* control.c: what is asked at the kernel's prompt (vmos/control.h). */
#include "init.h"

#include <lib/string.h>
#include <lib/text.h>
#include <vmos/control.h>

/* As the manifest would have it with a line that says no more than the name. */
static struct service *service_of_file(const char *name, struct control_answer *answer)
{
    struct manifest_service wanted;
    const void *file;
    size_t size;
    char path[sizeof "bin/" + NAME_SIZE];

    snprintf(path, sizeof path, "bin/%s", name);
    if (!ramdisk_file(path, &file, &size)) {
        snprintf(answer->text, sizeof answer->text, "there is no %s", path);
        return NULL;
    }
    manifest_defaults(&wanted, name, strlen(name));
    struct service *service = service_add(&wanted);
    if (service == NULL)
        text_copy(answer->text, "there is no room for another service", sizeof answer->text);
    return service;
}

static enum status start(struct service *service, struct control_answer *answer)
{
    const char *why = "";
    enum status status = service_start(service, &why);

    answer->process_id = service->process_id;
    text_copy(answer->text, why, sizeof answer->text);
    return status;
}

static enum status control_spawn(const struct control_request *request, struct control_answer *answer)
{
    struct service *service = service_find(request->name);

    if (service == NULL)
        service = service_of_file(request->name, answer);
    if (service == NULL)
        return STATUS_NOT_FOUND;
    if (service->state == SERVICE_RUNNING) {
        answer->process_id = service->process_id;
        text_copy(answer->text, "it runs already; restart starts it anew", sizeof answer->text);
        return STATUS_BUSY;
    }
    text_copy(service->arguments, request->arguments, sizeof service->arguments);
    service->window_ns = 0;
    return start(service, answer);
}

static enum status control_restart(const struct control_request *request, struct control_answer *answer)
{
    struct service *service = service_find(request->name);

    if (service == NULL) {
        text_copy(answer->text, "there is no such service; spawn starts one", sizeof answer->text);
        return STATUS_NOT_FOUND;
    }
    service->window_ns = 0;
    if (service->state != SERVICE_RUNNING)
        return start(service, answer);
    answer->process_id = service->process_id;
    text_copy(answer->text, "it is ended, and then started anew", sizeof answer->text);
    service_stop(service, true);
    return STATUS_OK;
}

static enum status control_kill(const struct control_request *request, struct control_answer *answer)
{
    struct service *service = service_find(request->name);

    if (service == NULL || service->state == SERVICE_IDLE) {
        text_copy(answer->text, service == NULL ? "there is no such service" : "it does not run", sizeof answer->text);
        return STATUS_NOT_FOUND;
    }
    answer->process_id = service->state == SERVICE_RUNNING ? service->process_id : 0;
    service_stop(service, false);
    return STATUS_OK;
}

/* How many of those that the manifest wants at boot were started, and how many wait for `spawn`. */
static enum status control_ready(struct control_answer *answer)
{
    unsigned wanted = 0, started = 0;

    for (unsigned i = 0; i < service_count; i++) {
        wanted += !services[i]->wanted.asked;
        started += !services[i]->wanted.asked && services[i]->process_id != 0;
    }
    snprintf(answer->text, sizeof answer->text,
             wanted != service_count ? "%u of %u services were started, %u when asked"
                                     : "%u of %u services were started",
             started, wanted, service_count - wanted);
    return STATUS_OK;
}

uint64_t control_answer_call(struct server *server, struct request *request, struct message_buffer *buffer)
{
    struct control_request wanted = {0};
    struct control_answer answer = {0};
    enum status status = STATUS_UNSUPPORTED;
    size_t size = MESSAGE_BYTES(request->message);

    (void)server;
    memcpy(&wanted, buffer->words, size < sizeof wanted ? size : sizeof wanted);
    wanted.name[sizeof wanted.name - 1] = '\0';
    wanted.arguments[sizeof wanted.arguments - 1] = '\0';
    switch (MESSAGE_LABEL(request->message)) {
    case CONTROL_SPAWN:
        status = control_spawn(&wanted, &answer);
        break;
    case CONTROL_RESTART:
        status = control_restart(&wanted, &answer);
        break;
    case CONTROL_KILL:
        status = control_kill(&wanted, &answer);
        break;
    case CONTROL_READY:
        status = control_ready(&answer);
        break;
    default:
        break;
    }
    memcpy(buffer->words, &answer, sizeof answer);
    return MESSAGE(status, sizeof answer, 0);
}
