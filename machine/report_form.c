/*
 * report_form.c: facts as lines ("io apic 0: id 0, base 0xfec00000") or as JSON ("io_apics": [{"id": 0, "base":
 * "0xfec00000"}]).
 *
 * Names are those of JSON; lines show their underscores as spaces. A line that would pass column 79 continues on a
 * second one with the same key. Addresses are hexadecimal, in JSON as strings.
 */
#include "report.h"

#include <lib/string.h>

/* ---- The two forms --------------------------------------------------------------------------------- */

void report_put(struct report *report, const char *text)
{
    report->out->write(report->out, text, strlen(text));
}

static void put_quoted(struct report *report, const char *text)
{
    report_put(report, "\"");
    for (; *text != '\0'; text++) {
        bool plain = *text >= ' ' && *text <= '~' && *text != '"' && *text != '\\';
        if (plain)
            report->out->write(report->out, text, 1);
        else
            print(report->out, "\\u%04x", (unsigned char)*text);
    }
    report_put(report, "\"");
}

static void put_value(struct report *report, const char *value, bool quoted)
{
    if (quoted)
        put_quoted(report, value);
    else
        report_put(report, value);
}

static void put_name(struct report *report, const char *name)
{
    report_put(report, report->began ? ", " : "");
    report->began = true;
    put_quoted(report, name);
    report_put(report, ": ");
}

/* "io_apic" is "io apic" in a line. */
static void append_words(struct report *report, const char *name)
{
    for (; *name != '\0' && report->length < sizeof report->line - 1; name++)
        report->line[report->length++] = *name == '_' ? ' ' : *name;
    report->line[report->length] = '\0';
}

static void end_line(struct report *report)
{
    append_words(report, "\n");
    report_put(report, report->line);
    report->length = report->key_length;
}

/* A blank line in text, before whatever comes next: it belongs together. */
void report_group(struct report *report)
{
    report->blank = !report->json;
}

static void separate(struct report *report)
{
    if (report->blank)
        report_put(report, "\n");
    report->blank = false;
}

/* One fact that stands alone: "model: QEMU"; `quoted` as JSON has it. A long text is only ever one line. */
void report_fact(struct report *report, const char *name, const char *value, bool quoted)
{
    if (report->json) {
        report_put(report, report->began ? ",\n" : "\n");
        report->began = false;
        put_name(report, name);
        put_value(report, value, quoted);
        return;
    }
    separate(report);
    report->length = report->key_length = 0;
    append_words(report, name);
    report_put(report, report->line);
    report_put(report, ": ");
    report_put(report, value);
    report_put(report, "\n");
    report->length = 0;
}

void report_list_begin(struct report *report, const char *name)
{
    if (!report->json)
        return;
    report_put(report, report->began ? ",\n" : "\n");
    report->began = false;
    put_name(report, name);
    report_put(report, "[");
    report->began = false;
}

void report_list_end(struct report *report)
{
    if (report->json)
        report_put(report, "]");
    report->began = true;
}

void report_item_begin(struct report *report, const char *name, uint32_t index)
{
    char number[16];

    if (report->json) {
        report_put(report, report->began ? ",\n  {" : "\n  {");
        report->began = false;
        return;
    }
    separate(report);
    report->length = 0;
    append_words(report, name);
    snprintf(number, sizeof number, " %u:", index);
    append_words(report, number);
    report->key_length = report->length;
}

void report_item_end(struct report *report)
{
    if (report->json)
        report_put(report, "}");
    else
        end_line(report);
    report->began = true;
}

void report_field(struct report *report, const char *name, const char *value, bool quoted)
{
    if (report->json) {
        put_name(report, name);
        put_value(report, value, quoted);
        return;
    }
    if (report->length != report->key_length) {
        if (report->length + strlen(name) + strlen(value) + 3 > REPORT_COLUMNS)
            end_line(report);
        else
            append_words(report, ",");
    }
    append_words(report, " ");
    append_words(report, name);
    append_words(report, " ");
    append_words(report, value);
}

/* ---- Values --------------------------------------------------------------------------------------- */

void report_hex(struct report *report, const char *name, uint64_t value)
{
    char text[REPORT_VALUE_SIZE];

    snprintf(text, sizeof text, "0x%llx", (unsigned long long)value);
    report_field(report, name, text, true);
}

void report_number(struct report *report, const char *name, uint64_t value)
{
    char text[REPORT_VALUE_SIZE];

    snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    report_field(report, name, text, false);
}

static void size(struct report *report, const char *name, uint64_t value)
{
    char text[REPORT_VALUE_SIZE];

    if (report->json) {
        report_number(report, name, value);
        return;
    }
    format_size(text, sizeof text, value);
    report_field(report, name, text, false);
}

void report_flag(struct report *report, const char *name, bool value)
{
    report_field(report, name, report->json ? (value ? "true" : "false") : (value ? "yes" : "no"), false);
}

