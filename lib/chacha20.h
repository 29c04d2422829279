/*
 * chacha20.h: the ChaCha20 block function [RFC 8439 §2.3].
 */
#ifndef LIB_CHACHA20_H
#define LIB_CHACHA20_H

#include <stdint.h>

enum { CHACHA20_KEY_SIZE = 32, CHACHA20_NONCE_SIZE = 12, CHACHA20_BLOCK_SIZE = 64 };

/* One block of key stream. The 2^32 blocks of a key and nonce differ; a (key, nonce, counter) is used once. */
void chacha20_block(const uint8_t key[CHACHA20_KEY_SIZE], uint32_t counter, const uint8_t nonce[CHACHA20_NONCE_SIZE],
                    uint8_t block[CHACHA20_BLOCK_SIZE]);

#endif
