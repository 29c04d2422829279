/* audit.c: see audit.h. */
#include "audit.h"

#include "names.h"

#include <lib/malloc.h>
#include <lib/string.h>
#include <lib/text.h>

struct party {
    char name[NAME_SIZE];
    uint64_t id; /* 0 and no name: the kernel, or nobody */
};

struct event {
    uint64_t when_ns, count;
    struct party who, whom;
    uint32_t rights;
    uint8_t kind, type;
    uint8_t status; /* AUDIT_DENIED */
};

static struct event *events; /* a ring; NULL: nothing happened yet, or there was no memory */
static uint64_t written;     /* ever */

static struct party party(const struct process *process)
{
    struct party party = {.id = process != NULL ? process->id : 0};

    if (process != NULL)
        text_copy(party.name, process->name, sizeof party.name);
    return party;
}

static uint64_t oldest(void)
{
    return written > AUDIT_EVENTS ? written - AUDIT_EVENTS : 0;
}

static bool same(const struct event *a, const struct event *b)
{
    return a->kind == b->kind && a->who.id == b->who.id && a->whom.id == b->whom.id && a->type == b->type &&
           a->rights == b->rights && a->status == b->status;
}

/* How often it has come lately; the event of before leaves the ring, and those behind it move up. */
static uint64_t take_out(const struct event *wanted)
{
    uint64_t at = written, count;

    do
        if (at-- == oldest())
            return 0;
    while (!same(&events[at % AUDIT_EVENTS], wanted));
    count = events[at % AUDIT_EVENTS].count;
    for (; at + 1 < written; at++)
        events[at % AUDIT_EVENTS] = events[(at + 1) % AUDIT_EVENTS];
    written--;
    return count;
}

static void add(struct event event)
{
    if (events == NULL)
        events = calloc(AUDIT_EVENTS, sizeof *events);
    if (events == NULL)
        return;
    event.when_ns = clock_now();
    event.count = 1 + take_out(&event);
    events[written++ % AUDIT_EVENTS] = event;
}

void audit(enum audit_event event, const struct process *who, const struct process *whom, enum object_type type,
           uint32_t rights)
{
    add((struct event){
        .who = party(who), .whom = party(whom), .rights = rights, .kind = (uint8_t)event, .type = (uint8_t)type});
}

void audit_refusal(const struct process *who, enum status status)
{
    if (status == STATUS_BAD_HANDLE || status == STATUS_REVOKED || status == STATUS_WRONG_TYPE ||
        status == STATUS_DENIED)
        add((struct event){.who = party(who), .kind = AUDIT_DENIED, .status = (uint8_t)status});
}

static void print_party(const struct party *party, char text[PROCESS_TEXT_SIZE])
{
    if (party->name[0] == '\0')
        text_copy(text, "the kernel", PROCESS_TEXT_SIZE);
    else
        snprintf(text, PROCESS_TEXT_SIZE, "%s[%llu]", party->name, (unsigned long long)party->id);
}

static void print_event(struct printer *printer, const struct event *event)
{
    char who[PROCESS_TEXT_SIZE], whom[PROCESS_TEXT_SIZE], rights[RIGHTS_TEXT_SIZE];
    const char *type = object_type_name(event->type);
    uint64_t us = event->when_ns / NANOSECONDS_PER_MICROSECOND;

    print_party(&event->who, who);
    print_party(&event->whom, whom);
    rights_text(event->rights, rights);
    print(printer, "[%5llu.%06llu] %s ", (unsigned long long)(us / 1000000), (unsigned long long)(us % 1000000), who);
    switch ((enum audit_event)event->kind) {
    case AUDIT_CREATE:
        print(printer, "created %s", whom);
        break;
    case AUDIT_GRANT:
        print(printer, "gave %s: %s %s", whom, type, rights);
        break;
    case AUDIT_TRANSFER:
        print(printer, "sent %s: %s %s", whom, type, rights);
        break;
    case AUDIT_REVOKE:
        print(printer, "revoked: %s, all other handles of it", type);
        break;
    case AUDIT_END:
        print(printer, "ended %s", strcmp(who, whom) == 0 ? "itself" : whom);
        break;
    case AUDIT_CRASH:
        print(printer, "crashed");
        break;
    case AUDIT_CONSOLE:
        print(printer, "ended %s, as asked at the console", whom);
        break;
    case AUDIT_DENIED:
        print(printer, "was refused: %s", status_text((enum status)event->status));
        break;
    }
    if (event->count > 1)
        print(printer, ", %llu times", (unsigned long long)event->count);
    print(printer, "\n");
}

/* One event at a time: others go on while the serial port is written to. */
void audit_report(struct printer *printer)
{
    bool any = false;

    for (uint64_t at = 0;; at++) {
        struct event event;
        uintptr_t saved = lock_take(&objects_lock);
        bool there = at < written;
        at = at < oldest() ? oldest() : at;
        if (there)
            event = events[at % AUDIT_EVENTS];
        lock_release(&objects_lock, saved);
        if (!there)
            break;
        print_event(printer, &event);
        any = true;
    }
    if (!any)
        print(printer, "nothing has been given, taken away or refused yet\n");
}
