/* options.c: the kernel command line, word by word. */
#include "options.h"

#include "log.h"

#include <lib/string.h>
#include <lib/text.h>

enum { MOST_SHOWN = 48, MOST_WARNINGS = 8 }; /* of a word; of words that are not known */

struct options options = {.level = LOG_INFO};

static bool word_is(const char *word, size_t length, const char *name)
{
    return strlen(name) == length && memcmp(word, name, length) == 0;
}

/* When the word is NAME=VALUE gives VALUE and its length. */
static const char *value_of(const char *word, size_t length, const char *name, size_t *value_length)
{
    size_t skip = strlen(name);

    if (length <= skip || memcmp(word, name, skip) != 0 || word[skip] != '=')
        return NULL;
    *value_length = length - skip - 1;
    return word + skip + 1;
}

/* The index of the value among `names`; -1, with a warning, when it is none of them. */
static int choose(const char *what, const char *value, size_t length, const char *const names[])
{
    for (int i = 0; names[i] != NULL; i++)
        if (word_is(value, length, names[i]))
            return i;
    char list[64] = "";
    size_t used = 0;
    for (int i = 0; names[i] != NULL && used < sizeof list; i++)
        used += text_copy(list + used, i == 0 ? "" : ", ", sizeof list - used),
            used += used < sizeof list ? text_copy(list + used, names[i], sizeof list - used) : 0;
    log_warn("options", "%s=%.*s%s is not known and has no effect; it can be: %s", what,
             (int)(length < MOST_SHOWN ? length : MOST_SHOWN), value, length > MOST_SHOWN ? "..." : "", list);
    return -1;
}

/* A command line that is not meant for us must not flush everything else out of the log. */
static void warn_unknown(const char *word, size_t length, unsigned number)
{
    if (number <= MOST_WARNINGS)
        log_warn("options", "\"%.*s%s\" on the command line is not known and has no effect",
                 (int)(length < MOST_SHOWN ? length : MOST_SHOWN), word, length > MOST_SHOWN ? "..." : "");
}

/* False: the word is not known. */
static bool read_word(const char *word, size_t length)
{
    static const char *const levels[] = {"error", "warn", "info", "debug", NULL};
    static const char *const thens[] = {"prompt", "poweroff", "reboot", NULL};
    static const char *const panics[] = {"poweroff", "hang", NULL};
    static const char *const consoles[] = {"serial", NULL};
    const char *value;
    size_t size;
    int choice;

    if ((value = value_of(word, length, "loglevel", &size)) != NULL) {
        if ((choice = choose("loglevel", value, size, levels)) >= 0)
            options.level = (enum log_level)choice;
    } else if ((value = value_of(word, length, "then", &size)) != NULL) {
        if ((choice = choose("then", value, size, thens)) >= 0)
            options.then = (enum then)choice;
    } else if ((value = value_of(word, length, "panic", &size)) != NULL) {
        if ((choice = choose("panic", value, size, panics)) >= 0)
            options.panic_hang = choice == 1;
    } else if ((value = value_of(word, length, "console", &size)) != NULL) {
        choose("console", value, size, consoles);
    } else if ((value = value_of(word, length, "selftest", &size)) != NULL) {
        options.selftest = true;
        if (size >= sizeof options.selftest_names) {
            log_warn("options", "selftest= names more than %zu characters; all self-tests run instead",
                     sizeof options.selftest_names - 1);
            size = 0;
        }
        memcpy(options.selftest_names, value, size);
        options.selftest_names[size] = '\0';
    } else if (word_is(word, length, "selftest")) {
        options.selftest = true;
    } else {
        return value_of(word, length, "virtio_mmio.device", &size) != NULL; /* the machine readers' */
    }
    return true;
}

void options_read(const char *command_line)
{
    size_t length = 0;
    unsigned unknown = 0;

    for (const char *word = text_word(command_line, &length); word != NULL; word = text_word(word + length, &length))
        if (!read_word(word, length))
            warn_unknown(word, length, ++unknown);
    if (unknown > MOST_WARNINGS)
        log_warn("options", "%u more words on the command line are not known and have no effect",
                 unknown - MOST_WARNINGS);
    log_set_level(options.level);
}
