/*
 * abi.h: the words that both sides of the system-call line share.
 *
 * Everything here is plain data with a fixed layout: it may cross from a process to the kernel
 * and back unchanged.
 */
#ifndef VMOS_ABI_H
#define VMOS_ABI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NANOSECONDS_PER_MICROSECOND UINT64_C(1000)
#define NANOSECONDS_PER_MILLISECOND UINT64_C(1000000)
#define NANOSECONDS_PER_SECOND      UINT64_C(1000000000)

/* A deadline that never comes. */
#define DEADLINE_NEVER UINT64_MAX

/* What came of an operation. Decoded to a phrase only at the edge, by status_text(). */
enum status {
    STATUS_OK = 0,
    STATUS_INVALID,      /* an argument or a table breaks its own rules */
    STATUS_OUT_OF_RANGE, /* a number lies outside what the object has */
    STATUS_NOT_FOUND,    /* there is no such thing */
    STATUS_UNSUPPORTED,  /* well formed, but this device or kernel does not do it */
    STATUS_NO_MEMORY,    /* the caller's memory or the machine's has run out */
    STATUS_LIMIT,        /* a fixed limit was reached */
    STATUS_BUSY,         /* not now: a queue is full, a device is claimed */
    STATUS_TIMED_OUT,    /* the deadline passed first */
    STATUS_READ_ONLY,    /* a write to what can only be read */
    STATUS_IO_ERROR,     /* the device says that the operation failed */
    STATUS_DEVICE_FAULT, /* the device broke its contract and is not to be used until reset */
    STATUS_REVOKED,      /* the authority behind the handle has ended */
    STATUS_DENIED,       /* the handle does not carry this right */
    STATUS_BAD_HANDLE,   /* no such handle: closed, never given, or made up */
    STATUS_WRONG_TYPE,   /* the handle names another type of object */
    STATUS_PEER_GONE,    /* who should have answered has ended, or dropped the call */
    STATUS_BAD_ADDRESS,  /* memory of the caller's that is not mapped so */
    STATUS_COUNT
};

/* A phrase in lower case, "out of range"; never NULL, whatever the value. */
const char *status_text(enum status status);

/*
 * An address as one device sees it, within that device's domain and ownership epoch.
 * Never a physical address to whoever holds it, even where the numbers happen to agree.
 */
typedef uint64_t device_address;

/*
 * A run of somebody's memory, named so that it can be passed on without being touched.
 * `object` is a Memory handle; 0 means the address space of the home that the code runs in, and
 * `offset` is then an address there. The bytes stay the property of whoever made the reference.
 */
struct memory_ref {
    uint64_t object;
    uint64_t offset; /* bytes */
    uint64_t length; /* bytes */
};

/* ---- Handles ------------------------------------------------------------------------------------------------------
 */

/*
 * What a process holds of an object: the index of a slot in its table (low HANDLE_INDEX_BITS bits) and the slot's
 * generation, which is never given twice: a number that was closed, or made up, stays refused. 0 is never a handle.
 */
typedef uint64_t handle;

enum { HANDLE_INDEX_BITS = 16 };

enum object_type {
    OBJECT_NONE,
    OBJECT_PROCESS,
    OBJECT_THREAD,
    OBJECT_MEMORY,
    OBJECT_ENDPOINT,
    OBJECT_NOTIFICATION,
    OBJECT_REPLY,
    OBJECT_CLOCK,
    OBJECT_CONSOLE,
    OBJECT_TYPE_COUNT
};

/* Rights can only shrink: a duplicate, and what is given away, has at most those of the handle that it comes from. */
enum right {
    RIGHT_READ = 1 << 0,      /* Memory: map readable; Clock: read */
    RIGHT_WRITE = 1 << 1,     /* Memory: map writable; Console: write */
    RIGHT_EXECUTE = 1 << 2,   /* Memory: map executable */
    RIGHT_SIGNAL = 1 << 3,    /* Notification: set bits */
    RIGHT_WAIT = 1 << 4,      /* Notification: take bits, set its alarm; Process: be told of its end */
    RIGHT_CALL = 1 << 5,      /* Endpoint: call */
    RIGHT_RECEIVE = 1 << 6,   /* Endpoint: receive */
    RIGHT_MANAGE = 1 << 7,    /* Process, Thread: change, end; any object: revoke it */
    RIGHT_INSPECT = 1 << 8,   /* object_info */
    RIGHT_DUPLICATE = 1 << 9, /* the handle may be duplicated */
    RIGHT_TRANSFER = 1 << 10, /* the handle may go to another process */
    RIGHT_ALL = (1 << 11) - 1
};

