ARCH_CFLAGS  := --target=x86_64-unknown-none-elf -march=x86-64 -mno-red-zone -mgeneral-regs-only
ARCH_LDFLAGS := -m elf_x86_64
ARCH_ALL     :=
QEMU         := qemu-system-x86_64
QEMU_MACHINE := -M q35
