# build/host/vmos-inspect: the readers as a program, under sanitizers; test/host/test_inspect.py runs it.
INSPECT_SOURCES := $(wildcard tools/inspect/*.c machine/acpi*.c machine/fdt*.c machine/pci*.c) \
                   machine/machine.c machine/add.c machine/report.c machine/report_form.c lib/text.c lib/print.c \
                   lib/status.c

build/host/vmos-inspect: $(INSPECT_SOURCES) $(wildcard tools/inspect/*.h machine/*.h include/vmos/*.h lib/*.h)
	@mkdir -p $(@D)
	$(if $(V),,@echo "  HOST  $@")
	$Q$(HOST_CC) -std=gnu11 -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all \
	  $(WARNINGS) -Iinclude -I. $(INSPECT_SOURCES) -o $@

host: build/host/vmos-inspect
