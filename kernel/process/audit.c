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

static struct event *next(void)
{
    if (events == NULL)
        events = calloc(AUDIT_EVENTS, sizeof *events);
    return events != NULL ? &events[written++ % AUDIT_EVENTS] : NULL;
}

void audit(enum audit_event event, const struct process *who, const struct process *whom, enum object_type type,
           uint32_t rights)
{
    struct event *at = next();

    if (at != NULL)
        *at = (struct event){.when_ns = clock_now(),
                             .count = 1,
                             .who = party(who),
                             .whom = party(whom),
                             .rights = rights,
                             .kind = (uint8_t)event,
                             .type = (uint8_t)type};
}

static uint64_t oldest(void)
{
    return written > AUDIT_EVENTS ? written - AUDIT_EVENTS : 0;
}

/* How often this was refused lately; that event leaves the ring, and those behind it move up. */
static uint64_t take_out(uint64_t id, enum status status)
{
    uint64_t at = written, count = 0;

    while (at-- > oldest()) {
        const struct event *event = &events[at % AUDIT_EVENTS];
        if (event->kind == AUDIT_DENIED && event->status == status && event->who.id == id) {
            count = event->count;
            for (; at + 1 < written; at++)
                events[at % AUDIT_EVENTS] = events[(at + 1) % AUDIT_EVENTS];
            written--;
            break;
        }
    }
    return count;
}

void audit_refusal(const struct process *who, enum status status)
{
    if (status != STATUS_BAD_HANDLE && status != STATUS_REVOKED && status != STATUS_WRONG_TYPE &&
        status != STATUS_DENIED)
        return;
    uint64_t before = take_out(who->id, status);
    struct event *at = next();
    if (at != NULL)
        *at = (struct event){.when_ns = clock_now(),
                             .count = before + 1,
                             .who = party(who),
                             .kind = AUDIT_DENIED,
                             .status = (uint8_t)status};
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
        print(printer, "created %s\n", whom);
        break;
    case AUDIT_GRANT:
        print(printer, "gave %s: %s %s\n", whom, type, rights);
        break;
    case AUDIT_TRANSFER:
        print(printer, "sent %s: %s %s\n", whom, type, rights);
        break;
    case AUDIT_REVOKE:
        print(printer, "revoked: %s, all other handles of it\n", type);
        break;
    case AUDIT_END:
        print(printer, "ended %s\n", strcmp(who, whom) == 0 ? "itself" : whom);
        break;
    case AUDIT_DENIED:
        print(printer, "was refused: %s, %llu times\n", status_text((enum status)event->status),
              (unsigned long long)event->count);
        break;
    }
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
