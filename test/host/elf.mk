# Tests of programs' files: lib/elf.c beside readelf, on what the linker makes for each machine.
HOST_TESTS += elf
elf_SOURCES := lib/elf.c
elf_DEPENDS := $(ARCHES:%=build/host/elf/%.elf) build/host/elf/plain.elf

ELF_TARGET_x64   := x86_64-unknown-none-elf
ELF_TARGET_arm64 := aarch64-unknown-none-elf
ELF_TARGET_rv64  := riscv64-unknown-none-elf
build/host/elf/%.elf: test/host/support/elf_subject.c test/host/elf.mk
	@mkdir -p $(@D)
	$Q$(CC) --target=$(ELF_TARGET_$*) -std=c11 -ffreestanding -O1 -fpie -fvisibility=hidden -c $< -o $(@:.elf=.o)
	$Q$(LD) -pie -static --no-dynamic-linker -z max-page-size=4096 --build-id=none -e subject_entry $(@:.elf=.o) -o $@
# A program of another kind.
build/host/elf/plain.elf: build/host/elf/x64.elf
	$Q$(LD) -static -e subject_entry build/host/elf/x64.o -o $@

FUZZ_TARGETS     += elf
fuzz_elf_SOURCES := lib/elf.c
