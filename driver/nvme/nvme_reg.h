/*
 * nvme_reg.h: what an NVMe controller's registers, queue entries and data structures hold.
 *
 * Numbers are those of the NVM Express Base Specification 2.0 ("base"), the NVM Command Set Specification 1.0 ("nvm")
 * and the NVMe over PCIe Transport Specification 1.0 ("pcie"). All of it is little-endian, as are the machines that
 * vmos runs on.
 */
#ifndef NVME_REG_H
#define NVME_REG_H

#include <stddef.h>
#include <stdint.h>

/* Registers: offset, size in bytes [base §3.1.3]. 64-bit ones are accessed in halves, which is allowed. */
enum {
    NVME_CAP = 0x00,         /* 8, §3.1.3.1 */
    NVME_VS = 0x08,          /* 4, §3.1.3.2 */
    NVME_CC = 0x14,          /* 4, §3.1.3.5 */
    NVME_CSTS = 0x1c,        /* 4, §3.1.3.6 */
    NVME_AQA = 0x24,         /* 4, §3.1.3.8 */
    NVME_ASQ = 0x28,         /* 8, §3.1.3.9 */
    NVME_ACQ = 0x30,         /* 8, §3.1.3.10 */
    NVME_DOORBELLS = 0x1000, /* 4 each: tail of submission queue y at 2y strides, head of completion queue at 2y + 1
                                [pcie §3.1.2] */
    NVME_GONE = -1,          /* what registers read that are not there */
};

/* CAP: the lowest bit and the mask of each field [base §3.1.3.1]. */
#define NVME_CAP_MQES(cap)         ((uint32_t)(cap)&0xffffu)         /* entries of an I/O queue, minus 1 */
#define NVME_CAP_TO(cap)           ((uint32_t)((cap) >> 24) & 0xffu) /* in 500 ms */
#define NVME_CAP_DSTRD(cap)        ((uint32_t)((cap) >> 32) & 0xfu)  /* doorbells are 4 << DSTRD bytes apart */
#define NVME_CAP_CSS(cap)          ((uint32_t)((cap) >> 37) & 0xffu) /* command sets; bit 0: NVM */
#define NVME_CAP_MPSMIN(cap)       ((uint32_t)((cap) >> 48) & 0xfu)  /* smallest page is 4096 << MPSMIN */
#define NVME_VERSION(major, minor) ((uint32_t)(major) << 16 | (uint32_t)(minor) << 8) /* [base §3.1.3.2] */

enum { /* CC [base §3.1.3.5] */
       NVME_CC_ENABLE = 1 << 0,
       NVME_CC_SHUTDOWN_NORMAL = 1 << 14,
       NVME_CC_SHUTDOWN_MASK = 3 << 14,
       NVME_CC_ENTRY_SIZES = 6 << 16 | 4 << 20, /* 64 and 16 bytes; the rest 0: NVM command set, pages of 4 KiB */
};

enum { /* CSTS [base §3.1.3.6] */
       NVME_CSTS_READY = 1 << 0,
       NVME_CSTS_FATAL = 1 << 1,
       NVME_CSTS_SHUTDOWN_MASK = 3 << 2,
       NVME_CSTS_SHUTDOWN_DONE = 2 << 2,
};

/* A submission queue entry [base §3.3.3.1]. */
struct nvme_sqe {
    uint8_t opcode, flags;
    uint16_t identifier;
    uint32_t nsid;
    uint32_t cdw2, cdw3;
    uint64_t metadata, prp1, prp2; /* [base §4.1.1] */
    uint32_t cdw10, cdw11, cdw12, cdw13, cdw14, cdw15;
};
_Static_assert(sizeof(struct nvme_sqe) == 64 && offsetof(struct nvme_sqe, prp1) == 24 &&
                   offsetof(struct nvme_sqe, cdw10) == 40,
               "[base §3.3.3.1]");

/* A completion queue entry [base §3.3.3.2]: read by whole words, the last one first. */
struct nvme_cqe {
    uint32_t result, reserved;
    uint32_t where; /* submission queue's head (16), its identifier (16) */
    uint32_t last;  /* command's identifier (16), phase (1), status (15) */
};
_Static_assert(sizeof(struct nvme_cqe) == 16, "[base §3.3.3.2]");

enum { /* the status field without phase [base §3.3.3.2.1]: code (8), type (3), delay (2), more (1), do not retry (1) */
       NVME_STATUS_MASK = 0x7ff,
       NVME_STATUS_DO_NOT_RETRY = 1 << 14,
       NVME_STATUS_OK = 0,
       NVME_STATUS_INVALID_OPCODE = 0x001,
       NVME_STATUS_INVALID_FIELD = 0x002,
       NVME_STATUS_ABORTED = 0x007, /* as asked for */
       NVME_STATUS_WRITE_PROTECTED = 0x020,
       NVME_STATUS_INTERRUPTED = 0x021,
       NVME_STATUS_TRANSPORT = 0x022,
       NVME_STATUS_OUT_OF_RANGE = 0x080,
       NVME_STATUS_NOT_READY = 0x082,
       NVME_STATUS_INVALID_VECTOR = 0x108,
};

