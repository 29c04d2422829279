/* test_audit.c: which events are kept, in which order, and that nobody pushes out what others did. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <kernel/process/audit.c>

#include "object_world.h"
#include "random.h"

enum { REPORT_MOST = 1 << 16 };

static uint64_t now_ns;
static char report[REPORT_MOST];
static size_t report_length;
static void (*meanwhile)(void); /* while a line of the report goes out */

uint64_t clock_now(void)
{
    return now_ns += NANOSECONDS_PER_MICROSECOND;
}

static void keep(struct printer *printer, const char *text, size_t length)
{
    (void)printer;
    assert_null(objects_lock.owner);
    assert_true(report_length + length < sizeof report);
    memcpy(report + report_length, text, length);
    report_length += length;
    report[report_length] = '\0';
    if (meanwhile != NULL)
        meanwhile();
}

static unsigned take_report(void)
{
    struct printer printer = {.write = keep};
    unsigned count = 0;

    report_length = 0;
    report[0] = '\0';
    audit_report(&printer);
    for (const char *at = report; *at != '\0'; at++)
        count += *at == '\n';
    return count;
}

static unsigned times(const char *part)
{
    unsigned count = 0;

    for (const char *at = report; (at = strstr(at, part)) != NULL; at++)
        count++;
    return count;
}

/* Processes as far as the record looks at them. */
static struct process *someone(uint64_t id)
{
    static struct process them[8];
    static unsigned next;
    struct process *process = &them[next++ % 8];

    *process = (struct process){.id = id};
    snprintf(process->name, sizeof process->name, "p");
    return process;
}

static void sent(uint64_t who, uint64_t whom, uint32_t rights)
{
    audit(AUDIT_TRANSFER, someone(who), someone(whom), OBJECT_MEMORY, rights);
}

static int begin(void **state)
{
    (void)state;
    world_heap_left = -1;
    meanwhile = NULL;
    now_ns = 0;
    return 0;
}

static int end(void **state)
{
    (void)state;
    free(record);
    record = NULL;
    return 0;
}

/* ---- What is said ---- */

static void nothing(void **state)
{
    (void)state;
    assert_int_equal(take_report(), 1);
    assert_string_equal(report, "nothing has been given, taken away or refused yet\n");
}

static void sentences(void **state)
{
    (void)state;
    audit(AUDIT_CREATE, NULL, someone(1), OBJECT_PROCESS, 0);
    audit(AUDIT_GRANT, someone(1), someone(2), OBJECT_CONSOLE, RIGHT_WRITE);
    audit(AUDIT_TRANSFER, someone(2), someone(3), OBJECT_MEMORY, RIGHT_READ | RIGHT_WRITE);
    audit(AUDIT_REVOKE, someone(3), NULL, OBJECT_ENDPOINT, 0);
    audit(AUDIT_END, someone(3), someone(3), OBJECT_PROCESS, 0);
    audit(AUDIT_END, someone(1), someone(2), OBJECT_PROCESS, 0);
    audit(AUDIT_CRASH, someone(4), NULL, OBJECT_PROCESS, 0);
    audit(AUDIT_CONSOLE, NULL, someone(5), OBJECT_PROCESS, 0);
    audit_refusal(someone(6), STATUS_DENIED);
    take_report();
    assert_string_equal(report, "[    0.000001] the kernel created p[1]\n"
                                "[    0.000002] p[1] gave p[2]: console -w---------\n"
                                "[    0.000003] p[2] sent p[3]: memory rw---------\n"
                                "[    0.000004] p[3] revoked: endpoint, all other handles of it\n"
                                "[    0.000005] p[3] ended itself\n"
                                "[    0.000006] p[1] ended p[2]\n"
                                "[    0.000007] p[4] crashed\n"
                                "[    0.000008] the kernel ended p[5], as asked at the console\n"
                                "[    0.000009] p[6] was refused: denied\n");
}

static void which_refusals(void **state)
{
    (void)state;
    for (unsigned status = 0; status < STATUS_COUNT; status++)
        audit_refusal(someone(1), (enum status)status);
    assert_int_equal(take_report(), 4);
}

/* ---- Which are kept ---- */

static void the_same_again_is_counted(void **state)
{
    (void)state;
    sent(1, 2, 1);
    sent(1, 3, 1);
    for (unsigned i = 0; i < 1000; i++)
        sent(1, 2, 1);
    assert_int_equal(take_report(), 2);
    assert_string_equal(report, "[    0.000002] p[1] sent p[3]: memory r----------\n"
                                "[    0.001002] p[1] sent p[2]: memory r----------, 1001 times\n");
    sent(1, 2, 2);
    sent(2, 1, 1);
    audit(AUDIT_GRANT, someone(1), someone(2), OBJECT_MEMORY, 1);
    audit(AUDIT_TRANSFER, someone(1), someone(2), OBJECT_ENDPOINT, 1);
    assert_int_equal(take_report(), 6); /* all of it must be the same */
    assert_int_equal(times("times"), 1);
}

