# Tests. Host tests are cmocka programs under ASan and UBSan: test/host/test_NAME.c with the sources that
# test/host/*.mk name; fuzz targets are libFuzzer programs: test/host/fuzz/fuzz_NAME.c.
# A room adds its tests with a file test/host/ROOM.mk:
#     HOST_TESTS += chacha20
#     chacha20_SOURCES := lib/chacha20.c
#     FUZZ_TARGETS += fdt
#     fuzz_fdt_SOURCES := machine/fdt.c ...

HOST_TESTS   :=
FUZZ_TARGETS :=
include $(wildcard test/host/*.mk)

HOST_BASE     := test/host/support/host_log.c lib/print.c lib/status.c
HOST_CFLAGS   := -std=gnu11 -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all \
                 $(WARNINGS) -Iinclude -I. -Itest/host/support
HOST_BINARIES := $(HOST_TESTS:%=build/host/test/%)
FUZZ_BINARIES := $(FUZZ_TARGETS:%=build/host/fuzz/%)

.SECONDEXPANSION:
$(HOST_BINARIES): build/host/test/%: test/host/test_%.c $$($$*_SOURCES) $(HOST_BASE) $$($$*_DEPENDS)
	@mkdir -p $(@D)
	$(if $(V),,@echo "  HOST  $@")
	$Q$(CC) $(HOST_CFLAGS) $($*_CFLAGS) $< $($*_SOURCES) $(HOST_BASE) -o $@ -lcmocka $($*_LIBS)

$(FUZZ_BINARIES): build/host/fuzz/%: test/host/fuzz/fuzz_%.c $$(fuzz_$$*_SOURCES) $(HOST_BASE)
	@mkdir -p $(@D)
	$(if $(V),,@echo "  FUZZ  $@")
	$Q$(CC) $(HOST_CFLAGS) -fsanitize=fuzzer $(fuzz_$*_CFLAGS) $< $(fuzz_$*_SOURCES) $(HOST_BASE) -o $@

host: $(HOST_BINARIES) $(FUZZ_BINARIES)
