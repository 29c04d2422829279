/*
 * machine_local.h: what machine.c and add.c share: the arrays of `struct machine` that may be full.
 */
#ifndef MACHINE_LOCAL_H
#define MACHINE_LOCAL_H

#include <machine/add.h>

#define PAGE UINT64_C(4096)

enum list { /* bits of machine.full */
            LIST_CPUS,
            LIST_MEMORY,
            LIST_MEMORY_NODES,
            LIST_IO_APICS,
            LIST_OVERRIDES,
            LIST_NMIS,
            LIST_REDISTRIBUTORS,
            LIST_V2M,
            LIST_ITS,
            LIST_PLICS,
            LIST_APLICS,
            LIST_CONTEXTS,
            LIST_UARTS,
            LIST_HOST_BRIDGES,
            LIST_WINDOWS,
            LIST_INTX_ROUTES,
            LIST_MSI_MAPS,
            LIST_IOMMU_MAPS,
            LIST_VIRTIO_SLOTS,
            LIST_IOMMUS,
            LIST_IOMMU_SCOPES,
            LIST_RESERVED_REGIONS,
            LIST_COUNT
};

_Static_assert(LIST_COUNT <= 32, "machine.full has a bit for each list");

/* Says that an array is full, the first time. */
void machine_say_full(struct machine *machine, enum list list, size_t limit);

/* The next entry of an array, zeroed and counted; NULL when it is full. */
void *machine_append(struct machine *machine, enum list list, void *array, size_t element, size_t limit,
                     uint32_t *count);

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))
#define APPEND(machine, list, array, count)                                                                            \
    machine_append(machine, list, array, sizeof((array)[0]), COUNT_OF(array), &(count))

/* The same for an array that has its room in struct machine_room. */
#define ROOM_FOR(array) COUNT_OF(((struct machine_room *)0)->array)
#define APPEND_ROOM(machine, list, array, count)                                                                       \
    machine_append(machine, list, (machine)->array, sizeof((machine)->array[0]), ROOM_FOR(array), &(machine)->count)

/* Configuration space of a range of buses: 32 devices, 8 functions, 4 KiB [PCIe 6.0 §7.2.2]. */
static inline uint64_t ecam_size(unsigned first_bus, unsigned last_bus)
{
    return (uint64_t)(last_bus - first_bus + 1) << 20;
}

#endif
