/*
 * msi.c: message interrupts: each vector's mask and the function's take and are undone; on an entropy device, which
 * answers whenever it is asked, a masked vector is held back as pending and comes once it is let go.
 */
#include <kernel/selftest.h>

#include <authority/device.h>
#include <platform/clock.h>
#include <platform/cpu.h>
#include <vmos/entropy.h>

#define MOMENT_NS (20 * NANOSECONDS_PER_MILLISECOND)

static uint64_t arrived(const struct device *device)
{
    uint64_t count = 0;

    for (unsigned i = 0; i < device->interrupt_count; i++)
        count += __atomic_load_n(&device->interrupts[i].count, __ATOMIC_RELAXED);
    return count;
}

static bool by_message(const struct device *device, unsigned index)
{
    return device->interrupts[index].open && device->interrupts[index].delivery == INTERRUPT_MESSAGE;
}

static bool mask_each(struct device *device, bool masked)
{
    bool good = true;

    for (unsigned i = 0; i < device->interrupt_count; i++) {
        if (!by_message(device, i))
            continue;
        msix_vector_mask(&device->msix, i, masked);
        good &= msix_vector_masked(&device->msix, i) == masked;
    }
    return good;
}

static bool mask_function(struct device *device, bool masked)
{
    return msix_mask_all(&device->msix, masked);
}

static bool any_pending(const struct device *device)
{
    bool pending = false;

    for (unsigned i = 0; i < device->interrupt_count; i++)
        pending |= by_message(device, i) && msix_vector_pending(&device->msix, i);
    return pending;
}

/* Asks once; whether it answered does not matter, for a driver that hears nothing cannot know. */
static void ask(struct device *device)
{
    uint8_t bytes[16];

    device->entropy->ops->read(device->entropy->driver, bytes, sizeof bytes, clock_now() + MOMENT_NS);
}

/* NULL when the mask holds a message back and letting go delivers it. An answer that the driver finds before it goes
 * to sleep brings no message at all: it is asked until one is due. */
static const char *held_back(struct device *device, bool (*mask)(struct device *device, bool masked))
{
    enum { MOST = 1000 };
    uint64_t before = arrived(device);
    bool taken = mask(device, true), pending = false;

    for (unsigned i = 0; i < MOST && taken && !pending; i++) {
        ask(device);
        pending = any_pending(device);
    }
    bool came = arrived(device) != before, undone = mask(device, false);
    for (uint64_t deadline = clock_now() + NANOSECONDS_PER_SECOND;
         pending && arrived(device) == before && clock_now() < deadline;)
        cpu_relax();
    return !taken                      ? "a mask does not take"
           : !undone                   ? "a mask is not undone"
           : came                      ? "a message came through a mask"
           : !pending                  ? "a message that a mask holds back does not show as pending"
           : arrived(device) == before ? "a message that was held back never came"
                                       : NULL;
}

/* A device that never needs to send a message shows nothing. */
static const char *wrong_delivery(struct device *device, unsigned *asked)
{
    enum { MOST = 100 };
    uint64_t before = arrived(device);
    unsigned asks = 0;

    while (asks < MOST && arrived(device) == before) {
        ask(device);
        asks++;
    }
    if (arrived(device) == before)
        return NULL;
    if (arrived(device) - before > asks + 1) /* one may have been due already */
        return "more messages came than it was asked for";
    *asked += 1;
    const char *wrong = held_back(device, mask_each);
    return wrong == NULL && device->msix.kind == MSIX_TABLE ? held_back(device, mask_function) : wrong;
}

static const char *wrong_masks(struct device *device)
{
    bool whole = device->msix.kind == MSIX_TABLE;

    if (whole && !mask_function(device, true))
        return "the function's mask does not take";
    bool good = mask_each(device, true);
    if (whole && !mask_function(device, false))
        return "the function's mask is not undone";
    return mask_each(device, false) && good ? NULL : "a vector's mask does not take";
}

void selftest_msi(struct selftest_result *result)
{
    unsigned vectors = 0, devices = 0, asked = 0;

    for (struct device *device = device_first(); device != NULL; device = device->next) {
        unsigned open = 0;
        for (unsigned i = 0; device->running && i < device->interrupt_count; i++)
            open += by_message(device, i);
        if (open == 0)
            continue;
        const char *wrong = wrong_masks(device);
        if (wrong == NULL && device->entropy != NULL)
            wrong = wrong_delivery(device, &asked);
        if (wrong != NULL) {
            selftest_is(result, SELFTEST_FAIL, "%s: %s", device->name, wrong);
            return;
        }
        vectors += open;
        devices++;
    }
    if (devices == 0)
        selftest_is(result, SELFTEST_SKIP, "no device is heard by message on this machine");
    else
        selftest_is(result, SELFTEST_PASS, "%u vectors of %u devices mask and unmask; held back and let go on %u",
                    vectors, devices, asked);
}
