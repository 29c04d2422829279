/*
 * main.c: the command line of vmos-inspect.
 */
#include "inspect.h"

#include <lib/log.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { EXIT_USAGE = 2, FILE_MAX_SIZE = 64 << 20 };

static bool failed;

static int usage(void)
{
    fputs("usage: vmos-inspect acpi DIRECTORY-OR-FILES... [--json]\n"
          "       vmos-inspect fdt FILE.dtb [--json]\n"
          "       vmos-inspect pci FILE [--json]      (what lspci -xxxx prints)\n"
          "Prints the machine, or the PCI functions, that vmos would find in these bytes.\n",
          stderr);
    return EXIT_USAGE;
}

int inspect_fail(const char *format, ...)
{
    va_list arguments;

    if (!failed) {
        fputs("vmos-inspect: ", stderr);
        va_start(arguments, format);
        vfprintf(stderr, format, arguments);
        va_end(arguments);
        fputc('\n', stderr);
    }
    failed = true;
    return 1;
}

bool inspect_malformed(void)
{
    return failed;
}

void log_line(enum log_level level, const char *who, const char *format, ...)
{
    char text[512];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (level == LOG_ERROR)
        inspect_fail("%s: %s", who, text);
    else if (getenv("VMOS_LOG") != NULL)
        fprintf(stderr, "%s: %s\n", who, text);
}

static void write_stdout(struct printer *printer, const char *text, size_t length)
{
    (void)printer;
    fwrite(text, 1, length, stdout);
}

struct printer inspect_stdout = {.write = write_stdout};

static uint8_t *read_open_file(const char *path, FILE *file, size_t *size)
{
    struct stat status;

    if (fstat(fileno(file), &status) != 0 || S_ISDIR(status.st_mode)) {
        inspect_fail("%s: is not a file", path);
        return NULL;
    }
    /* /sys tells sizes that are not true: read until the end. */
    size_t capacity = 4096, used = 0;
    uint8_t *bytes = NULL;
    for (;;) {
        uint8_t *more = realloc(bytes, capacity);
        if (more == NULL)
            break;
        bytes = more;
        used += fread(bytes + used, 1, capacity - used, file);
        if (used < capacity) {
            *size = used;
            uint8_t *exact = realloc(bytes, used != 0 ? used : 1);
            return exact != NULL ? exact : bytes;
        }
        if (capacity >= FILE_MAX_SIZE)
            break;
        capacity *= 2;
    }
    free(bytes);
    inspect_fail("%s: is larger than %d MiB", path, FILE_MAX_SIZE >> 20);
    return NULL;
}

uint8_t *inspect_read_file(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");

    if (file == NULL) {
        inspect_fail("%s: %s", path, strerror(errno));
        return NULL;
    }
    uint8_t *bytes = read_open_file(path, file, size);
    fclose(file);
    return bytes;
}

int main(int argc, char *argv[])
{
    char **paths = argv + 2;
    int count = 0;
    bool json = false;

    if (argc < 2)
        return usage();
    for (int i = 2; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0)
            json = true;
        else if (argv[i][0] == '-' && argv[i][1] != '\0')
            return usage();
        else
            paths[count++] = argv[i];
    }
    if (count == 0 || (strcmp(argv[1], "acpi") != 0 && count != 1))
        return usage();
    if (strcmp(argv[1], "acpi") == 0)
        return inspect_acpi(paths, count, json);
    if (strcmp(argv[1], "fdt") == 0)
        return inspect_fdt(paths[0], json);
    if (strcmp(argv[1], "pci") == 0)
        return inspect_pci(paths[0], json);
    return usage();
}
