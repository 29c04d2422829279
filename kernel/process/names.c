/* names.c: see names.h. */
#include "names.h"

static const char *name_in(const char *const names[], unsigned count, unsigned index)
{
    return index < count && names[index] != NULL ? names[index] : "unknown";
}

const char *object_type_name(unsigned type)
{
    static const char *const names[OBJECT_TYPE_COUNT] = {
        [OBJECT_NONE] = "nothing",  [OBJECT_PROCESS] = "process",   [OBJECT_THREAD] = "thread",
        [OBJECT_MEMORY] = "memory", [OBJECT_ENDPOINT] = "endpoint", [OBJECT_NOTIFICATION] = "notification",
        [OBJECT_REPLY] = "reply",   [OBJECT_CLOCK] = "clock",       [OBJECT_CONSOLE] = "console",
    };

    return name_in(names, OBJECT_TYPE_COUNT, type);
}

const char *process_state_name(unsigned state)
{
    static const char *const names[] = {
        [PROCESS_NEW] = "new",
        [PROCESS_RUNNING] = "running",
        [PROCESS_ENDING] = "ending",
        [PROCESS_ENDED] = "ended",
    };

    return name_in(names, sizeof names / sizeof names[0], state);
}

const char *process_end_name(unsigned end)
{
    static const char *const names[] = {
        [END_NONE] = "not ended",  [END_EXIT] = "ended by itself",          [END_KILLED] = "killed",
        [END_CRASHED] = "crashed", [END_CONSOLE] = "killed at the console",
    };

    return name_in(names, sizeof names / sizeof names[0], end);
}

void rights_text(uint32_t rights, char text[RIGHTS_TEXT_SIZE])
{
    static const char letters[] = "rwxsacvmidt";

    _Static_assert(RIGHT_ALL == (1 << (sizeof letters - 1)) - 1 && sizeof letters == RIGHTS_TEXT_SIZE,
                   "a letter for each right");
    for (unsigned i = 0; i < sizeof letters - 1; i++)
        text[i] = (rights >> i & 1) != 0 ? letters[i] : '-';
    text[sizeof letters - 1] = '\0';
}

void process_text(const struct process *process, char text[PROCESS_TEXT_SIZE])
{
    snprintf(text, PROCESS_TEXT_SIZE, "%s[%llu]", process->name, (unsigned long long)process->id);
}
