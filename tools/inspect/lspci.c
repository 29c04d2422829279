/*
 * lspci.c: what `lspci -x`, `-xxx` or `-xxxx` prints, as configuration space that can be read.
 *
 * A function is a line that begins with its address ("00:1f.2" or "0000:00:1f.2"), then lines of an offset and
 * up to 16 bytes in hexadecimal. Lines that begin with white space (lspci -v) are passed over.
 */
#include "inspect.h"

#include <machine/pci.h>
#include <stdlib.h>
#include <string.h>

struct dump_function {
    struct pci_address where;
    uint8_t *bytes;
    unsigned size, line;
    bool printed;
};

struct dump {
    struct pci_access access; /* first */
    const char *path;
    struct dump_function *functions;
    size_t count, capacity;
    bool json, any;
};

/* ---- As configuration space ------------------------------------------------------------------------ */

static uint32_t key(struct pci_address where)
{
    return (uint32_t)where.segment << 16 | (uint32_t)where.bus << 8 | where.devfn;
}

static int compare(const void *a, const void *b)
{
    uint32_t x = key(((const struct dump_function *)a)->where), y = key(((const struct dump_function *)b)->where);

    return x < y ? -1 : x > y;
}

static struct dump_function *find(const struct dump *dump, struct pci_address where)
{
    struct dump_function wanted = {.where = where};

    return bsearch(&wanted, dump->functions, dump->count, sizeof wanted, compare);
}

static uint32_t dump_read(const struct pci_access *access, struct pci_address where, unsigned offset, unsigned width)
{
    const struct dump_function *function = find((const struct dump *)access, where);
    uint32_t value = 0;

    for (unsigned i = 0; i < width; i++) {
        uint32_t byte = function != NULL && offset + i < function->size ? function->bytes[offset + i] : 0xff;
        value |= byte << (8 * i);
    }
    return value;
}

static void dump_write(const struct pci_access *access, struct pci_address where, unsigned offset, unsigned width,
                       uint32_t value)
{
    (void)access;
    (void)where;
    (void)offset;
    (void)width;
    (void)value;
}

/* ---- Reading text ---------------------------------------------------------------------------------- */

static int digit(char character)
{
    if (character >= '0' && character <= '9')
        return character - '0';
    if (character >= 'a' && character <= 'f')
        return character - 'a' + 10;
    if (character >= 'A' && character <= 'F')
        return character - 'A' + 10;
    return -1;
}

/* Reads up to `most` digits; returns how many there were. */
static unsigned hexadecimal(const char **at, const char *end, unsigned most, uint32_t *value)
{
    unsigned count = 0;

    *value = 0;
    while (*at < end && count < most && digit(**at) >= 0) {
        *value = *value << 4 | (uint32_t)digit(**at);
        ++*at;
        count++;
    }
    return count;
}

static bool skip(const char **at, const char *end, char character)
{
    if (*at == end || **at != character)
        return false;
    ++*at;
    return true;
}

/* "0000:00:1f.2 " or "00:1f.2 ". A segment has up to eight digits, of which vmos knows four. */
static bool is_function(const char *at, const char *end, uint32_t *segment, struct pci_address *where)
{
    uint32_t fields[3] = {0}, function;
    unsigned digits = hexadecimal(&at, end, 8, &fields[0]);

    if (digits < 2 || !skip(&at, end, ':') || hexadecimal(&at, end, 2, &fields[1]) != 2)
        return false;
    if (skip(&at, end, ':')) {
        if (digits < 4 || hexadecimal(&at, end, 2, &fields[2]) != 2)
            return false;
    } else {
        if (digits != 2)
            return false;
        fields[2] = fields[1];
        fields[1] = fields[0];
        fields[0] = 0;
    }
    if (!skip(&at, end, '.') || hexadecimal(&at, end, 1, &function) != 1 || function > 7 || fields[2] > 31)
        return false;
    *segment = fields[0];
    *where = (struct pci_address){(uint16_t)fields[0], (uint8_t)fields[1], (uint8_t)(fields[2] << 3 | function)};
    return at == end || *at == ' ' || *at == '\t';
}

