/*
 * early.c: fills the boot page tables, before there is translation.
 *
 * Everything here runs where the image was loaded: the addresses of symbols are physical ones, computed from the
 * program counter. All memory is device memory as long as the MMU is off; nothing may be accessed unaligned.
 */
#include "local.h"

#include <lib/bytes.h>
#include <platform/mmu.h>

extern pte boot_tables[]; /* linker.ld */

struct boot_info boot_information;
struct boot_translation boot_translation;

enum { TABLE_ENTRIES = 512, FDT_HEADER_SIZE = 40, FDT_LARGEST = 2 << 20 };

enum { MMFR0_ASID = 4, MMFR0_ASID_16 = 2, MMFR2_E0PD = 60 }; /* [Arm ARM §D17.2] */

#define FDT_MAGIC      UINT32_C(0xd00dfeed)
#define MPIDR_AFFINITY UINT64_C(0xff00ffffff)

/* Where QEMU leaves the device tree for an ELF, which it boots without telling [QEMU docs/system/arm/virt]. */
#define QEMU_MEMORY_START UINT64_C(0x40000000)

static size_t index_of(uint64_t address, unsigned level)
{
    return address >> (PAGE_SHIFT + 9 * level) & (TABLE_ENTRIES - 1);
}

/* One page, for a few instructions. Its four tables lie in the guard page and in the lower part of the boot stack,
 * which nobody has reached yet; once boot.S has left the page they are nothing again. */
static pte *map_switch(void)
{
    uint64_t page = align_down((uintptr_t)boot_switch, PAGE_SIZE);
    pte *tables = (pte *)(void *)boot_stack_guard;

    tables[index_of(page, 3)] = mmu_table((uintptr_t)(tables + TABLE_ENTRIES));
    tables[TABLE_ENTRIES + index_of(page, 2)] = mmu_table((uintptr_t)(tables + 2 * TABLE_ENTRIES));
    tables[2 * TABLE_ENTRIES + index_of(page, 1)] = mmu_table((uintptr_t)(tables + 3 * TABLE_ENTRIES));
    tables[3 * TABLE_ENTRIES + index_of(page, 0)] = mmu_leaf(page, 0, MMU_READ | MMU_EXECUTE);
    return tables;
}

static uint64_t find_tree(void)
{
    const void *header = (const void *)QEMU_MEMORY_START;
    uint32_t magic = __builtin_bswap32(register_read32(header, 0));
    uint32_t size = __builtin_bswap32(register_read32(header, 4));

    return magic == FDT_MAGIC && size >= FDT_HEADER_SIZE && size <= FDT_LARGEST ? QEMU_MEMORY_START : 0;
}

static uint64_t translation_control(void)
{
    uint64_t physical_bits = system_field(system_read(id_aa64mmfr0_el1), 0);

    uint64_t long_asids = system_field(system_read(id_aa64mmfr0_el1), MMFR0_ASID) == MMFR0_ASID_16,
             upper_kernel = system_field(system_read(id_aa64mmfr2_el1), MMFR2_E0PD) != 0;

    if (physical_bits > TCR_IPS_48_BITS)
        physical_bits = TCR_IPS_48_BITS;
    return TCR_SIZES | TCR_LOWER_WALKS | TCR_UPPER_WALKS | TCR_UPPER_4KIB | physical_bits << TCR_IPS_SHIFT |
           long_asids << TCR_ASID_16_SHIFT | upper_kernel << TCR_UPPER_KERNEL_SHIFT;
}

void boot_early(uint64_t argument, uint64_t counter, uint64_t level, enum boot_protocol protocol)
{
    image_map(boot_tables);
    boot_translation = (struct boot_translation){
        .kernel_root = (uintptr_t)boot_tables,
        .identity_root = (uintptr_t)map_switch(),
        .control = translation_control(),
    };
    boot_information = (struct boot_info){
        .protocol = protocol,
        .argument = argument != 0 ? argument : find_tree(),
        .boot_cpu = system_read(mpidr_el1) & MPIDR_AFFINITY,
        .image_physical = (uintptr_t)image_start,
        .entry_counter = counter,
        .entry_level = (uint8_t)level,
    };
}
