/* test_chacha20.c: the block function against the vectors of RFC 8439. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <lib/chacha20.h>
#include <stdio.h>
#include <string.h>

static void from_hex(uint8_t *bytes, const char *hex, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        unsigned byte;
        assert_int_equal(sscanf(hex + 2 * i, "%2x", &byte), 1);
        bytes[i] = (uint8_t)byte;
    }
}

static void vectors(void **state)
{
    static const struct {
        const char *key, *nonce;
        uint32_t counter;
        const char *block;
    } cases[] = {
        /* §2.3.2 */
        {"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f", "000000090000004a00000000", 1,
         "10f1e7e4d13b5915500fdd1fa32071c4c7d1f4c733c068030422aa9ac3d46c4e"
         "d2826446079faa0914c2d705d98b02a2b5129cd1de164eb9cbd083e8a2503c4e"},
        /* §2.4.2, first and second block of its key stream */
        {"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f", "000000000000004a00000000", 1,
         "224f51f3401bd9e12fde276fb8631ded8c131f823d2c06e27e4fcaec9ef3cf78"
         "8a3b0aa372600a92b57974cded2b9334794cba40c63e34cdea212c4cf07d41b7"},
        {"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f", "000000000000004a00000000", 2,
         "69a6749f3f630f4122cafe28ec4dc47e26d4346d70b98c73f3e9c53ac40c5945"
         "398b6eda1a832c89c167eacd901d7e2bf363740373201aa188fbbce83991c4ed"},
        /* appendix A.1, test vectors 1 to 5 */
        {"0000000000000000000000000000000000000000000000000000000000000000", "000000000000000000000000", 0,
         "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7"
         "da41597c5157488d7724e03fb8d84a376a43b8f41518a11cc387b669b2ee6586"},
        {"0000000000000000000000000000000000000000000000000000000000000000", "000000000000000000000000", 1,
         "9f07e7be5551387a98ba977c732d080dcb0f29a048e3656912c6533e32ee7aed"
         "29b721769ce64e43d57133b074d839d531ed1f28510afb45ace10a1f4b794d6f"},
        {"0000000000000000000000000000000000000000000000000000000000000001", "000000000000000000000000", 1,
         "3aeb5224ecf849929b9d828db1ced4dd832025e8018b8160b82284f3c949aa5a"
         "8eca00bbb4a73bdad192b5c42f73f2fd4e273644c8b36125a64addeb006c13a0"},
        {"00ff000000000000000000000000000000000000000000000000000000000000", "000000000000000000000000", 2,
         "72d54dfbf12ec44b362692df94137f328fea8da73990265ec1bbbea1ae9af0ca"
         "13b25aa26cb4a648cb9b9d1be65b2c0924a66c54d545ec1b7374f4872e99f096"},
        {"0000000000000000000000000000000000000000000000000000000000000000", "000000000000000000000002", 0,
         "c2c64d378cd536374ae204b9ef933fcd1a8b2288b3dfa49672ab765b54ee27c7"
         "8a970e0e955c14f3a88e741b97c286f75f8fc299e8148362fa198a39531bed6d"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t key[CHACHA20_KEY_SIZE], nonce[CHACHA20_NONCE_SIZE], expected[CHACHA20_BLOCK_SIZE];
        uint8_t block[CHACHA20_BLOCK_SIZE];
        from_hex(key, cases[i].key, sizeof key);
        from_hex(nonce, cases[i].nonce, sizeof nonce);
        from_hex(expected, cases[i].block, sizeof expected);
        chacha20_block(key, cases[i].counter, nonce, block);
        assert_memory_equal(block, expected, sizeof block);
    }
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(vectors),
};

int main(void)
{
    return cmocka_run_group_tests(tests, NULL, NULL);
}
