/* random.c: random numbers of this process, from the seed that it was given: ChaCha20, and the key moves on with each
 * request, so that what was handed out cannot be computed later. */
#include "user.h"

#include <lib/chacha20.h>
#include <lib/string.h>

static struct user_lock lock;
static uint8_t key[CHACHA20_KEY_SIZE];
static bool seeded;

void random_bytes(void *to, size_t size)
{
    static const uint8_t nonce[CHACHA20_NONCE_SIZE];
    uint8_t working[CHACHA20_KEY_SIZE], block[CHACHA20_BLOCK_SIZE], *out = to;

    user_lock_take(&lock);
    memcpy(working, seeded ? key : start_info->random, sizeof working);
    seeded = true;
    chacha20_block(working, 0, nonce, block);
    memcpy(key, block, sizeof key);
    user_lock_release(&lock);
    for (uint32_t counter = 1; size != 0; counter++) {
        size_t part = size < sizeof block ? size : sizeof block;
        chacha20_block(working, counter, nonce, block);
        memcpy(out, block, part);
        out += part;
        size -= part;
    }
    memset(working, 0, sizeof working);
    memset(block, 0, sizeof block);
}