void report_line(struct report *report, const struct machine_line *value)
{
    if (value->line == MACHINE_NO_LINE)
        return;
    report_number(report, "line", value->line);
    report_field(report, "trigger", value->trigger == TRIGGER_EDGE ? "edge" : "level", true);
    report_field(report, "polarity", value->polarity == POLARITY_LOW ? "low" : "high", true);
}

static void function(struct report *report, const char *name, uint64_t value)
{
    char text[REPORT_VALUE_SIZE];

    snprintf(text, sizeof text, "%02x:%02x.%u", (unsigned)(value >> 8 & 0xff), (unsigned)(value >> 3 & 31),
             (unsigned)(value & 7));
    report_field(report, name, text, true);
}

void report_word(struct report *report, const char *name, const char *const *words, uint64_t value)
{
    while (value-- > 0 && *words != NULL)
        words++;
    report_field(report, name, *words != NULL ? *words : "unknown", true);
}

void report_register(struct report *report, const struct machine_register *value)
{
    if (value->space == ADDRESS_NONE)
        return;
    report_field(report, "space",
                 value->space == ADDRESS_PORT  ? "port"
                 : value->space == ADDRESS_PCI ? "pci"
                                               : "memory",
                 true);
    report_hex(report, "address", value->address);
    report_number(report, "access", value->access_bytes);
    if (value->bit_offset != 0)
        report_number(report, "bit_offset", value->bit_offset);
}

static uint64_t value_of(const void *member, unsigned width)
{
    switch (width) {
    case 1:
        return *(const uint8_t *)member;
    case 2:
        return *(const uint16_t *)member;
    case 4:
        return *(const uint32_t *)member;
    default:
        return *(const uint64_t *)member;
    }
}

/* A value that stands for "not said". */
static bool unsaid(enum form form, uint64_t value)
{
    switch (form) {
    case ADDRESS:
    case COUNT:
    case SIZE:
    case MARK:
    case DEVICE:
        return value == 0;
    case IDENTIFIER:
    case ONLY_LINE:
        return value == UINT32_MAX;
    default:
        return false;
    }
}

static void show_value(struct report *report, const struct column *column, uint64_t value)
{
    const char letter[2] = {(char)('A' + (value - 1) % 26), '\0'};

    switch ((enum form)column->form) {
    case HEX:
    case ADDRESS:
        report_hex(report, column->name, value);
        break;
    case SIZE:
        size(report, column->name, value);
        break;
    case FLAG:
    case MARK:
        report_flag(report, column->name, value != 0);
        break;
    case WORD:
        report_word(report, column->name, column->words, value);
        break;
    case FUNCTION:
    case DEVICE:
        function(report, column->name, value);
        break;
    case LETTER:
        report_field(report, column->name, letter, true);
        break;
    default:
        report_number(report, column->name, value);
    }
}

static void show(struct report *report, const struct column *column, const void *item)
{
    const void *member = (const uint8_t *)item + column->offset;
    enum form form = (enum form)column->form;

    if (form == LINE) {
        report_line(report, member);
    } else if (form == REGISTER) {
        report_register(report, member);
    } else {
        uint64_t value =
            form == ONLY_LINE ? ((const struct machine_line *)member)->line : value_of(member, column->width);
        if (!unsaid(form, value))
            show_value(report, column, value);
    }
}

/* ---- Lists ------------------------------------------------------------------------------------------ */

/* The items of one holder; *index counts on over several. `bridge`: which host bridge holds them. */
static void items(struct report *report, const struct list *list, const void *holder, uint32_t *index,
                  const uint32_t *bridge)
{
    const uint8_t *base = holder, *array = base + list->array;
    uint64_t count = value_of(base + list->count, list->count_width);

    if (list->elsewhere)
        array = *(const uint8_t *const *)(const void *)array;
    if (list->stride == 0 && count > 1)
        count = 1;
    for (uint64_t i = 0; i < count; i++) {
        report_item_begin(report, list->item, (*index)++);
        if (bridge != NULL)
            report_number(report, "bridge", *bridge);
        for (unsigned j = 0; j < list->column_count; j++)
            show(report, &list->columns[j], array + i * list->stride);
        report_item_end(report);
    }
}

void report_list(struct report *report, const struct list *list, const struct machine *machine)
{
    uint32_t index = 0;

    report_list_begin(report, list->name);
    items(report, list, machine, &index, NULL);
    report_list_end(report);
}

void report_bridge_list(struct report *report, const struct list *list, const struct machine *machine)
{
    uint32_t index = 0;

    report_list_begin(report, list->name);
    for (uint32_t i = 0; i < machine->host_bridge_count; i++)
        items(report, list, &machine->host_bridges[i], &index, &i);
    report_list_end(report);
}
