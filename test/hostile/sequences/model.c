/* model.c: see model.h. */
#include "model.h"

#include "rules.h"
#include <lib/printf.h>
#include <lib/string.h>

enum { DUPLICATES = 5, GIVES = 2, USES = 2 };

/* The rights of a type that its two uses take. */
static const uint32_t use_rights[OBJECT_TYPE_COUNT][USES] = {
    [OBJECT_NOTIFICATION] = {RIGHT_SIGNAL, RIGHT_WAIT},
    [OBJECT_ENDPOINT] = {RIGHT_CALL, RIGHT_RECEIVE},
    [OBJECT_MEMORY] = {RIGHT_WRITE, RIGHT_EXECUTE},
};

static void set(struct variable *variable, enum object_type type, uint64_t epoch, uint32_t rights, bool badge)
{
    *variable = (struct variable){.generation = 1,
                                  .slot_generation = 1,
                                  .slot_epoch = epoch,
                                  .rights = rights,
                                  .type = (uint8_t)type,
                                  .badge = badge};
}

static void add(struct model *model, enum party party, uint32_t rights, bool badge)
{
    set(&model->variables[party][model->counts[party]++], (enum object_type)model->type, model->epoch, rights, badge);
}

static void close(struct variable *variable)
{
    variable->type = OBJECT_NONE;
    variable->rights = 0;
    variable->slot_generation = rule_next_generation(variable->slot_generation, HANDLE_GENERATIONS);
}

void model_init(struct model *model, enum object_type type)
{
    memset(model, 0, sizeof *model);
    model->type = (uint8_t)type;
    model->epoch = 1;
    add(model, FIRST, rule_rights_of(type), false);
}

/* ---- Which operations there are ---------------------------------------------------------------------------------- */

static const uint8_t variants[OPERATION_KINDS] = {[DUPLICATE] = DUPLICATES,
                                                  [CLOSE] = 1,
                                                  [REVOKE] = 1,
                                                  [GIVE] = GIVES,
                                                  [MOVE] = 1,
                                                  [USE] = USES,
                                                  [MISUSE] = 1,
                                                  [INFO] = 1};

static bool possible(const struct model *model, enum party party, enum operation_kind kind)
{
    enum party other = party == FIRST ? SECOND : FIRST;

    if (kind == DUPLICATE)
        return model->counts[party] < VARIABLES;
    if (kind == GIVE)
        return party == FIRST && model->counts[other] < VARIABLES;
    return kind != MOVE || model->counts[other] < VARIABLES;
}

bool model_operation(const struct model *model, unsigned number, struct operation *operation)
{
    for (unsigned party = 0; party < PARTIES; party++)
        for (unsigned kind = 0; kind < OPERATION_KINDS; kind++) {
            unsigned all = possible(model, (enum party)party, (enum operation_kind)kind)
                               ? variants[kind] * model->counts[party]
                               : 0;
            if (number < all) {
                *operation = (struct operation){(uint8_t)party, (uint8_t)kind, (uint8_t)(number / variants[kind]),
                                                (uint8_t)(number % variants[kind])};
                return true;
            }
            number -= all;
        }
    return false;
}

void model_duplicate_arguments(const struct model *model, unsigned variant, uint32_t *rights, uint64_t *badge)
{
    uint32_t all = rule_rights_of((enum object_type)model->type);

    *badge = variant == 4 ? MODEL_BADGE : 0;
    *rights = variant == 0   ? all
              : variant == 1 ? all & ~(uint32_t)(RIGHT_MANAGE | use_rights[model->type][0])
              : variant == 2 ? use_rights[model->type][0] | RIGHT_TRANSFER
              : variant == 3 ? use_rights[model->type][1] | RIGHT_DUPLICATE | RIGHT_MANAGE | RIGHT_READ
                             : all & ~(uint32_t)use_rights[model->type][1];
    *rights &= all;
}

uint32_t model_give_rights(const struct model *model, unsigned variant)
{
    return variant == 0 ? 0 : use_rights[model->type][1] | RIGHT_TRANSFER;
}

/* ---- What must be said ------------------------------------------------------------------------------------------- */

static enum status use(const struct model *model, const struct variable *variable, enum object_type type,
                       uint32_t rights)
{
    struct rule_slot slot = {.generation = variable->slot_generation,
                             .epoch = variable->slot_epoch,
                             .rights = variable->rights,
                             .type = variable->type};

    return rule_use(&slot, model->epoch, handle_number(1, variable->generation), type, rights);
}

static unsigned receivers(const struct model *model)
{
    unsigned count = 0;

    for (unsigned party = 0; party < PARTIES; party++)
        for (unsigned i = 0; i < model->counts[party]; i++)
            count += use(model, &model->variables[party][i], OBJECT_ENDPOINT, RIGHT_RECEIVE) == STATUS_OK;
    return count;
}