/* "10: 04 00 90 fe" into the function's bytes; what is wrong with it, or NULL. */
static const char *read_bytes(struct dump_function *function, const char *at, const char *end)
{
    uint32_t offset, byte;
    unsigned digits = hexadecimal(&at, end, 3, &offset);

    if (digits < 2 || !skip(&at, end, ':'))
        return "is neither a function nor bytes";
    if (offset != function->size)
        return "does not go on where the bytes before it ended";
    while (end > at && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    for (unsigned count = 0; at < end; count++) {
        if (!skip(&at, end, ' ') || hexadecimal(&at, end, 2, &byte) != 2)
            return "has something else than bytes";
        if (count == 16)
            return "has more than 16 bytes";
        if (function->size == 4096)
            return "goes beyond 4096 bytes";
        if (function->size == 0 || function->size == 256) {
            uint8_t *bytes = realloc(function->bytes, function->size == 0 ? 256 : 4096);
            if (bytes == NULL)
                return "needs more memory than there is";
            function->bytes = bytes;
        }
        function->bytes[function->size++] = (uint8_t)byte;
    }
    return function->size == offset ? "has no bytes" : NULL;
}

static bool add_function(struct dump *dump, struct pci_address where, unsigned line)
{
    if (dump->count == dump->capacity) {
        size_t capacity = dump->capacity == 0 ? 64 : dump->capacity * 2;
        struct dump_function *functions = realloc(dump->functions, capacity * sizeof *functions);
        if (functions == NULL)
            return false;
        dump->functions = functions;
        dump->capacity = capacity;
    }
    dump->functions[dump->count++] = (struct dump_function){.where = where, .line = line};
    return true;
}

/* One line; what is wrong with it, or NULL. */
static const char *read_line(struct dump *dump, const char *at, const char *end, unsigned line)
{
    struct pci_address where;
    uint32_t segment;

    if (end > at && end[-1] == '\r')
        end--;
    if (at == end || *at == ' ' || *at == '\t')
        return NULL;
    if (is_function(at, end, &segment, &where)) {
        if (dump->count > 0 && dump->functions[dump->count - 1].size == 0)
            return "follows a function without bytes";
        if (segment > UINT16_MAX)
            return "names a segment above ffff";
        return add_function(dump, where, line) ? NULL : "needs more memory than there is";
    }
    if (dump->count == 0)
        return "is not the line of a function";
    return read_bytes(&dump->functions[dump->count - 1], at, end);
}

static bool read_text(struct dump *dump, const char *text, size_t size)
{
    const char *end = text + size;

    for (unsigned line = 1; text < end; line++) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        const char *stop = newline != NULL ? newline : end;
        const char *fault = read_line(dump, text, stop, line);
        if (fault != NULL)
            return inspect_fail("%s: line %u %s", dump->path, line, fault) == 0;
        text = newline != NULL ? newline + 1 : end;
    }
    if (dump->count == 0)
        return inspect_fail("%s: no function is in it", dump->path) == 0;
    qsort(dump->functions, dump->count, sizeof *dump->functions, compare);
    for (size_t i = 0; i < dump->count; i++) {
        const struct dump_function *function = &dump->functions[i];
        char address[PCI_ADDRESS_TEXT_SIZE];
        pci_address_text(function->where, address);
        if (function->size < 64)
            return inspect_fail("%s: line %u: %s has fewer than 64 bytes", dump->path, function->line, address) == 0;
        if (i > 0 && compare(function - 1, function) == 0)
            return inspect_fail("%s: line %u: %s is there twice", dump->path, function->line, address) == 0;
    }
    return true;
}

/* ---- Printing -------------------------------------------------------------------------------------- */

/* Turns "key: value" lines into members of a JSON object. */
struct json_printer {
    struct printer printer; /* first */
    char line[1024];
    size_t length;
    bool any;
};

static void json_string(const char *text, size_t length)
{
    print(&inspect_stdout, "\"");
    for (size_t i = 0; i < length; i++)
        print(&inspect_stdout, text[i] == '"' || text[i] == '\\' ? "\\%c" : "%c", text[i]);
    print(&inspect_stdout, "\"");
}

static void json_write(struct printer *printer, const char *text, size_t length)
{
    struct json_printer *self = (struct json_printer *)printer;

    for (size_t i = 0; i < length; i++) {
        if (text[i] != '\n') {
            if (self->length < sizeof self->line)
                self->line[self->length++] = text[i];
            continue;
        }
        const char *colon = memchr(self->line, ':', self->length);
        if (colon != NULL && colon + 2 <= self->line + self->length) {
            print(&inspect_stdout, self->any ? ", " : "");
            json_string(self->line, (size_t)(colon - self->line));
            print(&inspect_stdout, ": ");
            json_string(colon + 2, self->length - (size_t)(colon + 2 - self->line));
            self->any = true;
        }
        self->length = 0;
    }
}

static bool print_found(void *context, const struct pci_function *found)
{
    struct dump *dump = context;
    struct dump_function *function = find(dump, found->where);

    if (function == NULL || function->printed)
        return true;
    function->printed = true;
    if (dump->json) {
        struct json_printer printer = {.printer = {.write = json_write}};
        print(&inspect_stdout, dump->any ? ",\n  {" : "\n  {");
        pci_report(found, &printer.printer);
        print(&inspect_stdout, "}");
    } else {
        print(&inspect_stdout, dump->any ? "\n" : "");
        pci_report(found, &inspect_stdout);
    }
    dump->any = true;
    return true;
}

/* From the lowest bus of each segment, then from each bus that no bridge led to. */
static void print_functions(struct dump *dump)
{
    struct machine_host_bridge bridge = {.firmware_configured = true, .last_bus = 255};
    uint32_t last = UINT32_MAX;

    print(&inspect_stdout, dump->json ? "[" : "");
    for (size_t i = 0; i < dump->count; i++) {
        const struct dump_function *function = &dump->functions[i];
        if (function->printed || key(function->where) >> 8 == last)
            continue;
        last = key(function->where) >> 8;
        bridge.segment = function->where.segment;
        bridge.first_bus = function->where.bus;
        pci_enumerate(&bridge, 0, &dump->access, print_found, dump);
    }
    print(&inspect_stdout, dump->json ? "\n]\n" : "");
}

int inspect_pci(const char *path, bool json)
{
    struct dump dump = {
        .access = {.read = dump_read, .write = dump_write, .extended = true, .read_only = true},
        .path = path,
        .json = json,
    };
    size_t size;
    uint8_t *text = inspect_read_file(path, &size);
    int result = 1;

    if (text == NULL)
        return 1;
    if (read_text(&dump, (const char *)text, size)) {
        print_functions(&dump);
        result = inspect_malformed();
    }
    for (size_t i = 0; i < dump.count; i++)
        free(dump.functions[i].bytes);
    free(dump.functions);
    free(text);
    return result;
}
