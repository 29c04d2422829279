/*
 * sequences: every sequence of operations with the handles of an object, up to a depth, carried out by real system
 * calls in two processes; each verdict must be the model's (model.h), and so must what is left in the end.
 *
 * Of the operations before the last only those are tried that change the model's state, since the others lead nowhere
 * that shorter sequences do not; as the last one every operation is tried.
 */
#include "hostile.h"

#include "model.h"

#include <lib/string.h>

enum { DEPTH_SHORT = 2, DEPTH = 3, DEPTH_LONG = 4 };

#define SOON_NS (10 * NANOSECONDS_PER_SECOND)

/* What the first asks of the second: words 0 to 3, answered by words 0 (status) and 1 (value). */
enum asked {
    ASK_DUPLICATE, /* number, rights, badge */
    ASK_CLOSE,
    ASK_REVOKE,
    ASK_MOVE, /* comes with the answer, or the status says why not */
    ASK_USE,  /* number, type, variant */
    ASK_MISUSE,
    ASK_INFO,
    ASK_TAKE,  /* a handle came with the message; the value is its number */
    ASK_UNMAP, /* what is mapped; the value is how many mappings there still were */
};

static handle agent; /* the second's endpoint */
static handle agent_process;
static uint64_t mapped[STEPS_MOST];
static unsigned mapped_count;

/* ---- One operation, in this process ------------------------------------------------------------------------------ */

static enum status use_here(handle number, enum object_type type, unsigned variant)
{
    uint64_t value;

    if (type == OBJECT_NOTIFICATION)
        return variant == 0 ? vmos_notification_signal(number, 1) : vmos_notification_wait(number, 1, 0, &value);
    if (type == OBJECT_ENDPOINT)
        return variant == 0 ? vmos_ipc_call(number, MESSAGE(0, 0, 0), 0, &value)
                            : vmos_ipc_reply_receive(0, 0, number, 0, 0, 0, &value);
    enum status status =
        vmos_memory_map(0, number, 0, 0, PAGE, RIGHT_READ | (variant == 0 ? RIGHT_WRITE : RIGHT_EXECUTE), &value);
    if (status == STATUS_OK && mapped_count < STEPS_MOST)
        mapped[mapped_count++] = value;
    return status;
}

static enum status misuse_here(handle number, enum object_type type)
{
    uint64_t value;

    return type == OBJECT_NOTIFICATION ? vmos_ipc_call(number, MESSAGE(0, 0, 0), 0, &value)
                                       : vmos_notification_signal(number, 1);
}

static unsigned unmap_here(void)
{
    unsigned count = 0;

    while (mapped_count != 0)
        count += vmos_memory_unmap(0, mapped[--mapped_count], PAGE) == STATUS_OK;
    return count;
}

static enum status info_here(handle number, uint64_t *value)
{
    struct system_result result = system_handle_info(number);

    *value = result.value;
    return (enum status)result.status;
}

/* ---- The second process ------------------------------------------------------------------------------------------ */

static uint64_t obey(const uint64_t *words, handle came, uint64_t *value)
{
    *value = 0;
    switch ((enum asked)words[0]) {
    case ASK_DUPLICATE:
        return vmos_handle_duplicate(words[1], (uint32_t)words[2], words[3], value);
    case ASK_CLOSE:
        return vmos_handle_close(words[1]);
    case ASK_REVOKE:
        return vmos_handle_revoke(words[1]);
    case ASK_USE:
        return use_here(words[1], (enum object_type)words[2], (unsigned)words[3]);
    case ASK_MISUSE:
        return misuse_here(words[1], (enum object_type)words[2]);
    case ASK_INFO:
        return info_here(words[1], value);
    case ASK_TAKE:
        *value = came;
        return STATUS_OK;
    case ASK_UNMAP:
        *value = unmap_here();
        return STATUS_OK;
    default:
        return STATUS_UNSUPPORTED;
    }
}