/* All uses that would wait have a deadline that is past. */
static enum status use_one(struct model *model, enum party party, const struct variable *variable, unsigned variant)
{
    uint32_t right = use_rights[model->type][variant];

    if (model->type == OBJECT_MEMORY) {
        enum status status = use(model, variable, OBJECT_MEMORY, 0);
        if (status == STATUS_OK)
            status = rule_map(variable->rights, RIGHT_READ | right, model->writable[FIRST] + model->writable[SECOND],
                              model->executable[FIRST] + model->executable[SECOND]);
        if (status == STATUS_OK)
            (variant == 0 ? model->writable : model->executable)[party]++;
        return status;
    }
    enum status status = use(model, variable, (enum object_type)model->type, right);
    if (status != STATUS_OK)
        return status;
    if (model->type == OBJECT_ENDPOINT)
        return variant == 0 && receivers(model) == 0 ? STATUS_PEER_GONE : STATUS_TIMED_OUT;
    if (variant == 0) {
        model->signalled = true;
        return STATUS_OK;
    }
    status = model->signalled ? STATUS_OK : STATUS_TIMED_OUT;
    model->signalled = false;
    return status;
}

static enum status duplicate(struct model *model, enum party party, const struct variable *variable, unsigned variant)
{
    uint32_t rights;
    uint64_t badge;
    enum status status = use(model, variable, OBJECT_NONE, RIGHT_DUPLICATE);

    model_duplicate_arguments(model, variant, &rights, &badge);
    if (status == STATUS_OK)
        status = rule_duplicate(variable->rights, variable->badge, rights, badge);
    if (status == STATUS_OK)
        add(model, party, rights, variable->badge || badge != 0);
    return status;
}

/* Everybody else's are of an earlier epoch, and what others have mapped goes. */
static enum status revoke(struct model *model, enum party party, struct variable *variable)
{
    enum party other = party == FIRST ? SECOND : FIRST;
    enum status status = use(model, variable, OBJECT_NONE, RIGHT_MANAGE);

    if (status != STATUS_OK)
        return status;
    variable->slot_epoch = ++model->epoch;
    model->writable[other] = model->executable[other] = 0;
    return STATUS_OK;
}

static enum status pass_on(struct model *model, enum party party, struct variable *variable, uint32_t rights, bool keep)
{
    enum party other = party == FIRST ? SECOND : FIRST;
    enum status status =
        use(model, variable, OBJECT_NONE, keep ? RIGHT_TRANSFER | RIGHT_DUPLICATE : (uint32_t)RIGHT_TRANSFER);

    if (status == STATUS_OK && rights != 0)
        status = rule_duplicate(variable->rights, 0, rights, 0);
    if (status != STATUS_OK)
        return status;
    add(model, other, rights != 0 ? rights : variable->rights, variable->badge);
    if (!keep)
        close(variable);
    return STATUS_OK;
}

enum status model_apply(struct model *model, const struct operation *operation)
{
    enum party party = (enum party)operation->party;
    struct variable *variable = &model->variables[party][operation->variable];
    enum object_type other = model->type == OBJECT_NOTIFICATION ? OBJECT_ENDPOINT : OBJECT_NOTIFICATION;
    enum status status = STATUS_OK;

    switch ((enum operation_kind)operation->kind) {
    case DUPLICATE:
        return duplicate(model, party, variable, operation->variant);
    case CLOSE:
        status = use(model, variable, OBJECT_NONE, 0);
        if (status == STATUS_BAD_HANDLE)
            return status;
        close(variable);
        return STATUS_OK; /* also of one that is revoked */
    case REVOKE:
        return revoke(model, party, variable);
    case GIVE:
        status = use(model, variable, OBJECT_NONE, 0);
        return status == STATUS_OK ? pass_on(model, party, variable, model_give_rights(model, operation->variant), true)
                                   : status;
    case MOVE:
        return pass_on(model, party, variable, 0, false);
    case USE:
        return use_one(model, party, variable, operation->variant);
    case MISUSE:
        return use(model, variable, other, 0);
    default:
        return use(model, variable, OBJECT_NONE, 0);
    }
}

const char *model_text(const struct operation *operation, char *text, size_t size)
{
    static const char *const kinds[OPERATION_KINDS] = {"duplicate", "close", "revoke", "give",
                                                       "move",      "use",   "misuse", "info"};

    snprintf(text, size, "%s %s %u/%u", operation->party == FIRST ? "first" : "second", kinds[operation->kind],
             operation->variable, operation->variant);
    return text;
}
