# vmos: make [ARCH=x64|arm64|rv64] [all|run|test|...]; `make help` lists the targets.

ARCH    ?= x64
ARCHES  := x64 arm64 rv64
VERSION := 0.1
COMMIT  := $(shell git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)
Q       := $(if $(V),,@)
PYTHON  := /usr/bin/python3
# One version of LLVM for the kernel on Debian 12 and 13: the newest that both have.
LLVM    := 19
CC      := clang-$(LLVM)
LD      := ld.lld-$(LLVM)
HOST_CC := clang

ifeq ($(filter $(ARCH),$(ARCHES)),)
$(error ARCH=$(ARCH) is not known; use one of: $(ARCHES))
endif

B := build/$(ARCH)
.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SECONDARY:

# ---- Rooms: what each folder may include -------------------------------------------------------
# A room is compiled with an include path that holds only what stands here, so that a forbidden
# include does not compile. Arrows point down: kernel -> authority -> memory -> machine, platform -> lib.

VIEW_lib       := lib vmos/abi.h vmos/block.h
VIEW_machine   := $(VIEW_lib) vmos/machine.h vmos/efi_handoff.h machine
VIEW_platform  := $(VIEW_lib) vmos/machine.h vmos/efi_handoff.h platform
VIEW_memory    := $(VIEW_platform) machine memory
VIEW_authority := $(VIEW_memory) vmos/driver.h vmos/nic.h vmos/entropy.h authority
VIEW_kernel    := $(VIEW_authority) vmos/control.h kernel
VIEW_driver    := $(VIEW_lib) vmos/driver.h vmos/nic.h vmos/entropy.h
VIEW_user      := $(VIEW_lib) vmos/system.h vmos/service.h
VIEW_service   := $(VIEW_user) vmos/control.h
ROOMS          := lib machine platform memory authority kernel driver user service

build/rooms/%/.made: Makefile
	@rm -rf $(@D) && mkdir -p $(@D)/vmos
	@$(foreach v,$(VIEW_$*),ln -s $(if $(filter vmos/%,$v),$(CURDIR)/include/$v $(@D)/$v,$(CURDIR)/$v $(@D)/$v);)
	@touch $@

# ---- Target compilation --------------------------------------------------------------------------

include platform/$(ARCH)/arch.mk        # ARCH_CFLAGS, ARCH_LDFLAGS, QEMU, QEMU_ARGS

WARNINGS := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wconversion -Werror
CFLAGS   := -std=c11 -ffreestanding -Oz -g -fpie -fvisibility=hidden -fno-omit-frame-pointer \
            -fno-stack-protector -fno-strict-aliasing -fno-common -fno-asynchronous-unwind-tables \
            -ffunction-sections -fdata-sections -ffile-prefix-map=$(CURDIR)/= -MMD -MP $(WARNINGS) $(ARCH_CFLAGS)

