/*
 * The bystander has nothing to do with any of it. It computes the whole time that it was promised, over memory whose
 * content it knows, and tells the runner when asked what it has got and whether its memory is as it was.
 */
#include "hostile.h"

enum { WORDS = 8192, PROMILLE = 200, PERIOD_MS = 100 };

static uint64_t *memory;
static volatile uint64_t wrong, rounds;

static uint64_t word_at(uint64_t index)
{
    return (index + 1) * UINT64_C(0x9e3779b97f4a7c15) ^ seed;
}

static void compute(void *argument, struct message_buffer *buffer)
{
    (void)argument;
    (void)buffer;
    for (;;) {
        for (uint64_t i = 0; i < WORDS; i++)
            if (memory[i] != word_at(i))
                wrong++;
        rounds++;
    }
}

/* The answer: words found wrong, CPU time used ever, the time, rounds. */
static uint64_t answer(struct server *server, struct request *request, struct message_buffer *buffer)
{
    struct process_info info;
    uint64_t size;

    (void)server;
    (void)request;
    WORKS(vmos_object_info(self_process, &info, sizeof info, &size));
    buffer->words[0] = wrong;
    buffer->words[1] = info.cpu_ns;
    buffer->words[2] = now_ns();
    buffer->words[3] = rounds;
    return MESSAGE(0, 32, 0);
}

static void watch(void)
{
    const struct thread_parameters parameters = {
        .budget_ns = PERIOD_MS * NANOSECONDS_PER_MILLISECOND * PROMILLE / 1000,
        .period_ns = PERIOD_MS * NANOSECONDS_PER_MILLISECOND,
        .priority = 10,
    };
    struct server server = {.endpoint = start_handle("questions"), .call = answer};
    handle object;

    memory = map_new(WORDS * sizeof *memory, &object);
    for (uint64_t i = 0; i < WORDS; i++)
        memory[i] = word_at(i);
    WORKS(thread_start(compute, NULL, 8 << 10, &parameters));
    serve(&server, first_buffer);
}

const struct hostile_case hostile_cases[] = {{"bystander", watch}, {NULL, NULL}};