static void second(void)
{
    struct message_buffer *buffer = first_buffer;
    handle endpoint = start_handle("agent"), reply = 0;
    uint64_t message, answer = 0, words[4];

    for (;;) {
        enum status status = vmos_ipc_reply_receive(reply, answer, endpoint, 0, 0, DEADLINE_NEVER, &message);
        if (status != STATUS_OK && reply == 0)
            return;
        if (status != STATUS_OK) { /* what was to be moved cannot be: the answer says why */
            buffer->words[0] = status;
            answer = MESSAGE(0, 16, 0);
            continue;
        }
        reply = buffer->reply;
        memcpy(words, buffer->words, sizeof words);
        if (words[0] == ASK_MOVE) {
            buffer->words[0] = STATUS_OK;
            buffer->handles[0] = words[1];
            answer = MESSAGE(0, 16, 1);
        } else {
            uint64_t value;
            buffer->words[0] = obey(words, MESSAGE_HANDLE_COUNT(message) != 0 ? buffer->handles[0] : 0, &value);
            buffer->words[1] = value;
            answer = MESSAGE(0, 16, 0);
        }
    }
}

static enum status ask(enum asked request, uint64_t a, uint64_t b, uint64_t c, handle sent, uint64_t *value)
{
    struct message_buffer *buffer = first_buffer;
    uint64_t message;

    buffer->words[0] = request;
    buffer->words[1] = a;
    buffer->words[2] = b;
    buffer->words[3] = c;
    buffer->handles[0] = sent;
    enum status status =
        vmos_ipc_call(agent, MESSAGE(0, 32, request == ASK_TAKE ? 1 : 0), now_ns() + SOON_NS, &message);
    if (status != STATUS_OK)
        return status;
    *value = MESSAGE_HANDLE_COUNT(message) != 0 ? buffer->handles[0] : buffer->words[1];
    return (enum status)buffer->words[0];
}

/* ---- Sequences --------------------------------------------------------------------------------------------------- */

static struct operation path[STEPS_MOST];
static enum status verdicts[STEPS_MOST];
static uint64_t sequences, operations;

struct numbers {
    handle of[PARTIES][VARIABLES];
    unsigned counts[PARTIES];
};

static enum status carry_out_first(const struct model *model, const struct operation *operation, handle number,
                                   uint64_t *value)
{
    uint32_t rights;
    uint64_t badge;

    model_duplicate_arguments(model, operation->variant, &rights, &badge);
    switch ((enum operation_kind)operation->kind) {
    case DUPLICATE:
        return vmos_handle_duplicate(number, rights, badge, value);
    case CLOSE:
        return vmos_handle_close(number);
    case REVOKE:
        return vmos_handle_revoke(number);
    case GIVE:
        return vmos_process_give(agent_process, number, model_give_rights(model, operation->variant), value);
    case MOVE:
        return ask(ASK_TAKE, 0, 0, 0, number, value);
    case USE:
        return use_here(number, (enum object_type)model->type, operation->variant);
    case MISUSE:
        return misuse_here(number, (enum object_type)model->type);
    default:
        return info_here(number, value);
    }
}

static enum status carry_out_second(const struct model *model, const struct operation *operation, handle number,
                                    uint64_t *value)
{
    static const uint8_t requests[OPERATION_KINDS] = {
        [DUPLICATE] = ASK_DUPLICATE, [CLOSE] = ASK_CLOSE, [REVOKE] = ASK_REVOKE, [MOVE] = ASK_MOVE, [USE] = ASK_USE,
        [MISUSE] = ASK_MISUSE,       [INFO] = ASK_INFO};
    uint64_t a = model->type, b = operation->variant, badge;
    uint32_t rights;

    if (operation->kind == DUPLICATE) {
        model_duplicate_arguments(model, operation->variant, &rights, &badge);
        a = rights;
        b = badge;
    }
    return ask((enum asked)requests[operation->kind], number, a, b, 0, value);
}

static _Noreturn void report_difference(const struct model *model, unsigned steps, const char *what, enum status got,
                                        enum status wanted)
{
    char text[120] = "", one[24];
    size_t length = 0;

    for (unsigned i = 0; i < steps && length < sizeof text - sizeof one; i++)
        length += (size_t)snprintf(text + length, sizeof text - length, "%s; ", model_text(&path[i], one, sizeof one));
    fail("object %u: %s%s: %s, not %s", model->type, text, what, status_text(got), status_text(wanted));
}

