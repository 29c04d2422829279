/* test_interrupt.c: platform/interrupt.c over a controller that the test plays. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "host_log.h"
#include "platform/interrupt.c"

/* ---- The machine ----------------------------------------------------------------------------------- */

enum { LINES = 256 };

static struct {
    bool routed, open;
    uint32_t line; /* MACHINE_NO_LINE: a message */
} inputs[INTERRUPT_MAX_ROUTES];
static bool messages;
static uint64_t now_ns;
static struct cpu cpu;
static int disabled;

void controller_init(const struct machine *machine)
{
    (void)machine;
}

void controller_report(struct printer *printer)
{
    print(printer, "controller: played\n");
}

enum status controller_route_line(const struct machine_line *line, uint32_t route)
{
    assert_true(line->line != MACHINE_NO_LINE);
    if (line->line >= LINES)
        return STATUS_NOT_FOUND;
    assert_false(inputs[route].routed);
    for (unsigned i = 0; i < INTERRUPT_MAX_ROUTES; i++)
        assert_false(inputs[i].routed && inputs[i].line == line->line); /* once per line */
    inputs[route].routed = true;
    inputs[route].open = false;
    inputs[route].line = line->line;
    return STATUS_OK;
}

enum status controller_route_message(const struct message_source *from, uint32_t route, struct message *message)
{
    if (from->requester == 0xffff)
        return STATUS_UNSUPPORTED;
    assert_false(inputs[route].routed);
    inputs[route].routed = true;
    inputs[route].open = false;
    inputs[route].line = MACHINE_NO_LINE;
    *message = (struct message){.address = 0xfee00000, .data = route};
    return STATUS_OK;
}

static unsigned cpus = 1;
static struct cpu other; /* CPU 1 */

unsigned cpu_count(void)
{
    return cpus;
}

struct cpu *cpu_at(unsigned index)
{
    return index == 0 ? &cpu : &other;
}

enum status controller_direct(uint32_t route, unsigned to, struct message *message)
{
    assert_true(inputs[route].routed);
    *message = (struct message){.address = 0xfee00000 + 0x1000 * to, .data = route};
    return to == 3 ? STATUS_UNSUPPORTED : STATUS_OK;
}

void controller_release(uint32_t route)
{
    assert_true(inputs[route].routed);
    assert_false(inputs[route].open); /* masked first */
    inputs[route].routed = false;
}

void controller_mask(uint32_t route)
{
    assert_true(inputs[route].routed);
    inputs[route].open = false;
}

void controller_unmask(uint32_t route)
{
    assert_true(inputs[route].routed);
    inputs[route].open = true;
}

bool controller_has_messages(void)
{
    return messages;
}

uint64_t clock_now(void)
{
    return now_ns;
}

static struct cpu *runs = &cpu;
static void (*while_waiting)(void);

struct cpu *cpu_local(void)
{
    return runs;
}

void ipi_relax(void)
{
    assert_non_null(while_waiting); /* else it waits for ever */
    while_waiting();
}

uintptr_t cpu_interrupts_disable(void)
{
    return disabled++ == 0;
}

void cpu_interrupts_restore(uintptr_t saved)
{
    disabled--;
    assert_int_equal(saved, disabled == 0);
}

/* ---- Devices ---------------------------------------------------------------------------------------------- */

enum { DEVICES = 8 };
static unsigned taken[DEVICES];

static void count_one(void *context)
{
    assert_int_equal(cpu.interrupt_depth, 1);
    taken[(uintptr_t)context]++;
}

static int fresh(void **state)
{
    (void)state;
    for (unsigned i = 0; i < GROUPS; i++)
        free(groups[i]);
    memset(groups, 0, sizeof groups);
    route_count = 0;
    memset(inputs, 0, sizeof inputs);
    memset(taken, 0, sizeof taken);
    memset(&cpu, 0, sizeof cpu);
    spurious_count = 0;
    messages = true;
    now_ns = 1;
    host_log_clear();
    return 0;
}

static int balanced(void **state)
{
    (void)state;
    return disabled + (int)cpu.interrupt_depth;
}

static uint32_t attach(uint32_t line, uintptr_t device)
{
    struct machine_line wire = {.line = line, .trigger = TRIGGER_LEVEL, .polarity = POLARITY_LOW};
    uint32_t route;

    assert_int_equal(interrupt_attach_line(&wire, "device", count_one, (void *)device, &route), STATUS_OK);
    return route;
}

static bool line_open(uint32_t line)
{
    for (unsigned i = 0; i < INTERRUPT_MAX_ROUTES; i++)
        if (inputs[i].routed && inputs[i].line == line)
            return inputs[i].open;
    return false;
}