/* ---- System calls -------------------------------------------------------------------------------------------------
 */

/*
 * CALL(number, name, number of arguments). docs/abi.md has a section for each: what it does, rights, errors, and what
 * a stale handle means there. Every call gives an enum status and one value (0 where none is named). Deadlines are
 * absolute, in the Clock's nanoseconds; 0 is past and makes a call that would wait give STATUS_TIMED_OUT at once.
 *
 *   abi_version            ()                                                    -> ABI_VERSION
 *   handle_close           (handle)
 *   handle_duplicate       (handle, rights, badge)                               -> handle; badge 0: as it is
 *   handle_revoke          (handle)        every other handle of the object, and what was mapped by them, ends
 *   handle_info            (handle)                                              -> type | rights << 8
 *   object_info            (handle, buffer, size)                                -> bytes written: struct *_info
 *   endpoint_create        ()                                                    -> handle
 *   ipc_call               (endpoint, message, deadline)                         -> message
 *   ipc_reply_receive      (reply or 0, message, endpoint or 0, notification or 0, mask, deadline) -> message
 *   notification_create    ()                                                    -> handle
 *   notification_signal    (notification, bits)
 *   notification_wait      (notification or 0, mask, deadline)                   -> bits taken
 *   notification_alarm     (notification, bits, deadline)    DEADLINE_NEVER: none
 *   memory_create          (size)                                                -> handle
 *   memory_map             (process or 0, memory, address or 0, offset, size, rights) -> address
 *   memory_unmap           (process or 0, address, size)
 *   process_create         (parameters, size of them)                            -> handle
 *   process_give           (process or 0, handle, rights)                        -> its number there
 *   process_kill           (process or 0, code)              0: the caller's own, which does not return
 *   process_watch          (process, notification, bits)     signalled when it has ended; at once if it has
 *   thread_create          (process or 0, parameters, size of them)              -> handle
 *   thread_configure       (thread or 0, parameters, size of them)
 *   thread_exit            ()
 *   thread_yield           ()
 *   clock_read             (clock)                                               -> nanoseconds
 *   console_write          (console, text, size)                                 -> bytes taken
 */
#define SYSTEM_CALLS(CALL)                                                                                             \
    CALL(0, abi_version, 0)                                                                                            \
    CALL(1, handle_close, 1)                                                                                           \
    CALL(2, handle_duplicate, 3)                                                                                       \
    CALL(3, handle_revoke, 1)                                                                                          \
    CALL(4, handle_info, 1)                                                                                            \
    CALL(5, object_info, 3)                                                                                            \
    CALL(6, endpoint_create, 0)                                                                                        \
    CALL(7, ipc_call, 3)                                                                                               \
    CALL(8, ipc_reply_receive, 6)                                                                                      \
    CALL(9, notification_create, 0)                                                                                    \
    CALL(10, notification_signal, 2)                                                                                   \
    CALL(11, notification_wait, 3)                                                                                     \
    CALL(12, notification_alarm, 3)                                                                                    \
    CALL(13, memory_create, 1)                                                                                         \
    CALL(14, memory_map, 6)                                                                                            \
    CALL(15, memory_unmap, 3)                                                                                          \
    CALL(16, process_create, 2)                                                                                        \
    CALL(17, process_give, 3)                                                                                          \
    CALL(18, process_kill, 2)                                                                                          \
    CALL(19, process_watch, 3)                                                                                         \
    CALL(20, thread_create, 3)                                                                                         \
    CALL(21, thread_configure, 3)                                                                                      \
    CALL(22, thread_exit, 0)                                                                                           \
    CALL(23, thread_yield, 0)                                                                                          \
    CALL(24, clock_read, 1)                                                                                            \
    CALL(25, console_write, 3)

#define SYSTEM_CALL_NUMBER(number, name, arguments) SYSTEM_##name = (number),
enum system_call { SYSTEM_CALLS(SYSTEM_CALL_NUMBER) SYSTEM_CALL_COUNT };

enum { ABI_VERSION = 1 };

/* ---- Messages -----------------------------------------------------------------------------------------------------
 */

enum { MESSAGE_WORDS = 8, MESSAGE_HANDLES = 4 };

/*
 * The `message` word of a call: how many bytes (up to 64) of the sender's buffer go along, how many handles (up to 4),
 * and 32 bits that mean what the two agree on. MESSAGE_NOTIFIED comes from ipc_reply_receive only: no message came, but
 * bits of the notification, in message_buffer.bits.
 */
