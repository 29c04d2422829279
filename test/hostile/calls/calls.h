/*
 * calls.h: what every system call takes, and one good object of each type; for the table of bad arguments and for those
 * by chance.
 */
#ifndef CALLS_H
#define CALLS_H

#include "hostile.h"

enum kind {
    NOTHING,
    HANDLE,   /* of a type, with a right, see struct argument */
    OPTIONAL, /* the same, or 0 */
    INPUT,    /* a struct to be read; the next argument is its size */
    OUTPUT,
    SIZE,   /* of what the argument before points to */
    NUMBER, /* anything goes */
    RIGHTS,
    DEADLINE,
    MESSAGE_WORD,
    PLACE, /* an address to be mapped at */
    BYTES, /* a length in whole pages */
};

struct argument {
    uint8_t kind, type;
    uint16_t right;
};

extern const struct description {
    struct argument arguments[6];
} descriptions[SYSTEM_CALL_COUNT];

extern handle objects[OBJECT_TYPE_COUNT]; /* one of each type, with all its rights */
extern handle closed, revoked;
extern char *area; /* a page that can be written, before one that is not there */
extern uint64_t nowhere, read_only;
extern handle area_memory;
extern struct process_parameters process_parameters;
/* A thread that ends at once, and needs no stack for it. */
extern struct thread_parameters thread_parameters;

/* All of it, once; and again what a call may have closed, ended or used up. */
void prepare(void);
void renew(void);

/* table.c: every call with every kind of wrong argument. random.c: with arguments by chance; random_peer is the same in
 * the process that it is done together with. */
void table(void);
void by_chance(void);
void random_peer(void);

#endif
