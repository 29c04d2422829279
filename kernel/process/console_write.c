/* console_write.c: see console_write.h. */
#include "console_write.h"

#include "names.h"

#include <lib/log.h>
#include <lib/malloc.h>
#include <lib/string.h>

enum { TAB = 8 };

struct console_line {
    uint64_t filled_ns; /* when `left` was right */
    uint64_t left;      /* bytes that may be written at once */
    uint32_t length;
    char text[CONSOLE_LINE];
};

/* A line on its way, with the lock or without. */
struct writer {
    char who[PROCESS_TEXT_SIZE];
    char text[CONSOLE_LINE];
    size_t length;
};

static struct console_line *line_of(struct process *process)
{
    struct console_line *line = process->line;

    if (line == NULL && budget_take(process, BUDGET_MEMORY, sizeof *line)) {
        line = calloc(1, sizeof *line);
        if (line == NULL)
            budget_give(process, BUDGET_MEMORY, sizeof *line);
        else
            *line = (struct console_line){.filled_ns = clock_now(), .left = CONSOLE_BURST};
        process->line = line;
    }
    return line;
}

/* Time that is too short for a byte is counted the next time. */
static void fill(struct console_line *line)
{
    const uint64_t byte_ns = NANOSECONDS_PER_SECOND / CONSOLE_RATE;
    uint64_t bytes = (clock_now() - line->filled_ns) / byte_ns;

    line->filled_ns += bytes * byte_ns;
    line->left = bytes < CONSOLE_BURST - line->left ? line->left + bytes : CONSOLE_BURST;
}

static void begin(struct writer *writer, const struct process *process)
{
    process_text(process, writer->who);
    writer->length = 0;
}

static void end_line(struct writer *writer)
{
    log_info(writer->who, "%.*s", (int)writer->length, writer->text);
    writer->length = 0;
}

/* The log replaces what could steer a terminal; a NUL would end the line there. */
static void write_character(struct writer *writer, char character)
{
    if (character == '\n') {
        end_line(writer);
        return;
    }
    do {
        if (writer->length == CONSOLE_LINE)
            end_line(writer);
        writer->text[writer->length++] = character == '\t' ? ' ' : character == '\0' ? '?' : character;
    } while (character == '\t' && writer->length % TAB != 0);
}

/* Another thread of the process may have begun a line meanwhile: then this one, too, ends here. */
static void keep(struct process *process, struct writer *writer)
{
    struct console_line *line = process->line;

    if (writer->length == 0)
        return;
    if (line == NULL || line->length != 0) {
        end_line(writer);
        return;
    }
    memcpy(line->text, writer->text, writer->length);
    line->length = (uint32_t)writer->length;
}

enum status console_write(struct process *process, uintptr_t text, uint64_t size, uint64_t *taken)
{
    char bytes[CONSOLE_WRITE_MOST];
    struct writer writer;

    if (size > sizeof bytes)
        size = sizeof bytes;
    if (!user_copy_in(bytes, text, (size_t)size))
        return STATUS_BAD_ADDRESS;
    struct console_line *line = line_of(process);
    if (line == NULL)
        return STATUS_LIMIT;
    fill(line);
    if (size > line->left)
        return STATUS_BUSY;
    line->left -= size;
    begin(&writer, process);
    memcpy(writer.text, line->text, line->length);
    writer.length = line->length;
    line->length = 0;
    /* Serial ports are slow, and nobody else may wait for one. */
    lock_release(&objects_lock, cpu_interrupts_disable());
    for (size_t i = 0; i < size; i++)
        write_character(&writer, bytes[i]);
    lock_take(&objects_lock);
    keep(process, &writer);
    *taken = size;
    return STATUS_OK;
}

void console_write_end(struct process *process)
{
    struct console_line *line = process->line;
    struct writer writer;

    if (line == NULL)
        return;
    process->line = NULL;
    begin(&writer, process);
    memcpy(writer.text, line->text, line->length);
    writer.length = line->length;
    if (writer.length != 0)
        end_line(&writer);
    free(line);
    budget_give(process, BUDGET_MEMORY, sizeof *line);
}