static void step(const struct model *model, struct numbers *numbers, unsigned index)
{
    const struct operation *operation = &path[index];
    handle number = numbers->of[operation->party][operation->variable];
    uint64_t value = 0;
    enum status got = operation->party == FIRST ? carry_out_first(model, operation, number, &value)
                                                : carry_out_second(model, operation, number, &value);

    operations++;
    if (got != verdicts[index])
        report_difference(model, index + 1, "", got, verdicts[index]);
    if (got != STATUS_OK)
        return;
    unsigned receiver = operation->kind == DUPLICATE                         ? operation->party
                        : operation->kind == GIVE || operation->kind == MOVE ? 1u - operation->party
                                                                             : PARTIES;
    if (receiver < PARTIES)
        numbers->of[receiver][numbers->counts[receiver]++] = value;
    if (operation->kind == INFO) {
        const struct variable *variable = &model->variables[operation->party][operation->variable];
        if (value != (variable->type | (uint64_t)variable->rights << 8))
            report_difference(model, index + 1, "other rights", STATUS_OK, STATUS_OK);
    }
}

/* Every number that was ever given is closed, if the model says that it can be, and so on for mappings. */
static void clean_up(struct model *model, const struct numbers *numbers, unsigned steps)
{
    uint64_t value;

    if (model->type == OBJECT_MEMORY) {
        if (unmap_here() != model->writable[FIRST] + model->executable[FIRST])
            report_difference(model, steps, "other mappings", STATUS_OK, STATUS_OK);
        bool far = false;
        for (unsigned i = 0; i < steps; i++)
            far |= path[i].party == SECOND && path[i].kind == USE;
        if (far && (ask(ASK_UNMAP, 0, 0, 0, 0, &value) != STATUS_OK ||
                    value != model->writable[SECOND] + model->executable[SECOND]))
            report_difference(model, steps, "other mappings there", STATUS_OK, STATUS_OK);
    }
    for (unsigned party = 0; party < PARTIES; party++)
        for (unsigned i = 0; i < numbers->counts[party]; i++) {
            const struct operation closing = {(uint8_t)party, CLOSE, (uint8_t)i, 0};
            enum status wanted = model_apply(model, &closing);
            enum status got = party == FIRST ? vmos_handle_close(numbers->of[party][i])
                                             : ask(ASK_CLOSE, numbers->of[party][i], 0, 0, 0, &value);
            if (got != wanted)
                report_difference(model, steps, party == FIRST ? "close in the end" : "close there in the end", got,
                                  wanted);
        }
}

static void run(enum object_type type, unsigned steps)
{
    struct numbers numbers = {.counts = {1, 0}};
    struct model model;

    model_init(&model, type);
    WORKS(type == OBJECT_MEMORY         ? vmos_memory_create(PAGE, &numbers.of[FIRST][0])
          : type == OBJECT_NOTIFICATION ? vmos_notification_create(&numbers.of[FIRST][0])
                                        : vmos_endpoint_create(&numbers.of[FIRST][0]));
    for (unsigned i = 0; i < steps; i++) {
        step(&model, &numbers, i);
        model_apply(&model, &path[i]);
    }
    clean_up(&model, &numbers, steps);
    sequences++;
}

static void walk(const struct model *model, unsigned depth, unsigned most)
{
    struct operation operation;

    for (unsigned i = 0; model_operation(model, i, &operation); i++) {
        struct model next = *model;
        path[depth] = operation;
        verdicts[depth] = model_apply(&next, &operation);
        if (depth + 1 == most || memcmp(&next, model, sizeof next) == 0)
            run((enum object_type)model->type, depth + 1);
        else
            walk(&next, depth + 1, most); /* NOLINT(misc-no-recursion): as deep as sequences are long */
    }
}

static void all(void)
{
    static const uint8_t types[] = {OBJECT_NOTIFICATION, OBJECT_ENDPOINT, OBJECT_MEMORY};
    struct peer peer = {.program = "sequences", .name = "second", .handle_count = 1};

    WORKS(vmos_endpoint_create(&agent));
    peer.handles[0] = (struct spawn_handle){"agent", agent, RIGHT_RECEIVE};
    WORKS(spawn_peer(&peer, &agent_process));
    for (unsigned i = 0; i < sizeof types; i++) {
        struct model model;
        model_init(&model, (enum object_type)types[i]);
        walk(&model, 0, scale > 100 ? DEPTH_LONG : scale == 100 ? DEPTH : DEPTH_SHORT);
    }
    WORKS(vmos_process_kill(agent_process, 0));
    pass("%llu sequences, %llu operations, each as the rules say", (unsigned long long)sequences,
         (unsigned long long)operations);
}

const struct hostile_case hostile_cases[] = {{"sequences", all}, {"second", second}, {NULL, NULL}};
