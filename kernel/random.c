/* random.c: a ChaCha20 generator with fast key erasure: every draw replaces the key first. */
#include "random.h"

#include <authority/device.h>
#include <lib/chacha20.h>
#include <lib/log.h>
#include <lib/string.h>
#include <platform/clock.h>
#include <platform/cpu.h>
#include <platform/lock.h>
#include <vmos/entropy.h>
#include <vmos/machine.h>

enum { KEY_SIZE = 32, BLOCK_SIZE = 64, SEEDED_BYTES = 16 };

static struct lock lock = {.name = "random numbers", .place = LOCK_PLACE_RANDOM};
static uint8_t key[KEY_SIZE];
static size_t entropy_bytes; /* of sources meant for it */

static const uint8_t nonce[12];

/* The key becomes the generator's next output, so what was drawn before cannot be computed from it. */
static void rekey(void)
{
    uint8_t block[BLOCK_SIZE];

    chacha20_block(key, 0, nonce, block);
    memcpy(key, block, KEY_SIZE);
    memset(block, 0, sizeof block);
}

void random_add(const void *entropy, size_t size)
{
    const uint8_t *bytes = entropy;
    uintptr_t saved = lock_take(&lock);

    for (size_t done = 0; done < size;) {
        for (size_t i = 0; i < KEY_SIZE && done < size; i++)
            key[i] ^= bytes[done++];
        rekey();
    }
    lock_release(&lock, saved);
}

void random_bytes(void *to, size_t size)
{
    uint8_t *out = to, working[KEY_SIZE], block[BLOCK_SIZE];
    uintptr_t saved = lock_take(&lock);

    memcpy(working, key, KEY_SIZE);
    rekey();
    lock_release(&lock, saved);
    for (uint32_t counter = 1; size != 0; counter++) {
        size_t part = size < BLOCK_SIZE ? size : BLOCK_SIZE;
        chacha20_block(working, counter, nonce, block);
        memcpy(out, block, part);
        out += part;
        size -= part;
    }
    memset(working, 0, sizeof working);
    memset(block, 0, sizeof block);
}

bool random_is_seeded(void)
{
    return entropy_bytes >= SEEDED_BYTES;
}

void random_init(struct machine *machine)
{
    uint64_t value, time = counter_read();

    random_add(&time, sizeof time);
    random_add(machine->seed, machine->seed_size);
    entropy_bytes += machine->seed_size;
    memset(machine->seed, 0, sizeof machine->seed);
    machine->seed_size = 0;
    for (unsigned i = 0; i < 4 && cpu_random(&value); i++) {
        random_add(&value, sizeof value);
        entropy_bytes += sizeof value;
    }
}

void random_take_entropy(void)
{
    for (struct device *device = device_first(); device != NULL; device = device->next) {
        uint8_t bytes[KEY_SIZE];
        if (device->entropy == NULL)
            continue;
        size_t got = device->entropy->ops->read(device->entropy->driver, bytes, sizeof bytes,
                                                clock_now() + NANOSECONDS_PER_SECOND);
        if (got > sizeof bytes)
            got = 0; /* a driver that claims more than it was given room for has no word to be taken at */
        random_add(bytes, got);
        entropy_bytes += got;
        memset(bytes, 0, sizeof bytes);
        log_info("random", "%zu bytes of entropy from %s", got, device->name);
    }
    uint64_t time = counter_read();
    random_add(&time, sizeof time);
    if (!random_is_seeded())
        log_warn("random", "no source of entropy on this machine; random numbers can be guessed until one is added "
                           "(a virtio-rng device)");
}
