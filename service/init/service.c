/* service.c: one service: started, watched, ended, started again. */
#include "init.h"

#include <lib/cpio.h>
#include <lib/malloc.h>
#include <lib/string.h>
#include <lib/text.h>

/* How long a service waits at most before it is started again, and what the scheduler takes at least as a budget. */
#define BACKOFF_MOST_NS (10 * NANOSECONDS_PER_SECOND)
#define BUDGET_LEAST_NS (20 * NANOSECONDS_PER_MICROSECOND)

struct service *services[SERVICES_MOST];
unsigned service_count;

/* ---- What there is -------------------------------------------------------------------------------------------------
 */

struct service *service_find(const char *name)
{
    for (unsigned i = 0; i < service_count; i++)
        if (strcmp(services[i]->wanted.name, name) == 0)
            return services[i];
    return NULL;
}

struct service *service_add(const struct manifest_service *wanted)
{
    struct service *service = service_count < SERVICES_MOST ? calloc(1, sizeof *service) : NULL;

    if (service == NULL)
        return NULL;
    service->wanted = *wanted;
    services[service_count++] = service;
    return service;
}

static uint64_t bit_of(const struct service *service)
{
    unsigned i = 0;

    while (services[i] != service)
        i++;
    return UINT64_C(1) << i;
}

/* Mapped once, and for good: what the manifest says is read from it again and again. */
static uint64_t archive;

bool ramdisk_file(const char *name, const void **data, size_t *size)
{
    static struct memory_info info;
    handle memory = start_handle("ramdisk");
    uint64_t written;

    if (archive == 0 && (vmos_object_info(memory, &info, sizeof info, &written) != STATUS_OK ||
                         vmos_memory_map(0, memory, 0, 0, info.size, RIGHT_READ, &archive) != STATUS_OK))
        return false;
    return cpio_find((const void *)(uintptr_t)archive, info.size, name, data, size) == STATUS_OK;
}

/* ---- Start ---------------------------------------------------------------------------------------------------------
 */

/* argv[0] is the program's name, by which the kernel finds its symbols. */
static void fill_arguments(const struct service *service, char *arguments, size_t *size)
{
    const char *text = service->arguments[0] != '\0' ? service->arguments : service->wanted.arguments;
    size_t length = service->arguments[0] != '\0' ? strlen(text) : service->wanted.arguments_length;
    size_t at = text_copy(arguments, service->wanted.program, NAME_SIZE) + 1;

    for (size_t i = 0; i < length; i++) {
        if (text[i] != ' ' && text[i] != '\t')
            arguments[at++] = text[i];
        if ((text[i] == ' ' || text[i] == '\t' || i + 1 == length) && arguments[at - 1] != '\0')
            arguments[at++] = '\0';
    }
    *size = at;
}

static void add_handle(struct spawn *spawn, const char *name, handle value, uint32_t rights)
{
    spawn->handles[spawn->handle_count++] = (struct spawn_handle){.name = name, .value = value, .rights = rights};
}

/* A phrase of which one part is a name, until the next. The prompt has room for 47 characters. */
static const char *phrase(const char *format, const char *name)
{
    static char text[48];

    snprintf(text, sizeof text, format, name);
    return text;
}

/* What init has by that name, but for the right to end or revoke it. */
static const char *add_given(struct spawn *spawn, const struct manifest_list *give)
{
    for (unsigned i = 0; i < give->count; i++) {
        handle value = start_handle(give->words[i]);
        enum object_type type;
        uint32_t rights;
        if (strcmp(give->words[i], "control") == 0 || strcmp(give->words[i], "self") == 0 ||
            vmos_handle_info(value, &type, &rights) != STATUS_OK)
            return phrase("init has no %s to give", give->words[i]);
        add_handle(spawn, give->words[i], value, rights & ~(uint32_t)RIGHT_MANAGE);
    }
    return NULL;
}

