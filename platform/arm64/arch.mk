# Every address is computed from the program counter, never read from a table: early.c runs before the addresses that
# the image is linked at mean anything. One instruction does it (tiny), since the image is smaller than 1 MiB.
ARCH_CFLAGS  := --target=aarch64-unknown-none-elf -march=armv8-a -mgeneral-regs-only -mstrict-align -mcmodel=tiny -fno-pie \
                --start-no-unused-arguments -fdirect-access-external-data \
                --end-no-unused-arguments
ARCH_USER_CFLAGS := --target=aarch64-unknown-none-elf -march=armv8-a -mcmodel=tiny \
                    --start-no-unused-arguments -fdirect-access-external-data --end-no-unused-arguments
ARCH_LDFLAGS := -m aarch64elf
QEMU         := qemu-system-aarch64
QEMU_MACHINE := -M virt,gic-version=3 -cpu max

# Runs before the addresses in tables are true.
CFLAGS_platform/efi_stub.c := -fno-jump-tables
