# What the other architectures do by themselves when they optimise for size: pieces that functions share are functions.
OUTLINE      := -mllvm -enable-machine-outliner=always
# early.c runs before the addresses that the image is linked at mean anything: no tables of addresses.
ARCH_CFLAGS  := --target=x86_64-unknown-none-elf -march=x86-64 -mno-red-zone -mgeneral-regs-only -fno-jump-tables \
                -fdirect-access-external-data $(OUTLINE)
ARCH_LATE    := -fno-pie -mcmodel=kernel
EARLY_CODE   := platform/image.c platform/efi_stub.c platform/x64/early.c platform/x64/mmu.c platform/x64/cpu.c
ARCH_USER_CFLAGS := --target=x86_64-unknown-none-elf -march=x86-64 -fdirect-access-external-data $(OUTLINE)
ARCH_LDFLAGS := -m elf_x86_64 $(OUTLINE)
QEMU         := qemu-system-x86_64
QEMU_MACHINE := -M q35