#define MESSAGE_BYTES(message)         ((message)&0x7f)
#define MESSAGE_HANDLE_COUNT(message)  ((message) >> 8 & 0x7)
#define MESSAGE_NOTIFIED               (UINT64_C(1) << 15)
#define MESSAGE_LABEL(message)         ((uint32_t)((message) >> 32))
#define MESSAGE(label, bytes, handles) ((uint64_t)(label) << 32 | (uint64_t)(handles) << 8 | (uint64_t)(bytes))

/*
 * Each thread has one, in a page of its own that the kernel made and that stays as long as the thread. What a message
 * takes along is read from the sender's once, and handed over when the receiver is there: handles leave the sender's
 * table in the same step in which they enter the receiver's, all or none.
 */
struct message_buffer {
    uint64_t words[MESSAGE_WORDS]; /* one cache line */
    handle handles[MESSAGE_HANDLES];
    handle reply;   /* received by a call: its Reply */
    uint64_t badge; /* received by a call: the badge of the handle that was called */
    uint64_t bits;  /* MESSAGE_NOTIFIED: what was taken */
};

/* ---- Processes and threads ----------------------------------------------------------------------------------------
 */

/* What a process may use; what it has used is counted in the same units. A child's limits are taken from its parent's
 * budget when it is created and come back when it has ended. */
enum budget {
    BUDGET_MEMORY,  /* bytes: pages, page tables, and what the kernel keeps for it */
    BUDGET_HANDLES, /* slots in use */
    BUDGET_THREADS,
    BUDGET_OBJECTS, /* endpoints, notifications (each with its alarm), memories, processes */
    BUDGET_CPU,     /* thousandths of a CPU that its threads may be promised together */
    BUDGET_COUNT
};

enum { NAME_SIZE = 24, PRIORITIES = 32 /* 0 is the lowest */ };

struct process_parameters {
    char name[NAME_SIZE]; /* terminated */
    uint64_t limits[BUDGET_COUNT];
    uint64_t cpus;             /* bit n: its threads may run on CPU n; 0: on all that the creator's may */
    uint32_t highest_priority; /* at most the creator's */
    uint32_t reserved;
};

/* A thread is promised `budget_ns` of every `period_ns`; when it has used them it waits for the next period. Both 0: it
 * is promised nothing, runs at priority 0 in what others leave, and is charged to nobody. */
struct thread_parameters {
    uint64_t entry, stack;         /* addresses in the process; `stack` is the initial stack pointer, 16-byte aligned */
    uint64_t argument;             /* first argument of the entry; second: the address of its message_buffer */
    uint64_t budget_ns, period_ns; /* 100 us <= period <= 10 s, 20 us <= budget <= period */
    uint64_t cpus;                 /* 0: all that the process may */
    uint32_t priority;
    uint32_t reserved;
};

enum process_state { PROCESS_NEW, PROCESS_RUNNING, PROCESS_ENDING, PROCESS_ENDED };

enum process_end { /* why */
                   END_NONE,
                   END_EXIT,    /* by itself: process_kill(0, code), or its last thread has ended */
                   END_KILLED,  /* by a holder of its handle, or its parent has ended */
                   END_CRASHED, /* code: the fault's address */
                   END_CONSOLE, /* `kill` at the console */
};

struct process_info {
    char name[NAME_SIZE];
    uint64_t id;
    uint64_t limits[BUDGET_COUNT], used[BUDGET_COUNT];
    uint64_t cpu_ns; /* of all its threads */
    uint64_t end_code;
    uint32_t state; /* enum process_state */
    uint32_t end;   /* enum process_end */
};

struct thread_info {
    uint64_t id, process_id, cpu_ns, budget_ns, period_ns, cpus;
    uint32_t priority, cpu;
};

struct memory_info {
    uint64_t size;     /* bytes */
    uint64_t mappings; /* places that it is mapped at now */
};

/* ---- What a process begins with -----------------------------------------------------------------------------------
 */

enum { START_HANDLES = 16, START_ARGUMENTS_SIZE = 1024 };

/* At the address that its first thread gets as argument, read-only. Whoever creates the process fills it in. */
struct start_info {
    uint64_t abi_version;
    uint64_t size; /* of this */
    uint8_t random[32];
    uint64_t image, image_size; /* where its ELF image was put */
    uint64_t stack, stack_size;
    struct start_handle {
        char name[16]; /* "self", "console", "clock", "init", ... */
        handle value;
    } handles[START_HANDLES];
    uint32_t handle_count, arguments_size;
    char arguments[START_ARGUMENTS_SIZE]; /* words, each terminated; the first is the program's name */
};

#endif