/* Who offers receives; who uses calls, and the badge says which service it is. */
static const char *add_endpoints(struct spawn *spawn, const struct service *service, handle *badged)
{
    const uint32_t common = RIGHT_INSPECT | RIGHT_DUPLICATE | RIGHT_TRANSFER;
    const struct manifest_list *offer = &service->wanted.offer, *use = &service->wanted.use;

    for (unsigned i = 0; i < offer->count; i++)
        add_handle(spawn, offer->words[i], offer_endpoint(offer->words[i]), RIGHT_RECEIVE | RIGHT_INSPECT);
    for (unsigned i = 0; i < use->count; i++) {
        handle endpoint = offer_endpoint(use->words[i]);
        if (!offer_exists(use->words[i]))
            return phrase("no service offers %s, which it uses", use->words[i]);
        if (vmos_handle_duplicate(endpoint, RIGHT_CALL | common, bit_of(service), &badged[i]) != STATUS_OK)
            return "there are no handles left for what it uses";
        add_handle(spawn, use->words[i], badged[i], RIGHT_CALL | common);
    }
    return NULL;
}

static void fill_parameters(const struct service *service, struct spawn *spawn)
{
    const struct manifest_service *wanted = &service->wanted;

    memcpy(spawn->process.name, wanted->name, sizeof spawn->process.name);
    memcpy(spawn->process.limits, wanted->limits, sizeof spawn->process.limits);
    spawn->process.cpus = wanted->cpus;
    spawn->process.highest_priority = (uint32_t)wanted->priority;
    spawn->stack_size = wanted->stack;
    if (wanted->cpu_promille == 0)
        return;
    uint64_t budget_ns = wanted->period_ns / 1000 * wanted->cpu_promille;
    spawn->thread.priority = (uint32_t)wanted->priority;
    spawn->thread.period_ns = wanted->period_ns;
    spawn->thread.budget_ns = budget_ns > BUDGET_LEAST_NS ? budget_ns : BUDGET_LEAST_NS;
}

static enum status try_start(struct service *service, struct spawn *spawn)
{
    handle badged[MANIFEST_LISTED_MOST] = {0};
    char path[sizeof "bin/" + NAME_SIZE];
    enum status status = STATUS_NOT_FOUND;

    snprintf(path, sizeof path, "bin/%s", service->wanted.program);
    spawn->why = phrase("the ramdisk has no %s", path);
    if (ramdisk_file(path, &spawn->file, &spawn->size)) {
        spawn->memory = start_handle("ramdisk");
        spawn->offset = (uintptr_t)spawn->file - archive;
        add_handle(spawn, "self", 0, RIGHT_INSPECT | RIGHT_WAIT | RIGHT_DUPLICATE | RIGHT_TRANSFER);
        spawn->why = add_given(spawn, &service->wanted.give);
        if (spawn->why == NULL)
            spawn->why = add_endpoints(spawn, service, badged);
        if (spawn->why == NULL)
            status = spawn_process(spawn, &service->process);
    }
    for (unsigned i = 0; i < MANIFEST_LISTED_MOST; i++)
        if (badged[i] != 0)
            vmos_handle_close(badged[i]);
    return status;
}

/* Which keys of its line have to do with it. */
static const char *look_at(enum status status)
{
    return status == STATUS_LIMIT    ? "; see memory=, handles=, objects=, cpu="
           : status == STATUS_DENIED ? "; see cpus="
                                     : "";
}

enum status service_start(struct service *service, const char **why)
{
    char arguments[NAME_SIZE + MANIFEST_LINE_MOST];
    struct spawn spawn = {.arguments = arguments};
    struct process_info info;
    uint64_t written;

