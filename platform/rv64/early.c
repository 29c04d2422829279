/*
 * early.c: fills the boot page tables, before there is translation.
 *
 * Everything here runs where the image was loaded: the addresses of symbols are physical ones, computed from
 * the program counter, and no table of addresses may be used (arch.mk switches jump tables off).
 */
#include "local.h"

#include <platform/boot.h>
#include <platform/mmu.h>

extern pte boot_tables[]; /* linker.ld */

struct boot_info boot_information;

/* Gives the value for satp. */
uint64_t boot_early(uint64_t hart, uint64_t argument, uint64_t counter, enum boot_protocol protocol)
{
    image_map(boot_tables);
    boot_information = (struct boot_info){
        .protocol = protocol,
        .argument = argument,
        .boot_cpu = hart,
        .image_physical = (uintptr_t)image_start,
        .entry_counter = counter,
    };
    return (uint64_t)SATP_SV39 << SATP_MODE_SHIFT | (uintptr_t)boot_tables >> PAGE_SHIFT;
}
