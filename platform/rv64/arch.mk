ARCH_CFLAGS  := --target=riscv64-unknown-none-elf -march=rv64imac -mabi=lp64 -mcmodel=medany -mno-relax
ARCH_LDFLAGS := -m elf64lriscv
ARCH_ALL      = $B/kernel-$(ARCH).efi
QEMU         := qemu-system-riscv64
QEMU_MACHINE := -M virt,aia=aplic-imsic
