/*
 * random.h: the kernel's random generator: ChaCha20 keyed with whatever entropy the machine has.
 *
 * Sources are mixed into the key, never trusted alone: CPU instructions, the bootloader's seed, entropy
 * devices, and the timing of boot.
 */
#ifndef KERNEL_RANDOM_H
#define KERNEL_RANDOM_H

#include <stdbool.h>
#include <stddef.h>

struct machine;

/* Mixes in what is there at once, and wipes machine->seed. */
void random_init(struct machine *machine);
/* Draws from every entropy device. */
void random_take_entropy(void);
void random_add(const void *entropy, size_t size);
/* Never blocks. Before enough entropy was seen the log has said so. */
void random_bytes(void *to, size_t size);
/* At least 128 bits from a source meant for it (CPU, bootloader or device). */
bool random_is_seeded(void);

#endif
