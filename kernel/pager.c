/* pager.c: see pager.h. */
#include "pager.h"

#include "console.h"
#include "kernel.h"
#include "log.h"

#include <lib/string.h>
#include <lib/text.h>

enum { CONTROL_C = 'C' & 0x1f, SCREEN = 24 /* lines, as long as nobody says how many */, SCREEN_MOST = 1000 };

static unsigned page_lines; /* 0: off */
static unsigned lines;      /* since the last pause */
static bool ended;          /* nobody wants to read on */

static const char question[] = "\r\x1b[K-- more: Space, Enter for a line, q --";

static void end_output(const char *last)
{
    ended = true;
    print(&console_printer, "%s\n", last);
}

/* A page is full: waits for a key. A line of the log takes the question's place, and the question comes again. */
static void pause(void)
{
    static const char wipe[] = "\r\x1b[K";
    uint8_t key = 0;

    do {
        if (key == 0)
            console_printer.write(&console_printer, question, sizeof question - 1);
        key = console_key();
    } while (key != ' ' && key != '\r' && key != '\n' && key != 'q' && key != CONTROL_C);
    console_printer.write(&console_printer, wipe, sizeof wipe - 1);
    if (key == CONTROL_C)
        end_output("^C");
    else if (key == 'q')
        end_output("...");
    lines = key == ' ' ? 0 : page_lines - 2;
}

static void write(struct printer *printer, const char *text, size_t length)
{
    size_t start = 0;

    (void)printer;
    for (size_t i = 0; i < length && !ended; i++) {
        if (text[i] != '\n')
            continue;
        console_printer.write(&console_printer, text + start, i + 1 - start);
        start = i + 1;
        if (console_interrupted())
            end_output("^C");
        else if (page_lines != 0 && ++lines >= page_lines - 1)
            pause();
    }
    if (!ended && start < length)
        console_printer.write(&console_printer, text + start, length - start);
}

struct printer *pager_begin(void)
{
    static struct printer pager = {.write = write};

    lines = 0;
    ended = false;
    return &pager;
}

void pager_command(struct printer *out, const char *arguments)
{
    uint64_t wanted = page_lines;

    if (strcmp(arguments, "on") == 0)
        wanted = SCREEN;
    else if (strcmp(arguments, "off") == 0)
        wanted = 0;
    else if (arguments[0] != '\0' &&
             (!text_to_number(arguments, NULL, &wanted) || wanted < 3 || wanted > SCREEN_MOST)) {
        print(out, "\"%s\" is no number of lines from 3 to %u, nor `on`, nor `off`\n", arguments, SCREEN_MOST);
        return;
    }
    page_lines = (unsigned)wanted;
    lines = 0;
    if (page_lines == 0)
        print(out, "output comes without a pause\n");
    else
        print(out, "output pauses after every %u lines\n", page_lines - 1);
}
