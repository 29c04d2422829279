# early.c runs before the addresses that the image is linked at mean anything: no tables of addresses.
ARCH_CFLAGS  := --target=x86_64-unknown-none-elf -march=x86-64 -mno-red-zone -mgeneral-regs-only -fno-jump-tables \
                -fdirect-access-external-data
ARCH_LDFLAGS := -m elf_x86_64
QEMU         := qemu-system-x86_64
QEMU_MACHINE := -M q35
