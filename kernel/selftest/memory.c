/* memory.c: frames and the kernel's own address space: patterns, exhaustion, recovery, W^X, guard pages. */
#include <kernel/selftest.h>

#include <lib/bytes.h>
#include <memory/memory.h>
#include <platform/boot.h>

enum { PATTERN_PAGES = 64 };

/* A page filled with its own address must still hold it when its neighbours were filled too. */
static bool patterns_hold(void)
{
    uint64_t frames[PATTERN_PAGES];
    bool good = true;

    for (unsigned i = 0; i < PATTERN_PAGES; i++) {
        frames[i] = frames_allocate(0, 0);
        if (frames[i] == 0)
            return false;
        uint64_t *words = physical_to_virtual(frames[i]);
        for (unsigned j = 0; j < PAGE_SIZE / 8; j++)
            words[j] = frames[i] ^ j * UINT64_C(0x9e3779b97f4a7c15);
    }
    for (unsigned i = 0; i < PATTERN_PAGES; i++) {
        const uint64_t *words = physical_to_virtual(frames[i]);
        for (unsigned j = 0; j < PAGE_SIZE / 8; j++)
            good &= words[j] == (frames[i] ^ j * UINT64_C(0x9e3779b97f4a7c15));
        good &= frames_free(frames[i], 0);
    }
    return good;
}

/* Takes every frame, largest blocks first, chained through the frames themselves; then gives all back. */
static bool exhausts_and_recovers(uint64_t *taken)
{
    struct frame_counts before, empty, after;
    uint64_t chain[FRAME_MAX_ORDER + 1] = {0};
    bool good = true;

    frames_count(&before);
    *taken = 0;
    for (int order = FRAME_MAX_ORDER; order >= 0; order--)
        for (uint64_t frame; (frame = frames_allocate((unsigned)order, 0)) != 0; *taken += UINT64_C(1) << order) {
            *(uint64_t *)physical_to_virtual(frame) = chain[order];
            chain[order] = frame;
        }
    frames_count(&empty);
    good &= empty.free == 0 && *taken == before.free && frames_allocate(0, 0) == 0;
    for (unsigned order = 0; order <= FRAME_MAX_ORDER; order++)
        while (chain[order] != 0) {
            uint64_t frame = chain[order];
            chain[order] = *(uint64_t *)physical_to_virtual(frame);
            good &= frames_free(frame, order);
        }
    frames_count(&after);
    return good && after.free == before.free && frames_check();
}

static bool access_is(const void *address, unsigned expected)
{
    unsigned access = 0;

    return vm_lookup(address, &access) && access == expected;
}

/* Every page of the image has the rights of its section and no other; code that is over has none. */
static const char *wrong_protection(void)
{
    unsigned ignored;

    for (const char *at = text_start; at < boot_code_start; at += PAGE_SIZE)
        if (!access_is(at, MMU_EXECUTE))
            return "code is not read-and-execute only";
    for (const char *at = boot_code_start; at < boot_code_end; at += PAGE_SIZE)
        if (vm_lookup(at, &ignored))
            return "code that was given away is still mapped";
    for (const char *at = boot_code_end; at < rodata_end; at += PAGE_SIZE)
        if (!access_is(at, MMU_READ))
            return "constants are not read-only";
    for (const char *at = data_start; at < bss_end; at += PAGE_SIZE)
        if (vm_is_released(at) ? vm_lookup(at, &ignored) : !access_is(at, MMU_WRITE))
            return "data is not read-and-write without execute";
    if (vm_lookup(boot_stack_guard, &ignored))
        return "the page under the boot stack is mapped";
    return NULL;
}

void selftest_memory(struct selftest_result *result)
{
    const char *wrong = wrong_protection();
    uint64_t taken = 0;
    char size[24];

    if (wrong != NULL)
        selftest_is(result, SELFTEST_FAIL, "%s", wrong);
    else if (!patterns_hold())
        selftest_is(result, SELFTEST_FAIL, "a frame lost the pattern that was written to it");
    else if (!exhausts_and_recovers(&taken))
        selftest_is(result, SELFTEST_FAIL, "memory was not whole after taking %llu frames and giving them back",
                    (unsigned long long)taken);
    else {
        format_size(size, sizeof size, taken * PAGE_SIZE / 1024 * 1024);
        selftest_is(result, SELFTEST_PASS, "took and returned all of %s; W^X and the stack guard hold", size);
    }
}
