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

HOST_BASE     := test/host/support/host_log.c test/host/support/host_cpu.c lib/print.c lib/status.c
HOST_CFLAGS   := -std=gnu11 -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all \
                 $(WARNINGS) -Iinclude -I. -Itest/host/support
HOST_HEADERS   = $(wildcard include/vmos/*.h lib/*.h machine/*.h platform/*.h memory/*.h authority/*.h driver/*/*.h \
                   model/*.h model/*/*.h test/host/*.h test/host/support/*.h)
HOST_BINARIES := $(HOST_TESTS:%=build/host/test/%)
FUZZ_BINARIES := $(FUZZ_TARGETS:%=build/host/fuzz/%)

# A source is compiled once with the same flags, whichever programs it is in: build/host/object/FLAGS/, where FLAGS is
# what there is beside HOST_CFLAGS, in letters that a path can have.
empty  :=
flavour = $(subst =,.,$(subst /,.,$(subst $(empty) ,,plain$1)))
objects = $(patsubst %,build/host/object/$(call flavour,$1)/%.o,$2)

# $(call HOST_PROGRAM,the program,its sources,flags beside HOST_CFLAGS,libraries,what else it needs)
define HOST_PROGRAM
HOST_OBJECTS  += $(call objects,$3,$2)
HOST_FLAVOURS += $(call flavour,$3)
HOST_FLAGS_$(call flavour,$3) := $3
$1: $(call objects,$3,$2) $5
	@mkdir -p $$(@D)
	$(if $(V),,@echo "  HOST  $$@")
	$$Q$(HOST_CC) $(HOST_CFLAGS) $3 $(call objects,$3,$2) -o $$@ $4
endef
define HOST_FLAVOUR
build/host/object/$1/%.o: %
	@mkdir -p $$(@D)
	$$Q$(HOST_CC) $(HOST_CFLAGS) $(HOST_FLAGS_$1) -MMD -MP -c $$< -o $$@
endef
$(foreach t,$(HOST_TESTS),$(eval $(call HOST_PROGRAM,build/host/test/$t,test/host/test_$t.c $($t_SOURCES) \
  $(HOST_BASE),$($t_CFLAGS),-lcmocka $($t_LIBS),$($t_DEPENDS))))
$(foreach t,$(FUZZ_TARGETS),$(eval $(call HOST_PROGRAM,build/host/fuzz/$t,test/host/fuzz/fuzz_$t.c $(fuzz_$t_SOURCES) \
  $(HOST_BASE),-fsanitize=fuzzer $(fuzz_$t_CFLAGS),$(fuzz_$t_LIBS))))
$(eval $(call HOST_PROGRAM,build/host/pci_qtest,test/host/pci_qtest.c $(PCI_SOURCES) $(HOST_BASE)))
$(eval $(call HOST_PROGRAM,build/host/vmos-inspect,$(INSPECT_SOURCES)))
$(foreach f,$(sort $(HOST_FLAVOURS)),$(eval $(call HOST_FLAVOUR,$f)))
-include $(patsubst %.o,%.d,$(sort $(HOST_OBJECTS)))

host: $(HOST_BINARIES) $(FUZZ_BINARIES) build/host/pci_qtest build/host/vmos-inspect

# What the runner (test/host/test_programs.py) is to run.
list-host:
	@printf 'test %s\n' $(HOST_TESTS)
	@printf 'fuzz %s\n' $(FUZZ_TARGETS)

##   make setup       installs what is missing
setup:
	$Qtools/setup

# Guests sleep, too: half as many tests again as there are CPUs keep them busy.
PYTEST := $(PYTHON) -m pytest -q -rfEs -p no:cacheprovider -n $$(( ($$(nproc) * 3 + 1) / 2 )) --color=no

# What is booted is made before the tests, not by one of several that run at once.
images: kernels
	$Q$(foreach a,$(ARCHES),$(MAKE) --no-print-directory ARCH=$a build/$a/test-initrd.img build/$a/hostile-initrd.img image image-gcp image-aws image-azure &&) true

##   make test        all tests of all three architectures, about eight minutes; last line: N passed, N failed
test: setup
	$Q$(MAKE) --no-print-directory -j$$(nproc) images host
	$Qrm -rf build/figures
	$Q$(PYTEST) test

##   make test-host   readers, drivers and libraries on this machine, under sanitizers; fuzzing for ten seconds each
test-host: setup
	$Q$(MAKE) --no-print-directory -j$$(nproc) host
	$Q$(PYTEST) test/host

##   make test-qemu   [ARCH=..] the whole system in QEMU
test-qemu: setup
	$Q$(MAKE) --no-print-directory -j$$(nproc) images
	$QVMOS_ONLY=$(if $(filter command%,$(origin ARCH)),$(ARCH)) $(PYTEST) test/qemu

##   make fuzz        [SECONDS=60] every fuzz target in turn
SECONDS := 60
fuzz: setup
	$Q$(MAKE) --no-print-directory -j$$(nproc) host
	$QVMOS_FUZZ_SECONDS=$(SECONDS) $(PYTEST) test/host/test_programs.py -k fuzz

##   make lint        the sources as clang-format has them, and what clang-tidy finds in them
# Each source with the flags that it is compiled with: what all architectures share with x64's; programs, those of tests
# too, as they are compiled for user mode; models and tools with the host's and without the analyzer, which knows no
# test's bounds; on the host memory does not run out. A stamp says that a file is clean; it goes with the object, which
# knows the headers.
LINT_SOURCES := $(wildcard $(addsuffix /*.c,lib machine platform platform/$(ARCH) memory authority driver/* kernel \
                  kernel/process kernel/selftest))
LINT_OWN     := $(if $(filter x64,$(ARCH)),$(LINT_SOURCES),$(wildcard platform/$(ARCH)/*.c))
LINT_USER    := $(wildcard $(if $(filter x64,$(ARCH)),lib/user/*.c service/*/*.c test/program/*/*.c test/hostile/*.c \
                  $(foreach h,$(HOSTILE),test/hostile/$h/*.c)) lib/user/$(ARCH)/*.c \
                  test/hostile/$(ARCH)/*.c test/hostile/*/$(ARCH)/*.c)
LINT_HOST    := $(wildcard model/*.c model/*/*.c tools/*/*.c)
TIDY         := clang-tidy-$(LLVM) --quiet

lint: setup lint-format
	$Qdone=0; for a in $(ARCHES); do \
	  $(MAKE) --no-print-directory -k -j$$(nproc) ARCH=$$a lint-tidy || done=1; \
	done; exit $$done
lint-format:
	$Qclang-format --dry-run -Werror $(shell git ls-files '*.c' '*.h')
lint-tidy: $(LINT_OWN:%=$B/lint/%) $(LINT_USER:%=$B/lint/user/%) $(LINT_HOST:%=build/host/lint/%)

$B/lint/%.c: %.c $B/%.c.o .clang-tidy
	@mkdir -p $(@D)
	$(if $(V),,@echo "  TIDY $<")
	$Q$(TIDY) $< -- $(filter-out -MMD -MP,$(CFLAGS)) $(CFLAGS_$<) -Ibuild/rooms/$(call room,$<) \
	  $(if $(filter driver,$(call room,$<)),,-Iplatform/$(ARCH)) 2>/dev/null
	@touch $@
$B/lint/user/%.c: %.c $B/user/%.c.o .clang-tidy
	@mkdir -p $(@D)
	$(if $(V),,@echo "  TIDY $< (user)")
	$Q$(TIDY) $< -- $(filter-out -MMD -MP,$(USER_CFLAGS)) $(CFLAGS_user/$<) -I$(call USER_ROOM,$<) \
	  $(if $(filter lib/user/%,$<),-Ilib/user/$(ARCH)) $(if $(filter test/hostile/%,$<),-I$(dir $(patsubst %/,%,$(dir $<)))) \
	  2>/dev/null
	@touch $@
build/host/lint/%.c: %.c $(HOST_HEADERS) .clang-tidy
	@mkdir -p $(@D)
	$(if $(V),,@echo "  TIDY $<")
	$Q$(TIDY) --checks='-clang-analyzer-*,-misc-no-recursion,-bugprone-suspicious-realloc-usage' $< -- \
	  $(filter-out -fsanitize% -fno-sanitize%,$(HOST_CFLAGS)) 2>/dev/null
	@touch $@

##   make test-long   the full matrix and long fuzzing, hours; figures go to docs/figures.md
test-long: setup
	$Q$(MAKE) --no-print-directory -j$$(nproc) images host
	$Qrm -rf build/figures
	-$Qtest/host/fetch-dtb
	-$Qtest/qemu/fetch-grub
	$Qstatus=0; VMOS_LONG=1 VMOS_FUZZ_SECONDS=600 $(PYTEST) test || status=1; \
	  tools/figures > build/figures.md && cp build/figures.md docs/figures.md && cat docs/figures.md && exit $$status

##   make run         [ARCH=..] boots in QEMU with a network, a disk and entropy; Ctrl-A X leaves
run: setup
	$Q$(MAKE) --no-print-directory ARCH=$(ARCH) all build/run/disk.img
	$(QEMU) $(QEMU_MACHINE) -accel tcg -nodefaults -display none -serial mon:stdio -m 128M -smp 1 \
	  -kernel $B/kernel-$(ARCH).elf -append selftest \
	  -netdev user,id=net0 -device virtio-net-pci,netdev=net0 \
	  -drive if=none,id=disk0,format=raw,cache=unsafe,file=build/run/disk.img -device virtio-blk-pci,drive=disk0 \
	  -object rng-random,id=rng0,filename=/dev/urandom -device virtio-rng-pci,rng=rng0 \
	  $(RUN_ARGS)

build/run/disk.img:
	@mkdir -p $(@D) && truncate -s 64M $@

.PHONY: images list-host lint-format lint-tidy
