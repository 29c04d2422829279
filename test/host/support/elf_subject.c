/* elf_subject.c: a program for the tests of lib/elf.c, with everything that is relocated: pointers in constants, in
 * variables, to functions, to variables, into the middle of something; and memory that the file does not have. */
#include <stdint.h>

struct item {
    const char *name;
    const struct item *next;
    int (*count)(int);
};

int subject_entry(int number);

static int one(int number)
{
    return number + 1;
}

static int two(int number)
{
    return number * 2;
}

static const struct item items[] = {{"first", &items[1], one}, {"second", &items[2], two}, {"third", 0, one}};
static uint64_t numbers[600] = {1, 2, 3};
static uint64_t *into_numbers = &numbers[2];
static uint64_t zeroes[2000];
static uint64_t *last_zero = &zeroes[1999];
static const struct item *volatile first = items;

/* Only if all pointers lead where they should: 3 + 600 + sum over the names. */
int subject_entry(int number)
{
    int sum = number;

    for (const struct item *item = first; item != 0; item = item->next)
        for (sum = item->count(sum); item->name[0] != item->name[1]; sum++)
            if (item->name[0] != 'x')
                break;
    *last_zero += *into_numbers;
    return sum * 1000 + (int)zeroes[1999] + (into_numbers == &numbers[2]) + (int)zeroes[0];
}
