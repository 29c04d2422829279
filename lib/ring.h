/*
 * ring.h: a queue from one producer to one consumer, over memory that both can write and neither need trust.
 *
 * Each side keeps its own index, and all else it relies on, in memory of its own; the shared copies only tell the
 * other side. What the other side tells is checked before it is believed: an index may only move forward, and not
 * beyond what can be there. One that breaks this is a fault: it sticks, and the ring gives and takes nothing more.
 * Places are masked with the own capacity, so that no index whatsoever leads outside the ring. Entries are copied
 * out before anybody looks at them; their contents are as untrusted as whoever wrote them.
 *
 * Batch first: the other side sees a whole push or pop at once, by one store.
 *
 * Nobody spins, and nobody is woken who is awake. The ring says who must be; how one sleeps and is woken (a
 * Notification, a futex) is the caller's, and a wake-up must stay until it is taken:
 *
 *     consumer                                        producer
 *     while (ring_pop(ring, ...) == 0)                ring_push(ring, ...);
 *         if (ring_consumer_may_sleep(ring)) {        if (ring_must_wake_consumer(ring))
 *             sleep;                                      wake;
 *             ring_consumer_woke(ring);
 *         }
 *
 * and the same the other way round, for room. Who goes to sleep declares it and then looks once more; who has published
 * looks for the declaration; each has a fence in between, so at least one sees the other: no wake-up is lost. A
 * declaration is only a hint: a peer that lies with it causes calls that wake nobody, or sleeps too long itself.
 *
 * model/spin/ring.pml is this file under weak memory: test/host/test_ring_model.py takes the steps from here.
 */
#ifndef LIB_RING_H
#define LIB_RING_H

#include <lib/string.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { RING_LINE = 64, RING_MAX_CAPACITY = 1 << 20 };

/* Starts out as zeroes. Each index on a cache line of its own; the entries follow. */
struct ring_shared {
    _Alignas(RING_LINE) _Atomic uint32_t head;            /* entries ever pushed, modulo 2^32; the producer writes it */
    _Alignas(RING_LINE) _Atomic uint32_t tail;            /* entries ever popped; the consumer writes it */
    _Alignas(RING_LINE) _Atomic uint64_t consumer_asleep; /* odd while it is; each time another number */
    _Alignas(RING_LINE) _Atomic uint64_t producer_asleep;
    _Alignas(RING_LINE) uint8_t entries[];
};

_Static_assert(sizeof(struct ring_shared) == 4 * RING_LINE, "each word on a line of its own");

/* One side's view. Private to it. */
struct ring {
    struct ring_shared *shared;
    uint32_t capacity;   /* entries; a power of two */
    uint32_t entry_size; /* bytes */
    uint32_t own;        /* this side's index */
    uint32_t other;      /* the other side's, as last believed */
    bool fault;          /* the other side broke the rules */
    uint64_t asleep;     /* what this side has declared last */
    uint64_t woken;      /* the other side's declaration that was answered last */
};

/* Bytes of shared memory for a ring; 0 when the numbers are impossible. */
static inline size_t ring_size(uint32_t capacity, uint32_t entry_size)
{
    if (capacity == 0 || capacity > RING_MAX_CAPACITY || (capacity & (capacity - 1)) != 0 || entry_size == 0)
        return 0;
    return sizeof(struct ring_shared) + (size_t)capacity * entry_size;
}

/* Both sides call this, for a ring that nobody has used yet. `shared` is aligned to RING_LINE and holds
 * ring_size() bytes. */
static inline void ring_attach(struct ring *ring, void *shared, uint32_t capacity, uint32_t entry_size)
{
    *ring = (struct ring){.shared = shared, .capacity = capacity, .entry_size = entry_size};
}

/* Believes the other side's index if it lies at most `most` ahead of what was believed before. */
static inline void ring_look(struct ring *ring, uint32_t seen, uint32_t most)
{
    if (seen - ring->other > most)
        ring->fault = true;
    else
        ring->other = seen;
}

/* Copies `count` entries between the ring, from the own index on, and private memory. */
static inline void ring_copy(struct ring *ring, void *to, const void *from, uint32_t count)
{
    uint32_t place = ring->own & (ring->capacity - 1), until_end = ring->capacity - place;
    size_t first = (size_t)(count < until_end ? count : until_end) * ring->entry_size;
    size_t rest = (size_t)count * ring->entry_size - first, offset = (size_t)place * ring->entry_size;

    if (to == NULL) {
        memcpy(ring->shared->entries + offset, from, first);
        memcpy(ring->shared->entries, (const uint8_t *)from + first, rest);
    } else {
        memcpy(to, ring->shared->entries + offset, first);
        memcpy((uint8_t *)to + first, ring->shared->entries, rest);
    }
}

