/*
 * ring.pml: lib/ring.h between a producer and a consumer that sleep, under weak memory, for spin.
 *
 * The inlines from ring_room on are the header's functions. test/host/test_ring_model.py checks that they do the same
 * steps on shared memory in the same order, and takes from the header how each is ordered: ORDER_function_word, and
 * FENCE_function where there is a fence. Nothing of that is repeated here.
 *
 * Two memories:
 *   TSO (x86)     what a process stores waits in its buffer, first in, first out; a fence waits until it is empty.
 *   WEAK          C11's orders without promises: of each word all values that were ever stored are kept, and a load may
 *                 give any that is not older than what its process has seen. A release store takes along what its
 *                 process has seen, an acquire load adds that; fences add to each other what both have seen.
 *                 Entries are not atomic: an access to one that does not follow on all before it is a race, be the
 *                 value right or not; that stands also for a load that a later store overtakes.
 *
 * Held: no deadlock (each wake-up that is needed comes), every entry once and in order, indices in bounds. A wake-up is
 * sticky and carries no order of its own. Sleep may also end without one (SPURIOUS times).
 * LIAR: the producer stores what it likes in its words; bounds must hold all the same.
 */
#ifndef ENTRIES
#define ENTRIES 4
#endif
#ifndef SPURIOUS
#define SPURIOUS 1
#endif
#define CAPACITY 2
#define BATCH    2
#define MODULO   8 /* of indices, in place of 2^32 */
#define FIRST    6 /* so that they wrap */

#define RELAXED 0
#define ACQUIRE 1
#define RELEASE 2
#define SEQ_CST 3

#ifdef LIAR
#define LIES true
#else
#define LIES false
#endif

#define PRODUCER 0
#define CONSUMER 1

#define head            0
#define tail            1
#define consumer_asleep 2
#define producer_asleep 3
#define WORDS           4

bool woken[2]; /* wake-ups that were sent and not yet taken */
byte spurious[2];

/* ---- Memory ------------------------------------------------------------------------------------------------------ */

#ifdef TSO

#define ENTRY 4
byte memory[ENTRY + CAPACITY];
chan buffer[2] = [4] of { byte, byte };

inline STORE(word, what, order) { buffer[me] ! word, what }
inline LOAD(word, what, order) { what = memory[word] }
inline FENCE(there)
{
    if
    :: there -> empty(buffer[me])
    :: else
    fi
}
inline WRITE(slot, what) { buffer[me] ! ENTRY + slot, what }
inline READ(slot, what) { what = memory[ENTRY + slot] }

proctype drain(byte whose)
{
    byte place, what;
end:
    do
    :: atomic { buffer[whose] ? place, what -> memory[place] = what; place = 0; what = 0 }
    od
}

#else

#define HISTORY 16
#define WRITTEN WORDS                /* of each slot: how often it was written */
#define TAKEN   (WORDS + CAPACITY)   /* and how often read */
#define PLACES  (WORDS + 2 * CAPACITY)

typedef view { byte at[PLACES] };
typedef message { byte what; view along };
typedef values { message number[HISTORY] };

values history[WORDS];
byte last[PLACES]; /* the newest of each */
byte contents[CAPACITY];
view sees[2], fenced, nothing;