enum { /* admin commands [base §5, figure 138] */
       NVME_ADMIN_CREATE_SQ = 0x01,
       NVME_ADMIN_GET_LOG = 0x02,
       NVME_ADMIN_CREATE_CQ = 0x05,
       NVME_ADMIN_IDENTIFY = 0x06,
       NVME_ADMIN_ABORT = 0x08,
       NVME_ADMIN_SET_FEATURES = 0x09,
       NVME_ADMIN_ASYNC_EVENT = 0x0c,
       NVME_ADMIN_DOORBELL_BUFFER = 0x7c,
};

enum { /* commands of the NVM command set [nvm §3.2, base §7.1] */
       NVME_FLUSH = 0x00,
       NVME_WRITE = 0x01,
       NVME_READ = 0x02,
       NVME_WRITE_ZEROES = 0x08,
       NVME_DATASET = 0x09,
       NVME_CDW12_FUA = 1 << 30,       /* of write and write zeroes [nvm §3.2.6] */
       NVME_CDW11_DEALLOCATE = 1 << 2, /* of dataset management [nvm §3.2.3] */
       NVME_QUEUE_CONTIGUOUS = 1 << 0, /* cdw11 of both creations [base §5.4, §5.5] */
       NVME_QUEUE_INTERRUPTS = 1 << 1, /* cdw11 of the completion queue's */
       NVME_IDENTIFY_NAMESPACE = 0x00, /* cdw10 of identify [base §5.17] */
       NVME_IDENTIFY_CONTROLLER = 0x01,
       NVME_IDENTIFY_ACTIVE = 0x02,        /* identifiers of namespaces, ascending, 1024 of them */
       NVME_IDENTIFY_COMMAND_SET = 0x06,   /* of the controller [nvm §4.1.5.4] */
       NVME_FEATURE_QUEUES = 0x07,         /* [base §5.27.1.5] */
       NVME_FEATURE_EVENTS = 0x0b,         /* [base §5.27.1.8] */
       NVME_EVENTS_WANTED = 0x1f | 1 << 8, /* health warnings; namespace attributes */
       NVME_LOG_ERROR = 0x01,              /* [base §5.16.1] */
       NVME_LOG_HEALTH = 0x02,
       NVME_LOG_NAMESPACES = 0x04, /* those that changed */
};

/* One range of dataset management [nvm §3.2.3]. */
struct nvme_range {
    uint32_t attributes, blocks;
    uint64_t first;
};
_Static_assert(sizeof(struct nvme_range) == 16, "[nvm §3.2.3]");

enum {                        /* identify controller: offset, size in bytes [base §5.17.2.1] */
       NVME_ID_SERIAL = 4,    /* 20 */
       NVME_ID_MODEL = 24,    /* 40 */
       NVME_ID_FIRMWARE = 64, /* 8 */
       NVME_ID_MDTS = 77,     /* 1: 4096 << MDTS bytes a transfer; 0: any */
       NVME_ID_RTD3E = 88,    /* 4, microseconds that a shutdown takes */
       NVME_ID_OACS = 256,    /* 2 */
       NVME_ID_AERL = 259,    /* 1, asynchronous event requests, minus 1 */
       NVME_ID_SQES = 512,    /* 1, smallest (4) and largest (4) power of two */
       NVME_ID_CQES = 513,    /* 1 */
       NVME_ID_NN = 516,      /* 4, the highest namespace identifier */
       NVME_ID_ONCS = 520,    /* 2 */
       NVME_ID_VWC = 525,     /* 1 */
       NVME_ID_VENDOR = 3072, /* Amazon EBS has there the name that the volume was attached as, 32 bytes */
       NVME_OACS_DOORBELL_BUFFER = 1 << 8,
       NVME_ONCS_DATASET = 1 << 2,
       NVME_ONCS_WRITE_ZEROES = 1 << 3,
       NVME_VWC_PRESENT = 1 << 0,

       NVME_ID_SET_WZSL = 1,  /* 1, as MDTS, for write zeroes [nvm §4.1.5.4] */
       NVME_ID_SET_DMRSL = 4, /* 4, blocks of one range of dataset management; 0: any */
       NVME_ID_SET_DMSL = 8,  /* 8, blocks of all ranges; 0: any */

       NVME_NS_SIZE = 0,           /* 8, blocks [nvm §4.1.5.1] */
       NVME_NS_FEATURES = 24,      /* 1; bit 4: the preferred sizes below are valid */
       NVME_NS_FORMATS = 25,       /* 1, minus 1 */
       NVME_NS_FORMAT = 26,        /* 1, in use: bits 3:0, and 6:5 above them where there are more than 16 */
       NVME_NS_PROTECTION = 29,    /* 1, bits 2:0: type of protection information; 0: none */
       NVME_NS_NPWG = 64,          /* 2, blocks that writes should be a multiple of, minus 1 */
       NVME_NS_NOWS = 72,          /* 2, blocks of the best writes, minus 1 */
       NVME_NS_ATTRIBUTES = 99,    /* 1; bit 0: write-protected */
       NVME_NS_FORMAT_TABLE = 128, /* 4 each: metadata bytes (16), power of two of the block (8), performance (2) */
};

#endif
