/*
 * report.h: between what there is to say about a machine (report.c) and how it is said (report_form.c).
 */
#ifndef REPORT_H
#define REPORT_H

#include <vmos/machine.h>
#include <lib/printf.h>

enum { REPORT_COLUMNS = 79, REPORT_VALUE_SIZE = 72 };

struct report {
    struct printer *out;
    bool json;
    bool blank;                    /* text: a blank line is due */
    bool began;                    /* JSON: something stands before in this object */
    char line[2 * REPORT_COLUMNS]; /* text: the line so far */
    size_t key_length, length;     /* of `line` */
};

/* How a member of a struct is shown. */
enum form {
    HEX,        /* always */
    ADDRESS,    /* hexadecimal; 0 is not said */
    NUMBER,     /* always */
    COUNT,      /* a number; 0 is not said */
    IDENTIFIER, /* a number; all ones is not said */
    SIZE,       /* bytes; 0 is not said */
    FLAG,       /* bool */
    MARK,       /* bool; false is not said */
    WORD,       /* an enum, or bool, by its names */
    LINE,       /* struct machine_line: line, trigger, polarity */
    ONLY_LINE,  /* its number alone, where trigger and polarity are the device's own */
    FUNCTION,   /* bus << 8 | device << 3 | function */
    DEVICE,     /* the same; 00:00.0, a host bridge, is not said */
    REGISTER,   /* struct machine_register; not said when it has no space */
    LETTER,     /* 1: A */
};

struct column {
    const char *name;
    const char *const *words; /* of WORD, ended by NULL */
    uint16_t offset;
    uint8_t width, form;
};

#define COLUMN(form, name, type, member)                                                                               \
    {                                                                                                                  \
        name, NULL, offsetof(type, member), sizeof(((type *)0)->member), form                                          \
    }
#define WORDS(words, name, type, member)                                                                               \
    {                                                                                                                  \
        name, words, offsetof(type, member), sizeof(((type *)0)->member), WORD                                         \
    }

/* An array of structs, in what holds it or elsewhere, or one struct that is there when the member at `count` is not 0.
 */
struct list {
    const char *name, *item; /* "cpus", "cpu" */
    const struct column *columns;
    uint32_t array, count; /* offsets in what holds them */
    uint16_t stride;       /* bytes; 0: one struct */
    uint8_t column_count, count_width;
    bool elsewhere; /* a pointer to the array is at `array` */
};

#define LIST(name, item, columns, type, array, count, elsewhere)                                                       \
    {                                                                                                                  \
        name, item, columns, offsetof(type, array), offsetof(type, count), sizeof(((type *)0)->array[0]),              \
            sizeof(columns) / sizeof((columns)[0]), sizeof(((type *)0)->count), elsewhere                              \
    }
#define ONE(name, columns, present)                                                                                    \
    {                                                                                                                  \
        name "s", name, columns, 0, offsetof(struct machine, present), 0, sizeof(columns) / sizeof((columns)[0]),      \
            sizeof(((struct machine *)0)->present), false                                                              \
    }

/* Text as it is. */
void report_put(struct report *report, const char *text);

/* One fact that stands alone: "model: QEMU"; `quoted` as JSON has it. A long text is only ever one line. */
void report_fact(struct report *report, const char *name, const char *value, bool quoted);

/* A blank line in text, before whatever comes next: it belongs together. */
void report_group(struct report *report);

/* JSON: an array, and an object in it. Text: a line for each item, with `index`. */
void report_list_begin(struct report *report, const char *name);
void report_list_end(struct report *report);
void report_item_begin(struct report *report, const char *name, uint32_t index);
void report_item_end(struct report *report);

/* What an item holds. */
void report_field(struct report *report, const char *name, const char *value, bool quoted);
void report_hex(struct report *report, const char *name, uint64_t value);
void report_number(struct report *report, const char *name, uint64_t value);
void report_flag(struct report *report, const char *name, bool value);
void report_word(struct report *report, const char *name, const char *const *words, uint64_t value);
void report_line(struct report *report, const struct machine_line *value);
void report_register(struct report *report, const struct machine_register *value);

/* A whole list of the machine, and one that each of its host bridges holds. */
void report_list(struct report *report, const struct list *list, const struct machine *machine);
void report_bridge_list(struct report *report, const struct list *list, const struct machine *machine);

#endif
