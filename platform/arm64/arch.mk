# Symbols of other files are reached from the program counter, never through a table of addresses: early.c runs
# before the addresses that the image is linked at mean anything.
ARCH_CFLAGS  := --target=aarch64-unknown-none-elf -march=armv8-a -mgeneral-regs-only -mstrict-align \
                --start-no-unused-arguments -fdirect-access-external-data \
                --end-no-unused-arguments
ARCH_LDFLAGS := -m aarch64elf
QEMU         := qemu-system-aarch64
QEMU_MACHINE := -M virt,gic-version=3 -cpu max

# Runs before the addresses in tables are true.
CFLAGS_platform/efi_stub.c := -fno-jump-tables
