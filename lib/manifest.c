/* manifest.c: the lines of vmos.conf; see manifest.h. */
#include <lib/manifest.h>

#include <lib/printf.h>
#include <lib/string.h>
#include <lib/text.h>

enum { VALUE_MOST = 120 };

/* A word of a line: KEY=VALUE, or no `=` at all. What stands in quotes may have spaces. */
struct word {
    const char *text, *value; /* value: behind the `=` and the opening quote; NULL: there is none */
    size_t length, value_length;
};

static bool mistake(struct manifest_line *line, const char *found, size_t length, const char *expected)
{
    size_t cut = length < sizeof line->mistake.found ? length : sizeof line->mistake.found - 1;

    text_sanitise(line->mistake.found, found, cut);
    line->mistake.expected = expected;
    return false;
}

static bool is_space(char byte)
{
    return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

/* ---- Lines ---------------------------------------------------------------------------------------------------------
 */

/* Moves *at behind the next word; false: there is none. */
static bool next_word(const char *text, size_t size, size_t *at, struct word *word)
{
    bool quoted = false;

    while (*at < size && is_space(text[*at]))
        ++*at;
    *word = (struct word){.text = text + *at};
    for (; *at < size && (quoted || !is_space(text[*at])); ++*at) {
        if (text[*at] == '"')
            quoted = !quoted;
        if (text[*at] == '=' && word->value == NULL)
            word->value = text + *at + 1;
    }
    word->length = (size_t)(text + *at - word->text);
    if (word->value != NULL) {
        word->value_length = (size_t)(text + *at - word->value);
        if (word->value_length >= 2 && word->value[0] == '"' && word->value[word->value_length - 1] == '"') {
            word->value++;
            word->value_length -= 2;
        }
    }
    return word->length != 0;
}

/* How long the line is without its comment and the spaces before it; false: a quote has no end. */
static bool without_comment(const char *text, size_t *length)
{
    bool quoted = false;

    for (size_t i = 0; i < *length; i++) {
        if (text[i] == '"')
            quoted = !quoted;
        if (text[i] == '#' && !quoted)
            *length = i;
    }
    while (*length != 0 && is_space(text[*length - 1]))
        --*length;
    return !quoted;
}

static bool is_name(const char *text, size_t length, size_t size)
{
    for (size_t i = 0; i < length; i++)
        if (!((text[i] >= 'a' && text[i] <= 'z') || (text[i] >= 'A' && text[i] <= 'Z') ||
              (text[i] >= '0' && text[i] <= '9') || text[i] == '-' || text[i] == '_' || (text[i] == '.' && i != 0)))
            return false;
    return length != 0 && length < size;
}

static bool is_word(const struct word *word, const char *text)
{
    return word->length == strlen(text) && memcmp(word->text, text, word->length) == 0;
}

/* What all kinds have in common; false: a mistake, or nothing at all. */
static bool read_line(struct manifest_line *line, const char *text, size_t length)
{
    struct word word;
    size_t at = 0;
    bool ends = without_comment(text, &length);

    if (!next_word(text, length, &at, &word))
        return false;
    line->kind = is_word(&word, "driver")    ? MANIFEST_DRIVER
                 : is_word(&word, "service") ? MANIFEST_SERVICE
                                             : MANIFEST_UNKNOWN;
    if (length > MANIFEST_LINE_MOST)
        return mistake(line, text, length, "a line of at most 400 characters");
    if (line->kind == MANIFEST_UNKNOWN)
        return mistake(line, word.text, word.length, "driver or service");
    if (!ends)
        return mistake(line, text, length, "a quote that ends on the same line");
    if (!next_word(text, length, &at, &word) || !is_name(word.text, word.length, NAME_SIZE))
        return mistake(line, word.text, word.length, "a name of letters, digits, - and _, 23 at most");
    line->name = word.text;
    line->name_length = word.length;
    line->options = text + at;
    line->options_length = length - at;
    while (next_word(text, length, &at, &word))
        if (word.value == NULL || word.text[0] == '=')
            return mistake(line, word.text, word.length, "KEY=VALUE");
    return true;
}

bool manifest_next(struct manifest_cursor *cursor, struct manifest_line *line)
{
    while (cursor->at < cursor->size) {
        const char *text = cursor->text + cursor->at;
        size_t length = 0, left = cursor->size - cursor->at;

        while (length < left && text[length] != '\n')
            length++;
        cursor->at += length < left ? length + 1 : length;
        *line = (struct manifest_line){.number = ++cursor->number};
        if (read_line(line, text, length) || line->mistake.expected != NULL)
            return true;
    }
    return false;
}

void manifest_sentence(const struct manifest_line *line, char *sentence, size_t size)
{
    if (line->mistake.found[0] == '\0')
        snprintf(sentence, size, "line %u: it ends too early; expected: %s", line->number, line->mistake.expected);
    else
        snprintf(sentence, size, "line %u: found \"%s\"; expected: %s", line->number, line->mistake.found,
                 line->mistake.expected);
}

/* ---- Values --------------------------------------------------------------------------------------------------------
 */

enum value_kind {
    VALUE_NUMBER,
    VALUE_TIME,
    VALUE_PERCENT,
    VALUE_CPUS,
    VALUE_NAME,
    VALUE_LIST,
    VALUE_CHOICE,
    VALUE_TEXT
};

#define AT(member)    offsetof(struct manifest_service, member)
#define BUDGET(which) (AT(limits) + (which) * sizeof(uint64_t))

/* In numbers: the least and the most that is taken. In choices: `expected` begins with the words for 0 and 1. */
static const struct {
    char key[9];
    uint8_t kind; /* enum value_kind */
    uint16_t at;
    uint64_t least, most;
    char expected[40];
} keys[] = {
    {"program", VALUE_NAME, AT(program), 0, 0, "a name of at most 23 characters"},
    {"args", VALUE_TEXT, AT(arguments), 0, 0, "at most 120 characters"},
    {"memory", VALUE_NUMBER, BUDGET(BUDGET_MEMORY), 16 << 10, UINT64_C(1) << 40, "a size from 16K to 1024G"},
    {"handles", VALUE_NUMBER, BUDGET(BUDGET_HANDLES), 1, 1 << HANDLE_INDEX_BITS, "a number from 1 to 65536"},
    {"threads", VALUE_NUMBER, BUDGET(BUDGET_THREADS), 1, 1024, "a number from 1 to 1024"},
    {"objects", VALUE_NUMBER, BUDGET(BUDGET_OBJECTS), 0, 65536, "a number from 0 to 65536"},
    {"stack", VALUE_NUMBER, AT(stack), 4 << 10, 4 << 20, "a size from 4K to 4M"},
    {"priority", VALUE_NUMBER, AT(priority), 0, PRIORITIES - 1, "a number from 0 to 31"},
    {"cpu", VALUE_PERCENT, AT(cpu_promille), 1, 1000, "a share from 1% to 100%"},
    {"period", VALUE_TIME, AT(period_ns), NANOSECONDS_PER_MILLISECOND, 10 * NANOSECONDS_PER_SECOND,
     "a time from 1ms to 10s"},
    {"cpus", VALUE_CPUS, AT(cpus), 0, 63, "CPUs from 0 to 63, as in 0-3,5"},
    {"give", VALUE_LIST, AT(give), 0, 0, "up to 8 names with commas between"},
    {"offer", VALUE_LIST, AT(offer), 0, 0, "up to 8 names with commas between"},
    {"use", VALUE_LIST, AT(use), 0, 0, "up to 8 names with commas between"},
    {"start", VALUE_CHOICE, AT(asked), 0, 0, "boot or asked"},
    {"restart", VALUE_CHOICE, AT(restart), 0, 0, "never or on-crash"},
    {"backoff", VALUE_TIME, AT(backoff_ns), NANOSECONDS_PER_MILLISECOND, 10 * NANOSECONDS_PER_SECOND,
     "a time from 1ms to 10s"},
    {"limit", VALUE_NUMBER, AT(limit), 0, 1000, "a number from 0 to 1000"},
    {"within", VALUE_TIME, AT(within_ns), NANOSECONDS_PER_SECOND, 86400 * NANOSECONDS_PER_SECOND,
     "a time from 1s to 86400s"},
};
enum { KEYS = sizeof keys / sizeof keys[0] };

_Static_assert(KEYS <= 32, "manifest_service remembers in a word which were given");

/* Digits only: in "50ms" the m is no mebi. */
static bool read_decimal(const char *text, const char **end, uint64_t *number)
{
    *number = 0;
    for (*end = text; **end >= '0' && **end <= '9'; ++*end)
        if (__builtin_mul_overflow(*number, 10, number) ||
            __builtin_add_overflow(*number, (uint64_t)(**end - '0'), number))
            return false;
    return *end != text;
}

/* A number with this unit behind it, which is worth `each`. */
static bool read_unit(const char *text, uint64_t each, const char *unit, uint64_t *number)
{
    const char *end;

    return read_decimal(text, &end, number) && strcmp(end, unit) == 0 && !__builtin_mul_overflow(*number, each, number);
}

static bool read_size(const char *text, uint64_t *number)
{
    const char *end;

    return text_to_number(text, &end, number) && *end == '\0';
}

static bool read_cpus(const char *text, uint64_t *cpus)
{
    *cpus = 0;
    for (;; text++) {
        uint64_t first, last;
        if (!read_decimal(text, &text, &first))
            return false;
        last = first;
        if (*text == '-' && !read_decimal(text + 1, &text, &last))
            return false;
        if (first > last || last > 63)
            return false;
        *cpus |= (last == 63 ? UINT64_MAX : (UINT64_C(1) << (last + 1)) - 1) & ~((UINT64_C(1) << first) - 1);
        if (*text != ',')
            return *text == '\0';
    }
}

static bool read_list(const char *text, struct manifest_list *list)
{
    list->count = 0;
    for (; *text != '\0' || list->count != 0; text++) {
        const char *end = text;
        while (*end != '\0' && *end != ',')
            end++;
        size_t length = (size_t)(end - text);
        if (list->count == MANIFEST_LISTED_MOST || !is_name(text, length, MANIFEST_WORD_SIZE))
            return false;
        memcpy(list->words[list->count], text, length);
        list->words[list->count++][length] = '\0';
        text = end;
        if (*text == '\0')
            break;
    }
    return true;
}

static bool read_choice(const char *text, const char *words, uint64_t *choice)
{
    const char * or = strstr(words, " or ");
    size_t length = strlen(text);

    *choice = strcmp(text, or +4) == 0;
    return *choice == 1 || (length == (size_t)(or -words) && memcmp(text, words, length) == 0);
}

/* `text` is terminated; `value` is where it stands in the manifest. */
static bool read_value(unsigned key, const char *text, const struct word *word, struct manifest_service *service)
{
    void *to = (char *)service + keys[key].at;
    uint64_t *number = to;

    switch ((enum value_kind)keys[key].kind) {
    case VALUE_NUMBER:
        return read_size(text, number) && *number >= keys[key].least && *number <= keys[key].most;
    case VALUE_TIME:
        return (read_unit(text, NANOSECONDS_PER_MILLISECOND, "ms", number) ||
                read_unit(text, NANOSECONDS_PER_SECOND, "s", number)) &&
               *number >= keys[key].least && *number <= keys[key].most;
    case VALUE_PERCENT:
        return read_unit(text, 10, "%", number) && *number >= keys[key].least && *number <= keys[key].most;
    case VALUE_CPUS:
        return read_cpus(text, number);
    case VALUE_NAME:
        return is_name(text, word->value_length, NAME_SIZE) && text_copy(to, text, NAME_SIZE) != 0;
    case VALUE_LIST:
        return read_list(text, to);
    case VALUE_CHOICE:
        return read_choice(text, keys[key].expected, number);
    case VALUE_TEXT:
        service->arguments = word->value;
        service->arguments_length = word->value_length;
        return true;
    }
    return false;
}

/* ---- Services ------------------------------------------------------------------------------------------------------
 */

void manifest_defaults(struct manifest_service *service, const char *name, size_t length)
{
    *service = (struct manifest_service){
        .limits = {[BUDGET_MEMORY] = 256 << 10, [BUDGET_HANDLES] = 32, [BUDGET_THREADS] = 4, [BUDGET_OBJECTS] = 16},
        .period_ns = 10 * NANOSECONDS_PER_MILLISECOND,
        .priority = 8,
        .stack = 16 << 10,
        .give = {2, {"console", "clock"}},
        .backoff_ns = 100 * NANOSECONDS_PER_MILLISECOND,
        .limit = 5,
        .within_ns = 60 * NANOSECONDS_PER_SECOND,
    };
    if (length >= NAME_SIZE)
        length = NAME_SIZE - 1;
    memcpy(service->name, name, length);
    memcpy(service->program, name, length);
}

static bool is_key(const struct word *word, unsigned key)
{
    size_t length = (size_t)(word->value - word->text) - 1;

    if (length != 0 && word->text[length] == '"')
        length--;
    return length == strlen(keys[key].key) && memcmp(word->text, keys[key].key, length) == 0;
}

static bool read_option(struct manifest_line *line, const struct word *word, uint32_t *given,
                        struct manifest_service *service)
{
    char value[VALUE_MOST + 1];
    unsigned key = 0;

    while (key < KEYS && !is_key(word, key))
        key++;
    if (key == KEYS)
        return mistake(line, word->text, word->length, "one of the keys that docs/manifest.md lists");
    if (*given & 1u << key)
        return mistake(line, word->text, word->length, "each key once");
    *given |= 1u << key;
    if (word->value_length > VALUE_MOST)
        return mistake(line, word->text, word->length, "a value of at most 120 characters");
    memcpy(value, word->value, word->value_length);
    value[word->value_length] = '\0';
    if (memchr(value, '\0', word->value_length) != NULL || !read_value(key, value, word, service))
        return mistake(line, word->text, word->length, keys[key].expected);
    return true;
}

bool manifest_service(struct manifest_line *line, struct manifest_service *service)
{
    struct word word;
    size_t at = 0;
    uint32_t given = 0;

    manifest_defaults(service, line->name, line->name_length);
    while (next_word(line->options, line->options_length, &at, &word))
        if (!read_option(line, &word, &given, service))
            return false;
    service->limits[BUDGET_CPU] = service->cpu_promille;
    if (service->give.count + service->offer.count + service->use.count > START_HANDLES - 1)
        return mistake(line, line->options, line->options_length, "at most 15 names in give, offer and use");
    return true;
}
