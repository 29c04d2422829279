/*
 * fuzz_disk.h: requests to a disk for fuzz targets: each comes back exactly once with a status that means something,
 * and its memory is exactly as large as it says.
 */
#ifndef FUZZ_DISK_H
#define FUZZ_DISK_H

#include <vmos/block.h>
#include "fuzz_input.h"

enum { FUZZ_JOBS = 64, FUZZ_SEGMENTS = 24 };

struct fuzz_job {
    struct block_request request; /* first: done gets it back */
    struct memory_ref segments[FUZZ_SEGMENTS];
    uint8_t *memory; /* from malloc; freed when the request is done */
    bool out;
};

/* One that is not in flight, blank but for request.done and request.segments; NULL when all are. */
struct fuzz_job *fuzz_job_take(void);

/* Submits the jobs taken since the last time; gives back and counts those that the disk did not take. */
unsigned fuzz_jobs_submit(struct block_device *block);

unsigned fuzz_jobs_out(void);

void fuzz_disk_check(const struct block_info *info);

#endif
