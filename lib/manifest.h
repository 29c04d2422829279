/*
 * manifest.h: reads vmos.conf, which says what runs. Pure.
 *
 *     driver NAME [KEY=VALUE ...]
 *     service NAME [KEY=VALUE ...]        the keys are in manifest.c, and explained in docs/manifest.md
 *
 * One thing a line; # begins a comment. A mistake costs its own line and nothing else: it says what was found and what
 * was expected. The text need not be terminated, and may be anything.
 */
#ifndef LIB_MANIFEST_H
#define LIB_MANIFEST_H

#include <vmos/abi.h>

enum { MANIFEST_LINE_MOST = 400, MANIFEST_LISTED_MOST = 8, MANIFEST_WORD_SIZE = 16 };

struct manifest_mistake {
    char found[40];       /* printable, cut */
    const char *expected; /* a phrase; NULL: there is no mistake */
};

enum manifest_kind { MANIFEST_UNKNOWN, MANIFEST_DRIVER, MANIFEST_SERVICE };

struct manifest_line {
    enum manifest_kind kind; /* as far as it can be told, also with a mistake */
    unsigned number;         /* from 1 */
    const char *name;        /* inside the text, like the options: what comes behind it, without a comment */
    size_t name_length;
    const char *options;
    size_t options_length;
    struct manifest_mistake mistake;
};

struct manifest_cursor {
    const char *text;
    size_t size, at;
    unsigned number;
};

/* The next line that says something; false: there is none. */
bool manifest_next(struct manifest_cursor *cursor, struct manifest_line *line);

/* A line's mistake as a sentence, "line 3: found "drivers"; expected: driver or service". */
void manifest_sentence(const struct manifest_line *line, char *sentence, size_t size);

struct manifest_list {
    unsigned count;
    char words[MANIFEST_LISTED_MOST][MANIFEST_WORD_SIZE]; /* each terminated */
};

struct manifest_service {
    char name[NAME_SIZE], program[NAME_SIZE];
    const char *arguments; /* inside the text; not terminated */
    size_t arguments_length;
    uint64_t limits[BUDGET_COUNT];
    uint64_t cpus;            /* 0: all */
    uint64_t cpu_promille;    /* what its first thread is promised; 0: nothing */
    uint64_t period_ns;       /* in which */
    uint64_t priority, stack; /* bytes */
    struct manifest_list give, offer, use;
    uint64_t restart; /* 1: on a crash */
    uint64_t asked;   /* 1: started only when somebody asks for it */
    uint64_t backoff_ns, limit, within_ns;
};

/* What the service has whose line says no more than its name. */
void manifest_defaults(struct manifest_service *service, const char *name, size_t length);

/* Reads a line of this kind without a mistake. False: it has one now, in line->mistake. */
bool manifest_service(struct manifest_line *line, struct manifest_service *service);

#endif