/* The producer's side: how many entries there is room for. */
static inline uint32_t ring_room(struct ring *ring)
{
    ring_look(ring, atomic_load_explicit(&ring->shared->tail, memory_order_acquire), ring->own - ring->other);
    return ring->fault ? 0 : ring->capacity - (ring->own - ring->other);
}

/* Pushes as many of `count` entries as there is room for, in order; returns how many. */
static inline uint32_t ring_push(struct ring *ring, const void *entries, uint32_t count)
{
    if (ring->fault)
        return 0;
    uint32_t room = ring->capacity - (ring->own - ring->other);
    if (room < count)
        room = ring_room(ring);
    if (count > room)
        count = room;
    if (count == 0)
        return 0;
    ring_copy(ring, NULL, entries, count);
    ring->own += count;
    atomic_store_explicit(&ring->shared->head, ring->own, memory_order_release);
    return count;
}

/* The consumer's side: how many entries there are. */
static inline uint32_t ring_available(struct ring *ring)
{
    ring_look(ring, atomic_load_explicit(&ring->shared->head, memory_order_acquire),
              ring->capacity - (ring->other - ring->own));
    return ring->fault ? 0 : ring->other - ring->own;
}

/* Pops up to `count` entries, in order, into memory that is not shared; returns how many. */
static inline uint32_t ring_pop(struct ring *ring, void *entries, uint32_t count)
{
    if (ring->fault)
        return 0;
    uint32_t available = ring->other - ring->own;
    if (available < count)
        available = ring_available(ring);
    if (count > available)
        count = available;
    if (count == 0)
        return 0;
    ring_copy(ring, entries, NULL, count);
    ring->own += count;
    atomic_store_explicit(&ring->shared->tail, ring->own, memory_order_release);
    return count;
}

/* ---- Sleeping and waking ----------------------------------------------------------------------------------------- */

/* From here on whoever publishes sees the declaration, or has published what this side sees when it looks now. */
static inline void ring_declare(struct ring *ring, _Atomic uint64_t *asleep)
{
    ring->asleep = (ring->asleep + 1) | 1;
    atomic_store_explicit(asleep, ring->asleep, memory_order_relaxed);
    atomic_thread_fence(memory_order_seq_cst);
}

static inline void ring_withdraw(struct ring *ring, _Atomic uint64_t *asleep)
{
    ring->asleep = (ring->asleep + 1) & ~UINT64_C(1);
    atomic_store_explicit(asleep, ring->asleep, memory_order_relaxed);
}

/* The counterpart of ring_declare. A declaration is answered once, however much is published until the other side
 * runs. */
static inline bool ring_answer(struct ring *ring, const _Atomic uint64_t *asleep)
{
    atomic_thread_fence(memory_order_seq_cst);
    uint64_t seen = atomic_load_explicit(asleep, memory_order_relaxed);
    bool wake = (seen & 1) != 0 && seen != ring->woken;

    ring->woken = seen;
    return wake;
}

/* The consumer found nothing and wants to sleep. True: it may, until it is woken, and then says so by
 * ring_consumer_woke(). False: there is something by now, or the producer is at fault (`ring->fault`). */
static inline bool ring_consumer_may_sleep(struct ring *ring)
{
    ring_declare(ring, &ring->shared->consumer_asleep);
    if (ring_available(ring) == 0 && !ring->fault)
        return true;
    ring_withdraw(ring, &ring->shared->consumer_asleep);
    return false;
}

static inline void ring_consumer_woke(struct ring *ring)
{
    ring_withdraw(ring, &ring->shared->consumer_asleep);
}

/* The producer has pushed, one batch or several: whether the consumer must be woken. To be carried out, not asked
 * again. */
static inline bool ring_must_wake_consumer(struct ring *ring)
{
    return ring_answer(ring, &ring->shared->consumer_asleep);
}

/* The producer found no room and wants to sleep: as above. */
static inline bool ring_producer_may_sleep(struct ring *ring)
{
    ring_declare(ring, &ring->shared->producer_asleep);
    if (ring_room(ring) == 0 && !ring->fault)
        return true;
    ring_withdraw(ring, &ring->shared->producer_asleep);
    return false;
}

static inline void ring_producer_woke(struct ring *ring)
{
    ring_withdraw(ring, &ring->shared->producer_asleep);
}

/* The consumer has popped. */
static inline bool ring_must_wake_producer(struct ring *ring)
{
    return ring_answer(ring, &ring->shared->producer_asleep);
}

#endif
