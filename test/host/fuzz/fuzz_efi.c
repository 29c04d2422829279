/*
 * fuzz_efi.c: the input is physical memory from 0x1000 on, with the handoff at its first byte, whose magic number is
 * put right.
 */
#include <machine/readers.h>
#include "host_log.h"
#include "physical.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MEMORY_SIZE = 16384 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct physical *physical = physical_make();
    static struct machine_room room;
    struct machine *machine = malloc(sizeof *machine);
    struct efi_handoff handoff;

    if (machine != NULL && size >= sizeof handoff) {
        uint8_t *bytes = physical_put(physical, 0x1000, data, size < MEMORY_SIZE ? size : MEMORY_SIZE);
        const uint64_t magic = EFI_HANDOFF_MAGIC;
        memcpy(bytes, &magic, sizeof magic);
        machine_init(machine, &room);
        assert(efi_take(&physical->memory, 0x1000, &handoff) == STATUS_OK);
        efi_read(machine, &physical->memory, 0x1000, &handoff);
        assert(memchr(machine->command_line, 0, sizeof machine->command_line) != NULL);
        machine_finish(machine);
        for (uint32_t i = 0; i < machine->memory_count; i++) {
            const struct memory_range *range = &machine->memory[i];
            assert(range->size != 0 && range->base % 4096 == 0 && range->size % 4096 == 0);
            assert(range->kind != MEMORY_USABLE || range->base != 0);
            assert(range->kind != MEMORY_USABLE || range->base > 0x1000 || range->base + range->size <= 0x1000);
            assert(i == 0 || machine->memory[i - 1].base + machine->memory[i - 1].size <= range->base);
        }
    }
    host_log_clear();
    free(machine);
    physical_free(physical);
    return 0;
}