/* Delivers when the controller would. */
static bool raise_line(uint32_t line)
{
    now_ns += 1000000;
    for (unsigned i = 0; i < INTERRUPT_MAX_ROUTES; i++)
        if (inputs[i].routed && inputs[i].line == line && inputs[i].open) {
            interrupt_dispatch(i);
            return true;
        }
    return false;
}

/* ---- One line ------------------------------------------------------------------------------------------ */

static void test_life_of_a_line(void **state)
{
    (void)state;
    uint32_t route = attach(4, 1);
    assert_false(raise_line(4)); /* starts masked */
    interrupt_unmask(route);
    assert_true(raise_line(4));
    assert_int_equal(taken[1], 1);
    assert_int_equal(interrupt_count(route), 1);
    interrupt_mask(route);
    assert_false(raise_line(4));
    interrupt_unmask(route);
    assert_true(raise_line(4));
    interrupt_detach(route);
    assert_false(raise_line(4));
    assert_int_equal(taken[1], 2);
    assert_int_equal(interrupt_count(route), 0);
    assert_int_equal(cpu.interrupts, 2);
}

static void test_lines_that_do_not_exist(void **state)
{
    struct machine_line none = {.line = MACHINE_NO_LINE}, beyond = {.line = LINES};
    uint32_t route = 7;

    (void)state;
    assert_int_equal(interrupt_attach_line(&none, "x", count_one, NULL, &route), STATUS_NOT_FOUND);
    assert_int_equal(interrupt_attach_line(&beyond, "x", count_one, NULL, &route), STATUS_NOT_FOUND);
    assert_int_equal(attach(3, 0), 0); /* nothing was kept by the failures */
}

static void test_routes_that_do_not_exist(void **state)
{
    (void)state;
    interrupt_mask(5);
    interrupt_unmask(5);
    interrupt_detach(5);
    interrupt_detach(UINT32_MAX);
    interrupt_unmask(UINT32_MAX);
    assert_int_equal(interrupt_count(UINT32_MAX), 0);
    interrupt_dispatch(5);
    interrupt_dispatch(UINT32_MAX);
    assert_int_equal(spurious_count, 2);
    assert_int_equal(host_log_count(LOG_WARN), 1); /* said once, counted always */
    assert_true(host_log_has("route 5 arrived for nobody"));
}

static void test_all_routes_taken(void **state)
{
    struct machine_line one_more = {.line = 200};
    struct message_source from = {.requester = 8};
    struct message message;
    uint32_t route;

    (void)state;
    for (uint32_t i = 0; i < INTERRUPT_MAX_ROUTES; i++)
        assert_int_equal(attach(i, 0), i);
    assert_int_equal(interrupt_attach_line(&one_more, "x", count_one, NULL, &route), STATUS_LIMIT);
    one_more.line = 3; /* also as a sharer */
    assert_int_equal(interrupt_attach_line(&one_more, "x", count_one, NULL, &route), STATUS_LIMIT);
    assert_int_equal(interrupt_attach_message(&from, "x", count_one, NULL, &route, &message), STATUS_LIMIT);
    interrupt_detach(17);
    assert_int_equal(attach(201, 0), 17);
}

/* ---- Shared lines ---------------------------------------------------------------------------------------- */

static void test_all_open_sharers_are_called(void **state)
{
    (void)state;
    uint32_t a = attach(11, 1), b = attach(11, 2), c = attach(11, 3);
    assert_true(a != b && b != c && a != c);
    interrupt_unmask(a);
    interrupt_unmask(b);
    raise_line(11);
    assert_int_equal(taken[1], 1);
    assert_int_equal(taken[2], 1);
    assert_int_equal(taken[3], 0); /* never unmasked: it starts masked */
    assert_int_equal(interrupt_count(b), 1);
}

static void test_newcomer_does_not_stop_its_neighbour(void **state)
{
    (void)state;
    uint32_t a = attach(11, 1);
    interrupt_unmask(a);
    uint32_t b = attach(11, 2);
    assert_true(line_open(11));
    interrupt_mask(b); /* still not begun */
    assert_true(line_open(11));
    interrupt_detach(b);
    assert_true(line_open(11));
}

/* A handler that masks its route has a device that still asserts: the line must close, or it storms. */
static void test_masking_one_masks_the_line(void **state)
{
    (void)state;
    uint32_t a = attach(11, 1), b = attach(11, 2);
    interrupt_unmask(a);
    interrupt_unmask(b);
    interrupt_mask(b);
    assert_false(line_open(11));
    interrupt_unmask(a);
    assert_false(line_open(11));
    interrupt_unmask(b);
    assert_true(line_open(11));
    interrupt_mask(a);
    interrupt_detach(a); /* what it held, it holds no longer */
    assert_true(line_open(11));
    raise_line(11);
    assert_int_equal(taken[1], 0);
    assert_int_equal(taken[2], 1);
}

