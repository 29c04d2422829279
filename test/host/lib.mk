# Tests of the library. string, printf and heap stand beside the C library's own: their tests include the file
# under other names.
HOST_TESTS += string printf text chacha20 cpio ring ring_threads
string_CFLAGS     := -fno-builtin
string_DEPENDS    := lib/string.c
printf_CFLAGS     := -Wno-format
printf_DEPENDS    := lib/printf.c
text_SOURCES      := lib/text.c
chacha20_SOURCES  := lib/chacha20.c
cpio_SOURCES      := lib/cpio.c
# Two threads, under the sanitizer that sees what a missing barrier allows.
ring_threads_CFLAGS := -fno-sanitize=all -fsanitize=thread -O2
ring_threads_LIBS   := -lpthread

FUZZ_TARGETS      += cpio
fuzz_cpio_SOURCES := lib/cpio.c

# vmos.conf; the kernel's use of it is the test `manifest`.
HOST_TESTS            += vmos_conf
vmos_conf_SOURCES     := lib/manifest.c lib/text.c
FUZZ_TARGETS          += vmos_conf
fuzz_vmos_conf_SOURCES := lib/manifest.c lib/text.c