inline COPY_VIEW(to, from)
{
    k = 0;
    do
    :: k < PLACES -> to.at[k] = from.at[k]; k++
    :: else -> break
    od;
    k = 0
}
inline JOIN(to, from)
{
    i = 0;
    do
    :: i < PLACES ->
        if
        :: from.at[i] > to.at[i] -> to.at[i] = from.at[i]
        :: else
        fi;
        i++
    :: else -> break
    od;
    i = 0
}
/* A word has one reader: what is older than it has seen nobody can see any more. Numbers begin anew from there. */
#define LESS(value, by) value = (value > by -> value - by : 0)
inline FORGET(word)
{
    j = sees[me].at[word];
    LESS(last[word], j);
    LESS(fenced.at[word], j);
    LESS(sees[PRODUCER].at[word], j);
    LESS(sees[CONSUMER].at[word], j);
    i = 0;
    do
    :: i < HISTORY ->
        LESS(history[head].number[i].along.at[word], j);
        LESS(history[tail].number[i].along.at[word], j);
        i++
    :: else -> break
    od;
    i = 0;
    do
    :: j > 0 && i + j < HISTORY ->
        history[word].number[i].what = history[word].number[i + j].what;
        COPY_VIEW(history[word].number[i].along, history[word].number[i + j].along);
        i++
    :: else -> break
    od;
    do
    :: j > 0 && i < HISTORY ->
        history[word].number[i].what = 0;
        COPY_VIEW(history[word].number[i].along, nothing);
        i++
    :: else -> break
    od;
    i = 0;
    j = 0
}
inline STORE(word, what_, order)
{
    d_step {
        last[word]++;
        assert(last[word] < HISTORY);
        sees[me].at[word] = last[word];
        history[word].number[last[word]].what = what_;
        if
        :: order == RELEASE || order == SEQ_CST -> JOIN(history[word].number[last[word]].along, sees[me])
        :: else
        fi
    }
}
inline LOAD(word, what_, order)
{
    atomic {
        do
        :: sees[me].at[word] < last[word] -> sees[me].at[word] = sees[me].at[word] + 1
        :: break
        od;
        d_step {
            what_ = history[word].number[sees[me].at[word]].what;
            if
            :: order == ACQUIRE || order == SEQ_CST -> JOIN(sees[me], history[word].number[sees[me].at[word]].along)
            :: else
            fi;
            FORGET(word)
        }
    }
}
inline FENCE(there)
{
    d_step {
        if
        :: there -> JOIN(fenced, sees[me]); JOIN(sees[me], fenced)
        :: else
        fi
    }
}
inline WRITE(slot, what_)
{
    d_step {
        assert(sees[me].at[WRITTEN + slot] == last[WRITTEN + slot]);
        assert(sees[me].at[TAKEN + slot] == last[TAKEN + slot]); /* it was read before it is written over */
        last[WRITTEN + slot]++;
        sees[me].at[WRITTEN + slot] = last[WRITTEN + slot];
        contents[slot] = what_
    }
}
inline READ(slot, what_)
{
    d_step {
        assert(sees[me].at[WRITTEN + slot] == last[WRITTEN + slot]);
        last[TAKEN + slot]++;
        sees[me].at[TAKEN + slot] = last[TAKEN + slot];
        what_ = contents[slot]
    }
}

#endif

/* ---- lib/ring.h -------------------------------------------------------------------------------------------------- */

/* A side's struct ring. */
#define RING                                                                                                           \
    byte own = FIRST, other = FIRST, asleep, answered, seen, count, available, i, j, k;                                     \
    bool fault, yes

inline ring_look(most)
{
    if
    :: (seen - other + MODULO) % MODULO > most -> fault = true
    :: else -> other = seen
    fi;
    seen = 0
}

inline ring_room()
{
    LOAD(tail, seen, ORDER_ring_room_tail);
    ring_look((own - other + MODULO) % MODULO);
    available = (fault -> 0 : CAPACITY - (own - other + MODULO) % MODULO)
}

inline ring_push()
{
    available = CAPACITY - (own - other + MODULO) % MODULO;
    if
    :: available < count -> ring_room()
    :: else
    fi;
    count = (count > available -> available : count);
    available = 0;
    if
    :: count > 0 ->
        COPY_IN();
        own = (own + count) % MODULO;
        STORE(head, own, ORDER_ring_push_head)
    :: else
    fi
}

inline ring_available()
{
    LOAD(head, seen, ORDER_ring_available_head);
    ring_look(CAPACITY - (other - own + MODULO) % MODULO);
    available = (fault -> 0 : (other - own + MODULO) % MODULO)
}

inline ring_pop()
{
    available = (other - own + MODULO) % MODULO;
    if
    :: available < count -> ring_available()
    :: else
    fi;
    count = (count > available -> available : count);
    available = 0;
    if
    :: count > 0 ->
        COPY_OUT();
        own = (own + count) % MODULO;
        STORE(tail, own, ORDER_ring_pop_tail)
    :: else
    fi
}

inline ring_declare(word)
{
    asleep = (asleep + 1) | 1;
    STORE(word, asleep, ORDER_ring_declare_asleep);
    FENCE(FENCE_ring_declare)
}