static void test_first_sharer_may_go_first(void **state)
{
    (void)state;
    uint32_t a = attach(11, 1), b = attach(11, 2);
    interrupt_unmask(a);
    interrupt_unmask(b);
    interrupt_detach(a);
    interrupt_detach(a);
    raise_line(11);
    assert_int_equal(taken[1], 0);
    assert_int_equal(taken[2], 1);
    uint32_t c = attach(12, 3);
    assert_true(c != a && c != b); /* the slot is still the line's */
    assert_int_equal(attach(11, 4), a);
    interrupt_unmask(a);
    raise_line(11);
    assert_int_equal(taken[4], 1);
    assert_int_equal(taken[2], 2);
    interrupt_detach(a);
    interrupt_detach(b);
    assert_int_equal(attach(13, 5), a); /* all gone: free again */
}

static uint32_t victim;

static void detach_victim(void *context)
{
    count_one(context);
    interrupt_detach(victim);
}

static void test_detached_by_a_neighbours_handler(void **state)
{
    struct machine_line wire = {.line = 9, .trigger = TRIGGER_LEVEL, .polarity = POLARITY_LOW};
    uint32_t a;

    (void)state;
    assert_int_equal(interrupt_attach_line(&wire, "killer", detach_victim, (void *)1, &a), STATUS_OK);
    victim = attach(9, 2);
    interrupt_unmask(a);
    interrupt_unmask(victim);
    raise_line(9);
    assert_int_equal(taken[1], 1);
    assert_int_equal(taken[2], 0); /* no handler runs after interrupt_detach has returned */
    victim = a;
    raise_line(9); /* detaches itself, and the line with it */
    assert_false(inputs[a].routed);
}

static void test_sharers_that_disagree(void **state)
{
    struct machine_line edge = {.line = 10, .trigger = TRIGGER_EDGE, .polarity = POLARITY_HIGH};
    uint32_t route;

    (void)state;
    attach(10, 1);
    assert_int_equal(interrupt_attach_line(&edge, "other", count_one, (void *)2, &route), STATUS_OK);
    assert_true(host_log_has("line 10 is shared with another trigger or polarity"));
}

/* Random attaching, masking and detaching against the rules as they are written in the file's head. */
static void test_sharing_against_a_model(void **state)
{
    enum { SLOTS = 24, USED_LINES = 4 };
    struct {
        bool attached;
        uint32_t line, route;
        enum route_state state;
    } model[SLOTS] = {0};

    (void)state;
    for (unsigned step = 0; step < 20000; step++) {
        unsigned i = (unsigned)random() % SLOTS;
        unsigned action = (unsigned)random() % 4;
        if (!model[i].attached) {
            model[i].line = (unsigned)random() % USED_LINES;
            model[i].route = attach(model[i].line, 0);
            model[i].attached = true;
            model[i].state = ROUTE_NEW;
        } else if (action == 0) {
            interrupt_detach(model[i].route);
            model[i].attached = false;
        } else if (action == 1) {
            interrupt_mask(model[i].route);
            model[i].state = model[i].state == ROUTE_NEW ? ROUTE_NEW : ROUTE_HELD;
        } else {
            interrupt_unmask(model[i].route);
            model[i].state = ROUTE_OPEN;
        }
        for (uint32_t line = 0; line < USED_LINES; line++) {
            bool open = false, held = false;
            for (unsigned j = 0; j < SLOTS; j++)
                if (model[j].attached && model[j].line == line) {
                    open |= model[j].state == ROUTE_OPEN;
                    held |= model[j].state == ROUTE_HELD;
                }
            assert_int_equal(line_open(line), open && !held);
        }
        for (unsigned j = 0; j < SLOTS; j++)
            for (unsigned k = 0; k < j; k++)
                assert_false(model[j].attached && model[k].attached && model[j].route == model[k].route);
    }
}

/* ---- Messages -------------------------------------------------------------------------------------------- */

