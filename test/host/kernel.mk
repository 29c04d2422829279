# Tests of what the kernel adds to the rooms below it. Those of manifest, log and random include the file that they
# test, for what it keeps to itself.
HOST_TESTS += line options manifest log pager random selftest
line_SOURCES     := lib/line.c lib/text.c
options_SOURCES  := kernel/options.c lib/text.c
manifest_SOURCES := lib/cpio.c lib/manifest.c lib/text.c
manifest_CFLAGS  := -Itest/host/support/fake_arch
manifest_DEPENDS := kernel/manifest.c kernel/ramdisk.c kernel/kernel.h
log_DEPENDS      := kernel/log.c kernel/log.h
pager_SOURCES    := kernel/pager.c lib/text.c
pager_CFLAGS     := -Itest/host/support/fake_arch
pager_DEPENDS    := kernel/pager.h kernel/console.h kernel/log.h kernel/kernel.h
random_SOURCES   := lib/chacha20.c
random_CFLAGS    := -Itest/host/support/fake_arch
random_DEPENDS   := kernel/random.c kernel/random.h
selftest_SOURCES := kernel/selftest.c kernel/wait.c
selftest_CFLAGS  := -Itest/host/support/fake_arch

FUZZ_TARGETS += options manifest
fuzz_options_SOURCES  := kernel/options.c lib/text.c
fuzz_manifest_SOURCES := lib/cpio.c lib/manifest.c lib/text.c
fuzz_manifest_CFLAGS  := -Itest/host/support/fake_arch

# Names of addresses: the table of a small object, made as that of the kernel is.
HOST_TESTS += symbols
symbols_SOURCES := build/host/symbols_table.S
symbols_CFLAGS  := -Itest/host/support/fake_arch -Wno-unused-command-line-argument
symbols_LIBS    := -Wl,-z,noexecstack
symbols_DEPENDS := kernel/symbols.c kernel/symbols.h
build/host/symbols_table.S: test/host/support/symbols_subject.S tools/make-symbols
	@mkdir -p $(@D)
	$Q$(HOST_CC) -c $< -o build/host/symbols_subject.o
	$Qtools/make-symbols --binary build/host/symbols_subject.o build/host/symbols_table.sym
	$Qtools/make-symbols build/host/symbols_subject.o > $@
