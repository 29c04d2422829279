/* fdt_trees.h: device trees for tests: compiled by dtc, dumped by QEMU, or read from a file. */
#ifndef FDT_TREES_H
#define FDT_TREES_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* The file's bytes in an allocation of exactly that size, so that the sanitizer sees a read behind it. */
static inline uint8_t *tree_load(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");

    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    *size = (size_t)ftell(file);
    rewind(file);
    uint8_t *blob = malloc(*size != 0 ? *size : 1);
    assert_non_null(blob);
    assert_int_equal(fread(blob, 1, *size, file), *size);
    fclose(file);
    return blob;
}

/* Runs a command that makes the file which its %s names. */
static inline uint8_t *tree_made_by(const char *command, size_t *size)
{
    char path[] = "/tmp/vmos-fdt-XXXXXX", line[1024];
    int file = mkstemp(path);

    assert_true(file >= 0);
    close(file);
    snprintf(line, sizeof line, command, path);
    assert_int_equal(system(line), 0);
    uint8_t *blob = tree_load(path, size);
    unlink(path);
    return blob;
}

static inline uint8_t *tree_from_source(const char *source, size_t *size)
{
    char path[] = "/tmp/vmos-dts-XXXXXX", command[256];
    int file = mkstemp(path);

    assert_true(file >= 0);
    assert_int_equal(write(file, source, strlen(source)), strlen(source));
    close(file);
    snprintf(command, sizeof command, "dtc -q -q -q -f -I dts -O dtb -o %%s %s", path);
    uint8_t *blob = tree_made_by(command, size);
    unlink(path);
    return blob;
}

#endif