static void test_life_of_a_message(void **state)
{
    struct message_source from = {.requester = 8, .vector_count = 2};
    struct message message;
    uint32_t route;

    (void)state;
    assert_int_equal(interrupt_attach_message(&from, "nic", count_one, (void *)1, &route, &message), STATUS_OK);
    assert_int_equal(message.data, route);
    assert_false(inputs[route].open);
    interrupt_dispatch(route); /* sent all the same: a device's own mask may have failed */
    assert_int_equal(taken[1], 0);
    interrupt_unmask(route);
    interrupt_dispatch(route);
    assert_int_equal(taken[1], 1);
    interrupt_detach(route);
    interrupt_dispatch(route); /* one that was still on its way */
    assert_int_equal(taken[1], 1);
    assert_int_equal(spurious_count, 1);
}

static void test_messages_that_cannot_be(void **state)
{
    struct message_source from = {.requester = 0xffff};
    struct message message;
    uint32_t route;

    (void)state;
    assert_int_equal(interrupt_attach_message(&from, "x", count_one, NULL, &route, &message), STATUS_UNSUPPORTED);
    messages = false;
    from.requester = 1;
    assert_int_equal(interrupt_attach_message(&from, "x", count_one, NULL, &route, &message), STATUS_UNSUPPORTED);
    assert_int_equal(attach(1, 0), 0);
}

/* ---- Storms ---------------------------------------------------------------------------------------------- */

static void test_stuck_line_is_masked(void **state)
{
    unsigned times = 0;

    (void)state;
    uint32_t route = attach(5, 1);
    interrupt_unmask(route);
    while (line_open(5) && times < 1000000) {
        interrupt_dispatch(route);
        now_ns += 2000;
        times++;
    }
    assert_in_range(times, STORM_SCORE, STORM_SCORE + 10);
    assert_true(host_log_has("line 5 (device) interrupts without pause; it is masked"));
    interrupt_unmask(route); /* a driver that believes in it again */
    assert_true(raise_line(5));
    assert_true(line_open(5));
}

static void test_stuck_line_stays_masked_for_all_sharers(void **state)
{
    (void)state;
    uint32_t a = attach(5, 1), b = attach(5, 2);
    interrupt_unmask(a);
    interrupt_unmask(b);
    for (unsigned i = 0; i <= STORM_SCORE; i++)
        interrupt_dispatch(a);
    assert_false(line_open(5));
    interrupt_unmask(b);
    assert_false(line_open(5)); /* the other's route is held too */
}

static void test_busy_line_is_left_alone(void **state)
{
    (void)state;
    uint32_t route = attach(5, 1);
    interrupt_unmask(route);
    for (unsigned i = 0; i < 200000; i++) {
        interrupt_dispatch(route);
        now_ns += i % 50 == 0 ? 20000 : 3000; /* now and then somebody else gets to run */
    }
    assert_true(line_open(5));
    assert_int_equal(host_log_count(LOG_ERROR), 0);
}

static void test_edges_cannot_be_stuck(void **state)
{
    struct machine_line edge = {.line = 4, .trigger = TRIGGER_EDGE, .polarity = POLARITY_HIGH};
    uint32_t route;

    (void)state;
    assert_int_equal(interrupt_attach_line(&edge, "serial", count_one, (void *)1, &route), STATUS_OK);
    interrupt_unmask(route);
    for (unsigned i = 0; i < 3 * STORM_SCORE; i++)
        interrupt_dispatch(route);
    assert_true(line_open(4));
}

/* ---- Report ---------------------------------------------------------------------------------------------- */

static char report[4096];
static size_t report_used;

static void keep(struct printer *printer, const char *text, size_t length)
{
    (void)printer;
    assert_true(report_used + length < sizeof report);
    memcpy(report + report_used, text, length);
    report_used += length;
    report[report_used] = '\0';
}

static void test_report(void **state)
{
    struct printer printer = {.write = keep};

    (void)state;
    uint32_t a = attach(11, 1);
    attach(11, 2);
    interrupt_unmask(a);
    raise_line(11);
    report_used = 0;
    interrupt_report(&printer);
    assert_string_equal(report, "controller: played\n"
                                "route 0: device, line 11, shared, open, 1 taken\n"
                                "route 1: device, line 11, shared, masked, 0 taken\n"
                                "spurious interrupts: 0\n");
}

/* ---- Several CPUs --------------------------------------------------------------------------------------- */

