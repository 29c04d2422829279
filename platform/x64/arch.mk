# early.c runs before the addresses that the image is linked at mean anything: no tables of addresses.
ARCH_CFLAGS  := --target=x86_64-unknown-none-elf -march=x86-64 -mno-red-zone -mgeneral-regs-only -fno-jump-tables \
                -fdirect-access-external-data
ARCH_LATE    := -fno-pie -mcmodel=kernel
EARLY_CODE   := platform/image.c platform/efi_stub.c platform/x64/early.c platform/x64/mmu.c platform/x64/cpu.c
ARCH_LDFLAGS := -m elf_x86_64
QEMU         := qemu-system-x86_64
QEMU_MACHINE := -M q35
