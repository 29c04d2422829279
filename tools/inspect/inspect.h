/*
 * inspect.h: build/host/vmos-inspect, the kernel's readers as a program for the development host.
 *
 * One file per kind of input. Each prints on stdout and returns the exit status: 0, or 1 when the input is
 * malformed; then there is one sentence on stderr, and stdout has what could still be made of it.
 */
#ifndef TOOLS_INSPECT_H
#define TOOLS_INSPECT_H

#include <lib/printf.h>
#include <stdbool.h>
#include <stdint.h>

int inspect_acpi(char *const paths[], int count, bool json); /* acpi.c */
int inspect_fdt(const char *path, bool json);                /* fdt.c */
int inspect_pci(const char *path, bool json);                /* lspci.c */

/* main.c: what they share. */

/* The file's bytes in memory of exactly that size (free() it), or NULL after the sentence. At most 64 MiB. */
uint8_t *inspect_read_file(const char *path, size_t *size);

/* Says the sentence, unless one has been said already. Always 1, to be returned. */
int inspect_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Did a reader log an error, as it does for what is malformed? The first one has been said then. The log's
 * warnings (something is impossible or not known, and skipped) are only shown with VMOS_LOG set. */
bool inspect_malformed(void);

extern struct printer inspect_stdout;

#endif
