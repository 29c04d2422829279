# build/host/vmos-inspect: the readers as a program, under sanitizers; test/host/test_inspect.py runs it.
INSPECT_SOURCES := $(wildcard tools/inspect/*.c machine/acpi*.c machine/fdt*.c machine/pci*.c) \
                   machine/machine.c machine/add.c machine/report.c machine/report_form.c lib/text.c lib/print.c \
                   lib/status.c
