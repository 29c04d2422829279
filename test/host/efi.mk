# What the EFI stub leaves, as the kernel reads it; and the stub itself, called by firmware that is played.
EFI_SOURCES := machine/efi.c machine/machine.c machine/add.c lib/text.c test/host/support/physical.c

HOST_TESTS += efi
efi_SOURCES := $(EFI_SOURCES)

FUZZ_TARGETS += efi
fuzz_efi_SOURCES := $(EFI_SOURCES)

HOST_TESTS += efi_stub
efi_stub_CFLAGS  := -Itest/host/support/fake_arch
efi_stub_DEPENDS := platform/efi_stub.c