static void test_directed(void **state)
{
    struct message_source source = {.requester = 8, .vector_count = 1};
    struct machine_line line = {.line = 5};
    struct message message;
    uint32_t route, wired;

    (void)state;
    messages = true;
    cpus = 4;
    assert_int_equal(interrupt_attach_message(&source, "a", count_one, (void *)0, &route, &message), STATUS_OK);
    assert_int_equal(interrupt_attach_line(&line, "b", count_one, (void *)1, &wired), STATUS_OK);
    assert_int_equal(interrupt_direct(route, 2, &message), STATUS_OK);
    assert_int_equal(message.address, 0xfee02000);
    assert_int_equal(route_at(route)->cpu, 2);
    assert_int_equal(interrupt_direct(route, 3, &message), STATUS_UNSUPPORTED);
    assert_int_equal(route_at(route)->cpu, 2);
    assert_int_equal(interrupt_direct(route, 4, &message), STATUS_OUT_OF_RANGE);
    assert_int_equal(interrupt_direct(wired, 1, &message), STATUS_UNSUPPORTED);
    assert_int_equal(interrupt_direct(INTERRUPT_MAX_ROUTES, 1, &message), STATUS_UNSUPPORTED);
    interrupt_detach(route);
    assert_int_equal(interrupt_direct(route, 1, &message), STATUS_UNSUPPORTED);
    interrupt_detach(wired);
    cpus = 1;
}

static uint32_t waited_for;
static unsigned waits;

/* CPU 1 runs the handler meanwhile. What comes now is not handled any more, and the place is not free yet. */
static void other_ends(void)
{
    struct cpu *before = runs;

    assert_int_equal(disabled, 0); /* the lock is free: the handler may mask and unmask */
    assert_int_equal(route_at(waited_for)->kind, ROUTE_MESSAGE);
    unsigned had = taken[3];
    runs = &other;
    uint32_t running = other.dispatching;
    interrupt_dispatch(waited_for);
    other.dispatching = running;
    runs = before;
    assert_int_equal(taken[3], had);
    if (++waits == 3)
        other.dispatching = 0;
}

static void test_detach_waits_for_the_handler(void **state)
{
    struct message_source source = {.requester = 8, .vector_count = 1};
    struct message message;
    uint32_t route;

    (void)state;
    messages = true;
    cpus = 2;
    other = (struct cpu){.index = 1};
    assert_int_equal(interrupt_attach_message(&source, "a", count_one, (void *)3, &route, &message), STATUS_OK);
    interrupt_unmask(route);
    waited_for = route;
    waits = 0;
    while_waiting = other_ends;
    other.dispatching = route + 1;
    interrupt_detach(route);
    assert_int_equal(waits, 3);
    assert_int_equal(route_at(route)->kind, ROUTE_FREE);
    while_waiting = NULL;

    /* Another route's handler, or this CPU's own, which is what detaches, is not waited for. */
    assert_int_equal(interrupt_attach_message(&source, "a", count_one, (void *)3, &route, &message), STATUS_OK);
    other.dispatching = route + 2;
    cpu.dispatching = route + 1;
    interrupt_detach(route);
    cpu.dispatching = 0;
    cpus = 1;
}

/* A private line is every CPU's timer: however often those come together, none is stuck. */
static void test_pace_is_the_boot_cpus(void **state)
{
    struct machine_line line = {.line = 27, .trigger = TRIGGER_LEVEL};
    uint32_t route;

    (void)state;
    assert_int_equal(interrupt_attach_line(&line, "timer", count_one, (void *)0, &route), STATUS_OK);
    interrupt_unmask(route);
    other = (struct cpu){.index = 1};
    runs = &other;
    cpu.interrupt_depth = 1; /* handle() looks there */
    for (unsigned i = 0; i < 2 * STORM_SCORE; i++)
        interrupt_dispatch(route);
    cpu.interrupt_depth = 0;
    runs = &cpu;
    assert_int_equal(host_log_count(LOG_ERROR), 0);
    assert_true(inputs[route].open);
    assert_int_equal(other.interrupts, 2 * STORM_SCORE);
    interrupt_detach(route);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, fresh, balanced)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        CASE(test_directed),
        CASE(test_detach_waits_for_the_handler),
        CASE(test_pace_is_the_boot_cpus),
        CASE(test_life_of_a_line),
        CASE(test_lines_that_do_not_exist),
        CASE(test_routes_that_do_not_exist),
        CASE(test_all_routes_taken),
        CASE(test_all_open_sharers_are_called),
        CASE(test_newcomer_does_not_stop_its_neighbour),
        CASE(test_masking_one_masks_the_line),
        CASE(test_first_sharer_may_go_first),
        CASE(test_detached_by_a_neighbours_handler),
        CASE(test_sharers_that_disagree),
        CASE(test_sharing_against_a_model),
        CASE(test_life_of_a_message),
        CASE(test_messages_that_cannot_be),
        CASE(test_stuck_line_is_masked),
        CASE(test_stuck_line_stays_masked_for_all_sharers),
        CASE(test_busy_line_is_left_alone),
        CASE(test_edges_cannot_be_stuck),
        CASE(test_report),
    };

    srandom(1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
