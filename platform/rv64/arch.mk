# Not PIC: with medany every address is computed from the program counter, so that early.c runs anywhere, and
# no global offset table is needed.
ARCH_CFLAGS  := --target=riscv64-unknown-none-elf -march=rv64imac -mabi=lp64 -mcmodel=medany -mrelax -fno-pie \
                -Wno-unused-command-line-argument
ARCH_USER_CFLAGS := --target=riscv64-unknown-none-elf -march=rv64gc -mabi=lp64d -mcmodel=medany -mrelax \
                    -Wno-unused-command-line-argument
ARCH_LDFLAGS := -m elf64lriscv
QEMU         := qemu-system-riscv64
QEMU_MACHINE := -M virt,aia=aplic-imsic

# Runs before the addresses in tables are true.
CFLAGS_platform/image.c      := -fno-jump-tables
CFLAGS_platform/rv64/mmu.c   := -fno-jump-tables
CFLAGS_platform/efi_stub.c   := -fno-jump-tables