inline ring_withdraw(word)
{
    asleep = (asleep + 1) & 254;
    STORE(word, asleep, ORDER_ring_withdraw_asleep)
}

inline ring_answer(word)
{
    FENCE(FENCE_ring_answer);
    LOAD(word, seen, ORDER_ring_answer_asleep);
    yes = (seen & 1) != 0 && seen != answered;
    answered = seen;
    seen = 0
}

inline ring_consumer_may_sleep()
{
    ring_declare(consumer_asleep);
    ring_available();
    yes = available == 0 && !fault;
    available = 0;
    if
    :: yes
    :: else -> ring_withdraw(consumer_asleep)
    fi
}

inline ring_consumer_woke() { ring_withdraw(consumer_asleep) }
inline ring_must_wake_consumer() { ring_answer(consumer_asleep) }

inline ring_producer_may_sleep()
{
    ring_declare(producer_asleep);
    ring_room();
    yes = available == 0 && !fault;
    available = 0;
    if
    :: yes
    :: else -> ring_withdraw(producer_asleep)
    fi
}

inline ring_producer_woke() { ring_withdraw(producer_asleep) }
inline ring_must_wake_producer() { ring_answer(producer_asleep) }

/* ---- Those who use it -------------------------------------------------------------------------------------------- */

inline COPY_IN()
{
    i = 0;
    do
    :: i < count -> WRITE((own + i) % CAPACITY, sent + i + 1); i++
    :: else -> break
    od;
    i = 0
}

inline COPY_OUT()
{
    i = 0;
    do
    :: i < count ->
        READ((own + i) % CAPACITY, got);
        assert(LIES || got == taken + i + 1);
        got = 0;
        i++
    :: else -> break
    od;
    i = 0
}

inline SLEEP()
{
    if
    :: woken[me] -> woken[me] = false
    :: spurious[me] < SPURIOUS -> spurious[me]++
    fi
}

inline WAKE(whom)
{
    if
    :: yes -> woken[whom] = true; yes = false
    :: else
    fi
}

inline BOUNDS() { assert((own - other + MODULO) % MODULO <= CAPACITY || (other - own + MODULO) % MODULO <= CAPACITY) }

proctype producer()
{
    byte me = PRODUCER, sent;
    RING;

#ifdef LIAR
    byte lies;
    do
    :: lies < LIAR ->
        lies++;
        select(own : 0 .. MODULO - 1);
        if
        :: STORE(head, own, RELEASE)
        :: STORE(consumer_asleep, own, RELAXED)
        :: STORE(producer_asleep, own, RELAXED)
        fi;
        woken[CONSUMER] = true
    :: true -> break
    od;
    woken[CONSUMER] = true
#else
    do
    :: sent < ENTRIES ->
        select(count : 1 .. BATCH);
        count = (count > ENTRIES - sent -> ENTRIES - sent : count);
        ring_push();
        BOUNDS();
        if
        :: count > 0 ->
            sent = sent + count;
            count = 0;
            ring_must_wake_consumer();
            WAKE(CONSUMER)
        :: else ->
            ring_producer_may_sleep();
            if
            :: yes -> SLEEP(); ring_producer_woke(); yes = false
            :: else
            fi
        fi
    :: else -> break
    od;
    assert(!fault)
#endif
}

proctype consumer()
{
    byte me = CONSUMER, taken, got;
    RING;

    do
    :: taken < ENTRIES && !fault ->
        select(count : 1 .. BATCH);
        ring_pop();
        BOUNDS();
        assert(count <= CAPACITY);
        if
        :: count > 0 ->
            taken = taken + count;
            count = 0;
            ring_must_wake_producer();
            WAKE(PRODUCER)
        :: else ->
            ring_consumer_may_sleep();
            if
            :: yes ->
#ifdef LIAR
                break /* its own loss */
#else
                SLEEP(); ring_consumer_woke(); yes = false
#endif
            :: else
            fi
        fi
    :: else -> break
    od;
    assert(LIES || !fault)
}

init
{
    atomic {
#ifdef TSO
        memory[head] = FIRST;
        memory[tail] = FIRST;
        run drain(PRODUCER);
        run drain(CONSUMER);
#else
        history[head].number[0].what = FIRST;
        history[tail].number[0].what = FIRST;
#endif
        run producer();
        run consumer()
    }
}
