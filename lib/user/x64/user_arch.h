/* user_arch.h: what differs between machines for whoever loads programs. */
#ifndef USER_ARCH_H
#define USER_ARCH_H

#include <lib/elf.h>

/* Images are put below 1 << IMAGE_ADDRESS_BITS, half of the addresses that a process has. */
enum { MACHINE = ELF_MACHINE_X64, IMAGE_ADDRESS_BITS = 46 };

#endif
