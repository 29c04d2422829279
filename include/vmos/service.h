/*
 * service.h: what a program is written against, beside the system calls (system.h) and lib/.
 *
 * A program is a folder in service/ with C files, one of which has main(). It runs in a process of its own and has
 * nothing but what it was given: the handles of its start_info, by name. docs/writing-a-service.md begins one.
 */
#ifndef VMOS_SERVICE_H
#define VMOS_SERVICE_H

#include <lib/printf.h>
#include <vmos/system.h>

/* The program's own. What it returns is the process's exit code. */
int main(int argc, char **argv);

/* ---- What the process began with ----------------------------------------------------------------------------------
 */

extern const struct start_info *start_info;

/* The message buffer of the first thread. Others get theirs as an argument. */
extern struct message_buffer *first_buffer;

/* The handle that was given by this name: "console", "clock", what the manifest says; 0: there is none. */
handle start_handle(const char *name);

/* ---- Console, time, chance ----------------------------------------------------------------------------------------
 */

/* To the console that was given, 511 bytes at most; without one to nobody. */
int printf(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The same as a printer, for print(). */
extern struct printer console_printer;

/* By the clock that was given; 0 without one. */
uint64_t now_ns(void);
/* Waits; needs no clock. */
void sleep_until(uint64_t deadline_ns);
void random_bytes(void *to, size_t size);

_Noreturn void exit(int code);

/* ---- Threads ------------------------------------------------------------------------------------------------------
 */

/* Starts one on a stack of its own of `stack_size` bytes, which stays for good. `parameters` says priority, budget,
 * period and CPUs; NULL: what is left over. It ends when the function returns. */
enum status thread_start(void (*run)(void *argument, struct message_buffer *buffer), void *argument, size_t stack_size,
                         const struct thread_parameters *parameters);

/* ---- Calls --------------------------------------------------------------------------------------------------------
 */

/* Sends `size` bytes (64 at most) with a label, waits, and copies up to `capacity` bytes of the answer. *label becomes
 * the answer's. Handles that come with the answer are closed: who wants them uses vmos_ipc_call. */
enum status call(struct message_buffer *buffer, handle endpoint, uint32_t *label, const void *request, size_t size,
                 void *answer, size_t capacity, uint64_t deadline_ns);

/* What came to a server. */
struct request {
    uint64_t message; /* MESSAGE_LABEL(), MESSAGE_BYTES() */
    uint64_t badge;   /* of the handle that was called */
    unsigned handle_count;
    handle handles[MESSAGE_HANDLES]; /* closed after the answer, but those that are set to 0 */
};

/* Returned by `call` below: the answer comes later, by vmos_ipc_reply_receive; it keeps buffer->reply for that. */
#define ANSWER_LATER UINT64_MAX

struct server {
    handle endpoint, notification; /* either may be 0 */
    uint64_t mask;                 /* which bits of the notification */
    /* The bytes are in buffer->words; the answer's go there, and its handles to buffer->handles; returns its MESSAGE.
     */
    uint64_t (*call)(struct server *server, struct request *request, struct message_buffer *buffer);
    void (*notified)(struct server *server, uint64_t bits);
};

/* Answers for ever. Returns only when nothing can come any more: revoked, or no such handle. */
enum status serve(struct server *server, struct message_buffer *buffer);

/* ---- Processes ----------------------------------------------------------------------------------------------------
 */

struct spawn {
    const void *file; /* a static-PIE ELF file */
    size_t size;
    /* The Memory that the file lies in, which nobody may write to, and where. If that is a multiple of the page, what
     * the program does not write to is mapped from there, else copied. 0: copied. */
    handle memory;
    uint64_t offset;
    const char *arguments; /* words, each terminated; the first is the program's name */
    size_t arguments_size;
    size_t stack_size; /* bytes; 0: 16 KiB */
    struct process_parameters process;
    struct thread_parameters thread; /* priority, budget, period, CPUs of its first thread */
    unsigned handle_count;
    struct spawn_handle {
        const char *name;
        handle value; /* 0: the new process itself */
        uint32_t rights;
    } handles[START_HANDLES];
    /* Set by spawn_process when it fails: what was not possible; a constant. */
    const char *why;
};

/* Makes a process, loads the file into it at a random place, gives it a stack between free pages and copies of the
 * handles, and starts its first thread. Memory that is loaded is paid by the caller until the process has ended. */
enum status spawn_process(struct spawn *spawn, handle *process);

#endif