    service->stopped = service->again = false;
    service->state = SERVICE_IDLE;
    service->process_id = 0;
    fill_arguments(service, arguments, &spawn.arguments_size);
    fill_parameters(service, &spawn);
    enum status status = try_start(service, &spawn);
    if (status == STATUS_OK) {
        service->state = SERVICE_RUNNING;
        vmos_process_watch(service->process, notification, bit_of(service));
        if (vmos_object_info(service->process, &info, sizeof info, &written) == STATUS_OK)
            service->process_id = info.id;
        printf("%s is started as process %llu\n", service->wanted.name, (unsigned long long)service->process_id);
        *why = "";
        return STATUS_OK;
    }
    *why = spawn.why;
    printf("%s cannot be started: %s (%s%s)\n", service->wanted.name, *why, status_text(status), look_at(status));
    offers_end(service);
    return status;
}

/* ---- End -----------------------------------------------------------------------------------------------------------
 */

static void set_alarm(void)
{
    uint64_t first = DEADLINE_NEVER;

    for (unsigned i = 0; i < service_count; i++)
        if (services[i]->state == SERVICE_WAITING && services[i]->retry_at_ns < first)
            first = services[i]->retry_at_ns;
    vmos_notification_alarm(notification, ALARM_BIT, first);
}

void service_stop(struct service *service, bool again)
{
    service->stopped = true;
    service->again = again;
    if (service->state == SERVICE_RUNNING) {
        vmos_process_kill(service->process, 0);
    } else if (service->state == SERVICE_WAITING) {
        service->state = SERVICE_IDLE;
        printf("%s will not be started again\n", service->wanted.name);
        offers_end(service);
        set_alarm();
    }
}

/* It did not end well. What happens now; says so behind `how`. */
static void decide(struct service *service, const char *how)
{
    const struct manifest_service *wanted = &service->wanted;
    uint64_t now = now_ns();

    if (service->window_ns == 0 || now - service->window_ns > wanted->within_ns) {
        service->window_ns = now;
        service->restarts = 0;
        service->backoff_ns = wanted->backoff_ns;
    }
    if (service->restarts == wanted->limit) {
        printf("%s %s and is given up: started again %llu of at most %llu times in %llu s\n", wanted->name, how,
               (unsigned long long)service->restarts, (unsigned long long)wanted->limit,
               (unsigned long long)(wanted->within_ns / NANOSECONDS_PER_SECOND));
        offers_end(service);
        return;
    }
    service->restarts++;
    service->state = SERVICE_WAITING;
    service->retry_at_ns = now + service->backoff_ns;
    printf("%s %s; it will be started again in %llu ms (%llu of %llu)\n", wanted->name, how,
           (unsigned long long)(service->backoff_ns / NANOSECONDS_PER_MILLISECOND),
           (unsigned long long)service->restarts, (unsigned long long)wanted->limit);
    service->backoff_ns = 2 * service->backoff_ns < BACKOFF_MOST_NS ? 2 * service->backoff_ns : BACKOFF_MOST_NS;
}

static void ended(struct service *service)
{
    struct process_info info = {0};
    uint64_t written;
    char how[48] = "was ended";
    const char *why;

    vmos_object_info(service->process, &info, sizeof info, &written);
    vmos_handle_close(service->process);
    service->process = 0;
    service->state = SERVICE_IDLE;
    if (info.end == END_EXIT)
        snprintf(how, sizeof how, "has ended with code %lld", (long long)info.end_code);
    else if (info.end == END_CRASHED)
        snprintf(how, sizeof how, "has crashed");
    bool badly = info.end == END_CRASHED || (info.end == END_EXIT && info.end_code != 0);
    if (service->again) {
        printf("%s %s, to be started anew\n", service->wanted.name, how);
        service_start(service, &why);
    } else if (badly && service->wanted.restart && !service->stopped) {
        decide(service, how);
    } else {
        printf("%s %s\n", service->wanted.name, how);
        offers_end(service);
    }
}

void services_look(uint64_t bits)
{
    uint64_t now = now_ns();
    const char *why;

    for (unsigned i = 0; i < service_count; i++) {
        if ((bits & UINT64_C(1) << i) && services[i]->state == SERVICE_RUNNING)
            ended(services[i]);
        if (services[i]->state == SERVICE_WAITING && services[i]->retry_at_ns <= now)
            service_start(services[i], &why);
    }
    set_alarm();
}