static void the_oldest_makes_room(void **state)
{
    (void)state;
    for (uint64_t id = 1; id <= AUDIT_EVENTS + 3; id++)
        sent(id, 1000, 1);
    assert_int_equal(take_report(), AUDIT_EVENTS);
    assert_int_equal(times("p[3] sent"), 0);
    assert_ptr_equal(strstr(report, "p[4] sent"), report + strlen("[    0.000004] "));
    assert_int_equal(times("p[67] sent"), 1);
    sent(4, 1000, 1); /* comes to the end, and is no longer the next to go */
    sent(2000, 1000, 1);
    take_report();
    assert_int_equal(times("p[5] sent"), 0);
    assert_non_null(strstr(report, "p[4] sent p[1000]: memory r----------, 2 times\n"));
}

/* Rights in all combinations; a new child each time: they cost who does it, and nobody else. */
static void nobody_pushes_out_what_others_did(void **state)
{
    (void)state;
    for (uint64_t id = 1; id <= 40; id++)
        sent(id, 1000, 1);
    for (uint32_t rights = 0; rights < 1000; rights++)
        sent(500, 1000, rights);
    assert_int_equal(take_report(), 40 + AUDIT_SHARE);
    assert_int_equal(times("p[500] sent"), AUDIT_SHARE);
    for (uint64_t child = 2000; child < 3000; child++)
        audit(AUDIT_CREATE, someone(500), someone(child), OBJECT_PROCESS, 0);
    assert_int_equal(take_report(), 40 + AUDIT_SHARE);
    for (uint64_t id = 1; id <= 40; id++) {
        char text[32];
        snprintf(text, sizeof text, " p[%llu] sent", (unsigned long long)id);
        assert_int_equal(times(text), 1);
    }
    for (uint64_t child = 3000 - AUDIT_SHARE; child < 3000; child++) { /* its own newest stay */
        char text[32];
        snprintf(text, sizeof text, "created p[%llu]", (unsigned long long)child);
        assert_int_equal(times(text), 1);
    }
}

/* ---- While others go on ---- */

static uint64_t next_number;

static void more(void)
{
    sent(1 + next_number % 100, 5000 + next_number, 1);
    next_number++;
}

/* As many lines as there were events: those that come meanwhile do not keep it going, and none is told twice. */
static void a_report_ends(void **state)
{
    (void)state;
    for (unsigned i = 0; i < AUDIT_EVENTS; i++)
        more();
    meanwhile = more;
    assert_true(take_report() <= AUDIT_EVENTS);
    meanwhile = NULL;
    assert_int_equal(take_report(), AUDIT_EVENTS);
}

static void without_memory(void **state)
{
    (void)state;
    world_heap_left = 0;
    sent(1, 2, 1);
    assert_int_equal(take_report(), 1);
    world_heap_left = -1;
    sent(1, 2, 1);
    take_report();
    assert_int_equal(times("sent"), 1);
}

/* ---- Anything, beside a plain list ---- */

static struct plain {
    uint64_t who, whom, when;
    uint32_t rights;
    unsigned count;
} plain[AUDIT_EVENTS + 1];
static unsigned plain_count;

static void drop(unsigned at)
{
    memmove(&plain[at], &plain[at + 1], (--plain_count - at) * sizeof plain[0]);
}

static void add_plain(uint64_t who, uint64_t whom, uint32_t rights)
{
    struct plain event = {.who = who, .whom = whom, .rights = rights, .count = 1};
    unsigned own = 0;

    for (unsigned i = 0; i < plain_count; i++)
        if (plain[i].who == who && plain[i].whom == whom && plain[i].rights == rights) {
            event.count += plain[i].count;
            drop(i);
            break;
        }
    for (unsigned i = 0; i < plain_count; i++)
        own += plain[i].who == who;
    for (unsigned i = 0; i < plain_count && own >= AUDIT_EVENTS / 4; i++)
        if (plain[i].who == who) {
            drop(i);
            break;
        }
    if (plain_count == AUDIT_EVENTS)
        drop(0);
    event.when = now_ns / NANOSECONDS_PER_MICROSECOND;
    plain[plain_count++] = event;
}

static void anything(void **state)
{
    struct test_random random = test_random_start();
    char expected[REPORT_MOST];

    (void)state;
    plain_count = 0;
    for (unsigned i = 0; i < 20000; i++) {
        uint64_t who = 1 + test_random_below(&random, 1 + test_random_below(&random, 12)),
                 whom = 100 + test_random_below(&random, 8);
        uint32_t rights = (uint32_t)test_random_below(&random, 8);
        sent(who, whom, rights);
        add_plain(who, whom, rights);
        if (i % 50 != 0)
            continue;
        size_t length = 0;
        for (unsigned at = 0; at < plain_count; at++) {
            char letters[RIGHTS_TEXT_SIZE];
            rights_text(plain[at].rights, letters);
            length += (size_t)sprintf(expected + length, "[    0.%06llu] p[%llu] sent p[%llu]: memory %s",
                                      (unsigned long long)plain[at].when, (unsigned long long)plain[at].who,
                                      (unsigned long long)plain[at].whom, letters);
            if (plain[at].count > 1)
                length += (size_t)sprintf(expected + length, ", %u times", plain[at].count);
            length += (size_t)sprintf(expected + length, "\n");
        }
        take_report();
        assert_string_equal(report, expected);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(nothing),
        TEST(sentences),
        TEST(which_refusals),
        TEST(the_same_again_is_counted),
        TEST(the_oldest_makes_room),
        TEST(nobody_pushes_out_what_others_did),
        TEST(a_report_ends),
        TEST(without_memory),
        TEST(anything),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
