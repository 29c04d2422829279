/*
 * model.h: what the kernel must say to each of a sequence of operations with handles of one object, in two processes.
 *
 * The verdicts are those of kernel/process/rules.c, the very file; here is only the little state that they are asked
 * about. test/hostile/sequences carries each sequence out by system calls and compares; test/host/test_sequences.c
 * walks the model by itself, and holds it to what must be true of every state.
 */
#ifndef SEQUENCES_MODEL_H
#define SEQUENCES_MODEL_H

#include <vmos/abi.h>

enum party { FIRST, SECOND, PARTIES };

enum operation_kind {
    DUPLICATE, /* by variant, see model.c */
    CLOSE,
    REVOKE,
    GIVE,   /* to the other, who gets a copy: first to second only; variant 1: with fewer rights */
    MOVE,   /* to the other, by a message or in an answer */
    USE,    /* by variant: signal or wait, call or receive, map writable or executable */
    MISUSE, /* as an object of another type */
    INFO,
    OPERATION_KINDS
};

enum { VARIABLES = 4, STEPS_MOST = 8, MODEL_BADGE = 5 };

struct operation {
    uint8_t party, kind, variable, variant;
};

/* A variable of a process holds the number of a handle, also when that is closed. */
struct variable {
    uint64_t generation; /* of the number */
    uint64_t slot_generation, slot_epoch;
    uint32_t rights;
    uint8_t type; /* OBJECT_NONE: closed */
    bool badge;
};

struct model {
    uint8_t type; /* of the object */
    uint8_t counts[PARTIES];
    bool signalled;
    uint8_t writable[PARTIES], executable[PARTIES]; /* mappings */
    uint64_t epoch;
    struct variable variables[PARTIES][VARIABLES];
};

/* The first has the only handle, with all rights. */
void model_init(struct model *model, enum object_type type);
/* The n-th operation that can be tried in this state; false: there are fewer. */
bool model_operation(const struct model *model, unsigned number, struct operation *operation);
/* What the kernel must say, and what is true afterwards. A handle that is made is in the next variable of whoever gets
 * it. */
enum status model_apply(struct model *model, const struct operation *operation);
/* What a copy is asked for with. */
void model_duplicate_arguments(const struct model *model, unsigned variant, uint32_t *rights, uint64_t *badge);
uint32_t model_give_rights(const struct model *model, unsigned variant);
/* As a person would say it, "second revoke 0". */
const char *model_text(const struct operation *operation, char *text, size_t size);

#endif
