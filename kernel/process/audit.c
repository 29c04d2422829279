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
    uint64_t number; /* of all that ever came, by its last time */
    struct party who, whom;
    uint32_t rights;
    uint8_t kind, type;
    uint8_t status; /* AUDIT_DENIED */
};

struct record {
    uint64_t written;            /* ever */
    uint32_t used;               /* places */
    uint8_t order[AUDIT_EVENTS]; /* which event is in each place, the oldest first */
    struct event events[AUDIT_EVENTS];
};

static struct record *record; /* NULL: nothing happened yet, or there was no memory */

static struct party party(const struct process *process)
{
    struct party party = {.id = process != NULL ? process->id : 0};

    if (process != NULL)
        text_copy(party.name, process->name, sizeof party.name);
    return party;
}

static bool same(const struct event *a, const struct event *b)
{
    return a->kind == b->kind && a->who.id == b->who.id && a->whom.id == b->whom.id && a->type == b->type &&
           a->rights == b->rights && a->status == b->status;
}

/* The place of what is to make room: itself, when it came before; the oldest of his own, of who has his share; else a
 * free one, or the oldest of all. Every message with handles comes by here. */
static uint32_t place_for(const struct event *wanted)
{
    uint32_t own = 0, oldest_own = 0;

    for (uint32_t at = record->used; at-- > 0;) {
        const struct event *event = &record->events[record->order[at]];
        if (event->who.id != wanted->who.id)
            continue;
        if (same(event, wanted))
            return at;
        own++;
        oldest_own = at;
    }
    if (own >= AUDIT_SHARE)
        return oldest_own;
    return record->used < AUDIT_EVENTS ? record->used : 0;
}

static void add(struct event event)
{
    if (record == NULL)
        record = calloc(1, sizeof *record);
    if (record == NULL)
        return;
    uint32_t place = place_for(&event);
    if (place == record->used)
        record->order[record->used++] = (uint8_t)place;
    uint8_t at = record->order[place];
    event.when_ns = clock_now();
    event.number = ++record->written;
    event.count = same(&record->events[at], &event) ? record->events[at].count + 1 : 1;
    record->events[at] = event;
    memmove(record->order + place, record->order + place + 1, record->used - place - 1);
    record->order[record->used - 1] = at;
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

/* The first behind `after`, of those up to `*until`, which becomes the newest when it is 0. */
static bool next_event(uint64_t after, uint64_t *until, struct event *event)
{
    uintptr_t saved = lock_take(&objects_lock);
    bool found = false;

    if (record != NULL && *until == 0)
        *until = record->written;
    for (uint32_t at = 0; record != NULL && at < record->used && !found; at++) {
        const struct event *here = &record->events[record->order[at]];
        found = here->number > after && here->number <= *until;
        if (found)
            *event = *here;
    }
    lock_release(&objects_lock, saved);
    return found;
}

/* One event at a time: others go on while the serial port is written to. */
void audit_report(struct printer *printer)
{
    struct event event = {.number = 0};
    uint64_t until = 0;

    while (next_event(event.number, &until, &event))
        print_event(printer, &event);
    if (until == 0)
        print(printer, "nothing has been given, taken away or refused yet\n");
}
