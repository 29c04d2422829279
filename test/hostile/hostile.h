/*
 * hostile.h: what the hostile programs and their runner share.
 *
 * A case is a function of a program; the runner starts the program in a process of its own with the case's name, and
 * looks afterwards at how it ended and at what it left in its report, a page that both can write to. So a case that is
 * to crash says before what the kernel must say, and a case that has done all it wanted without a word of its own has
 * failed.
 */
#ifndef HOSTILE_H
#define HOSTILE_H

#include <vmos/service.h>

enum { PAGE = 4096 };

enum verdict { VERDICT_NONE, VERDICT_PASS, VERDICT_FAIL };

struct report {
    uint32_t verdict; /* enum verdict */
    uint32_t end;     /* how the process is to end, enum process_end */
    uint64_t code;    /* with what code, where `code_known` */
    uint32_t code_known;
    uint32_t phase; /* of a process that others watch: how far it has come */
    uint64_t shared[8];
    char detail[160];
};

/* What every case has: handles "self" (its process), "clock", "report", "ramdisk" (read), "console" (not to write). */
extern volatile struct report *report;
extern handle self_process;
extern uint64_t seed, scale; /* scale: how much of it, in hundredths of what is usual */
extern const char *case_name;

/* Of each program. */
struct hostile_case {
    const char *name;
    void (*run)(void);
};
extern const struct hostile_case hostile_cases[]; /* ends with a NULL */

/* The next number of the generator that `seed` began. */
uint64_t chance(void);
uint64_t chance_below(uint64_t bound);

void pass(const char *format, ...) __attribute__((format(printf, 1, 2)));
_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The next thing that this process does is its end. */
void must_crash(uint64_t address);
void must_crash_anywhere(void);

#define CHECK(condition, ...) ((condition) ? (void)0 : fail(__VA_ARGS__))
#define WANT(wanted, call)                                                                                             \
    do {                                                                                                               \
        enum status got_ = (call);                                                                                     \
        CHECK(got_ == (wanted), "%s is %s, not %s", #call, status_text(got_), status_text(wanted));                    \
    } while (0)
#define WORKS(call) WANT(STATUS_OK, call)

/* A new Memory, mapped here to be written. */
void *map_new(uint64_t size, handle *memory);
/* An address in the middle of nothing. */
uint64_t unmapped_address(void);
/* What this process has used of a budget. */
uint64_t used(enum budget budget);

/* A process of bin/PROGRAM from the ramdisk, with the case's name as first argument, the report, the clock, itself and
 * these further handles. Of what is 0 it gets the usual: a megabyte, 128 handles, 8 threads, 64 objects. */
enum { PEER_HANDLES = 128 };
struct peer {
    const char *program, *name;
    unsigned handle_count;
    struct spawn_handle handles[4];
    uint64_t memory, handle_limit, threads, objects, promille;
    uint32_t priority;
    uint64_t cpus;
    handle report; /* 0: the case's own */
};
enum status spawn_peer(const struct peer *peer, handle *process);
/* Waits until it has ended; false: not within ten seconds. */
bool wait_for_end(handle process, struct process_info *info);

#endif
