/*
 * fuzz_pvh.c: the input is physical memory from 0x1000 on, with the start info at its first byte; what remains
 * behind 16 KiB is a command line for options_read_machine.
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
    uint64_t rsdp;

    if (machine != NULL) {
        physical_put(physical, 0x1000, data, size < MEMORY_SIZE ? size : MEMORY_SIZE);
        machine_init(machine, &room);
        pvh_read(machine, &physical->memory, 0x1000, &rsdp);
        assert(memchr(machine->command_line, 0, sizeof machine->command_line) != NULL);
        options_read_machine(machine, machine->command_line);
        machine_finish(machine);
        for (uint32_t i = 0; i < machine->memory_count; i++) {
            const struct memory_range *range = &machine->memory[i];
            assert(range->size != 0 && range->base % 4096 == 0 && range->size % 4096 == 0);
            assert(range->kind != MEMORY_USABLE || range->base != 0);
            assert(i == 0 || machine->memory[i - 1].base + machine->memory[i - 1].size <= range->base);
        }
    }
    host_log_clear();
    free(machine);
    physical_free(physical);
    return 0;
}