room     = $(if $(filter lib/user/%,$1),user,$(firstword $(subst /, ,$1)))
SOURCES := $(wildcard lib/*.c machine/*.c platform/*.c platform/$(ARCH)/*.c platform/$(ARCH)/*.S memory/*.c \
             authority/*.c driver/*/*.c kernel/*.c kernel/process/*.c kernel/selftest/*.c)
OBJECTS := $(patsubst %,$B/%.o,$(SOURCES))

# Code that runs only until devices and CPUs are known: linked apart, so that vm_release_boot_code() can give its
# pages away. test/host/test_boot_code.py keeps everybody else from calling it.
BOOT_CODE := $(wildcard machine/acpi*.c machine/fdt*.c machine/fw_cfg.c machine/pvh.c machine/efi.c machine/options.c \
               machine/add.c machine/machine.c machine/pci_enumerate.c machine/pci_bars.c machine/pci_check.c \
               machine/pci_assign.c machine/pci_uart.c kernel/discover.c kernel/smp_start.c kernel/late_console.c \
               kernel/manifest.c lib/manifest.c kernel/options.c platform/efi_stub.c)
list-boot-code:
	@printf '%s\n' $(BOOT_CODE)
boot_code = $(if $(filter $<,$(BOOT_CODE)),$Qllvm-objcopy-$(LLVM) --prefix-alloc-sections=.boot $@)

# What runs only at the addresses that the image is linked at may have them as constants (ARCH_LATE); EARLY_CODE of
# arch.mk does not. All but boot code, which must stay apart, and what the compiler itself calls is optimised as a
# whole when it is linked, which saves a tenth.
late  = $(if $(filter $1,$(EARLY_CODE)),,$(ARCH_LATE))
whole = $(if $(filter $1,$(EARLY_CODE) $(BOOT_CODE) lib/string.c),,-flto)

$(OBJECTS): $(ROOMS:%=build/rooms/%/.made) platform/$(ARCH)/arch.mk

$B/%.c.o: %.c
	@mkdir -p $(@D)
	$(if $(V),,@echo "  CC  $<")
	$Q$(CC) $(CFLAGS) $(call late,$<) $(call whole,$<) $(CFLAGS_$<) -Ibuild/rooms/$(call room,$<) \
	  $(if $(filter driver,$(call room,$<)),,-Iplatform/$(ARCH)) -c $< -o $@
	$(boot_code)

$B/%.S.o: %.S
	@mkdir -p $(@D)
	$(if $(V),,@echo "  AS  $<")
	$Q$(CC) $(filter-out -std=c11,$(CFLAGS)) -Ibuild/rooms/platform -Iplatform/$(ARCH) -c $< -o $@

CFLAGS_lib/string.c := -fno-builtin -O2 -fno-unroll-loops
CFLAGS_lib/chacha20.c := -O2 -fno-unroll-loops
# On the way of every call between processes: fast rather than small.
FAST_CODE := $(addprefix kernel/process/,ipc.c scheduler.c trap.c) kernel/trace.c platform/lock.c platform/$(ARCH)/user.c
$(foreach f,$(FAST_CODE),$(eval CFLAGS_$f := -O2))
CFLAGS_kernel/version.c = -DVMOS_VERSION='"$(VERSION)"' -DVMOS_COMMIT='"$(COMMIT)"'
$B/kernel/version.c.o: $B/commit
$B/commit: FORCE
	@mkdir -p $(@D); echo '$(VERSION) $(COMMIT)' | cmp -s - $@ || echo '$(VERSION) $(COMMIT)' > $@

include service/service.mk               # programs, and the initial ramdisk: $B/initrd.img
include test/bench/bench.mk              # what vmos and Linux take for the same
include test/hostile/hostile.mk          # programs that do their worst, and their ramdisk: $B/hostile-initrd.img

# In pages of its own: they are lent to init, and what lies beside them is not.
$B/initrd.o: $B/initrd.img
	$Qprintf '.section .initrd,"a"\n.balign 4096\n.global initrd_embedded\n.global initrd_embedded_end\ninitrd_embedded:\n.incbin "$<"\ninitrd_embedded_end:\n.balign 4096\n' \
	  | $(ASSEMBLE) -o $@

# Data given as assembly; of the architecture's flags only those that an assembler knows.
ASSEMBLE = $(CC) $(filter --target=% -march=% -mabi=%,$(ARCH_CFLAGS)) -x assembler -c -

# Linked twice: the first link gives the addresses for the symbol table that the second carries. The table
# lies behind the code, so that the code does not move. A function that has one caller becomes part of it only if it is
# short, 150 instructions at most: kernel_main would swallow much of the kernel, and no backtrace would name it.
LINK = $(LD) -O2 --icf=all -mllvm -inline-instr-cost=100 -nostdlib -static -z max-page-size=4096 --gc-sections \
       --build-id=none $(ARCH_LDFLAGS) -T platform/$(ARCH)/linker.ld $(OBJECTS) $B/initrd.o

$B/symbols0.o: tools/make-symbols
	@mkdir -p $(@D)
	$Qtools/make-symbols /dev/null | $(ASSEMBLE) -o $@
$B/kernel0.elf: $(OBJECTS) $B/initrd.o $B/symbols0.o platform/$(ARCH)/linker.ld
	$Q$(LINK) $B/symbols0.o -o $@
$B/symbols.o: $B/kernel0.elf tools/make-symbols
	$Qtools/make-symbols $< | $(ASSEMBLE) -o $@
$B/kernel-$(ARCH).elf: $B/symbols.o
	$(if $(V),,@echo "  LD  $@")
	$Q$(LINK) $B/symbols.o -o $@
$B/kernel-$(ARCH).efi: $B/kernel-$(ARCH).elf
	$Qllvm-objcopy-$(LLVM) -O binary $< $@

##   make             [ARCH=x64|arm64|rv64] builds build/ARCH/kernel-ARCH.elf, kernel-ARCH.efi and the initial ramdisk
##   make kernels     builds for all three; make host: the host tests and vmos-inspect
##   make clean       removes build/
.PHONY: all run test test-host test-qemu test-long fuzz setup help clean host kernels lint FORCE
all: $B/kernel-$(ARCH).elf $B/kernel-$(ARCH).efi $B/initrd.img

kernels:
	$Q$(foreach a,$(ARCHES),$(MAKE) --no-print-directory ARCH=$a all &&) true

include test/test.mk
include tools/image.mk

clean:
	rm -rf build

help:
	@sed -n 's/^##//p' Makefile test/test.mk test/bench/bench.mk tools/image.mk

-include $(OBJECTS:.o=.d)
