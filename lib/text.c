/* text.c: words and numbers in text. */
#include <lib/text.h>

#include <lib/string.h>

size_t text_copy(char *to, const char *from, size_t size)
{
    size_t length = strlen(from);

    if (size != 0) {
        size_t copied = length < size ? length : size - 1;
        memcpy(to, from, copied);
        to[copied] = '\0';
    }
    return length;
}

void text_sanitise(char *to, const void *field, size_t size)
{
    const uint8_t *bytes = field;
    size_t length = 0;

    for (; length < size && bytes[length] != '\0'; length++)
        to[length] = bytes[length] >= ' ' && bytes[length] <= '~' ? (char)bytes[length] : '?';
    while (length != 0 && to[length - 1] == ' ')
        length--;
    to[length] = '\0';
}

static unsigned digit_value(char digit)
{
    if (digit >= '0' && digit <= '9')
        return (unsigned)(digit - '0');
    if (digit >= 'a' && digit <= 'f')
        return (unsigned)(digit - 'a') + 10;
    if (digit >= 'A' && digit <= 'F')
        return (unsigned)(digit - 'A') + 10;
    return UINT32_MAX;
}

/* How far a suffix shifts; 0: there is none. */
static unsigned suffix_shift(char suffix)
{
    switch (suffix) {
    case 'K':
    case 'k':
        return 10;
    case 'M':
    case 'm':
        return 20;
    case 'G':
    case 'g':
        return 30;
    default:
        return 0;
    }
}

bool text_to_number(const char *text, const char **end, uint64_t *number)
{
    unsigned base = 10;
    uint64_t value = 0;

    if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X')) {
        base = 16;
        text += 2;
    }
    if (digit_value(*text) >= base)
        return false;
    for (; digit_value(*text) < base; text++)
        if (__builtin_mul_overflow(value, base, &value) || __builtin_add_overflow(value, digit_value(*text), &value))
            return false;

    unsigned shift = suffix_shift(*text);
    if (shift != 0) {
        if (value > UINT64_MAX >> shift)
            return false;
        value <<= shift;
        text++;
    }
    *number = value;
    if (end != NULL)
        *end = text;
    return true;
}

static bool is_space(char byte)
{
    return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

const char *text_word(const char *line, size_t *length)
{
    while (is_space(*line))
        line++;
    *length = 0;
    while (line[*length] != '\0' && !is_space(line[*length]))
        ++*length;
    return *length != 0 ? line : NULL;
}

bool text_option(const char *line, size_t length, const char *key, char *value, size_t capacity)
{
    size_t key_length = strlen(key);
    bool found = false;

    for (size_t start = 0, end; start < length; start = end + 1) {
        for (end = start; end < length && line[end] != ' ' && line[end] != '\t'; end++)
            ;
        if (end - start <= key_length || line[start + key_length] != '=' || memcmp(line + start, key, key_length) != 0)
            continue;
        size_t size = end - start - key_length - 1;
        if (size >= capacity)
            size = capacity - 1;
        memcpy(value, line + start + key_length + 1, size);
        value[size] = '\0';
        found = true;
    }
    return found;
}
