/*
 * pvh.c: what a PVH boot hands over: start info versions 0 and 1 [Xen, x86/HVM direct boot ABI].
 */
#include <machine/add.h>
#include <machine/readers.h>
#include <lib/bytes.h>
#include <lib/string.h>

#define WHO "pvh"

enum { /* struct hvm_start_info, byte offsets */
       INFO_MAGIC = 0,
       INFO_VERSION = 4,
       INFO_MODULE_COUNT = 12,
       INFO_MODULES = 16,
       INFO_COMMAND_LINE = 24,
       INFO_RSDP = 32,
       INFO_SIZE_0 = 40, /* version 0 ends here */
       INFO_MAP = 40,
       INFO_MAP_COUNT = 48,
       INFO_SIZE_1 = 56,
};
#define INFO_MAGIC_VALUE UINT32_C(0x336ec578)

enum { MODULE_BASE = 0, MODULE_LENGTH = 8, MODULE_SIZE = 32 };
enum { MAP_BASE = 0, MAP_LENGTH = 8, MAP_TYPE = 16, MAP_ENTRY_SIZE = 24, MAP_MAX_ENTRIES = 1024 };
enum { PAGE_BYTES = 4096 };

/* Address range types [ACPI 6.5 §15]; what is new or unknown is not ours to use. */
static enum memory_kind kind_of(uint32_t type)
{
    switch (type) {
    case 1:
        return MEMORY_USABLE;
    case 3:
        return MEMORY_ACPI_RECLAIM;
    case 4:
        return MEMORY_ACPI_NVS;
    case 5:
        return MEMORY_BAD;
    default:
        return MEMORY_RESERVED;
    }
}

static void read_map(struct machine *machine, const struct physical_memory *memory, uint64_t address, uint32_t count)
{
    if (count > MAP_MAX_ENTRIES) {
        machine_warn(machine, WHO, "the memory map has %u entries; the first %u count", count, MAP_MAX_ENTRIES);
        count = MAP_MAX_ENTRIES;
    }
    const uint8_t *map = count != 0 ? memory->map(memory, address, (uint64_t)count * MAP_ENTRY_SIZE) : NULL;
    if (map == NULL) {
        machine_warn(machine, WHO, "the memory map at 0x%llx cannot be read", (unsigned long long)address);
        return;
    }
    for (uint32_t i = 0; i < count; i++, map += MAP_ENTRY_SIZE) {
        uint32_t type = load_le32(map + MAP_TYPE);
        if (type != 0) /* QEMU's microvm ends its map with an entry of zeroes */
            machine_add_memory(machine, load_le64(map + MAP_BASE), load_le64(map + MAP_LENGTH), kind_of(type));
    }
    machine_add_memory(machine, address, (uint64_t)count * MAP_ENTRY_SIZE, MEMORY_TABLES);
}

/* Copies up to the NUL, page by page, since only pages can be known to be there. */
static void read_command_line(struct machine *machine, const struct physical_memory *memory, uint64_t address)
{
    uint32_t length = 0, room = MACHINE_COMMAND_LINE_SIZE - 1;
    bool ended = false;

    while (!ended && length < room) {
        uint32_t piece = PAGE_BYTES - (uint32_t)((address + length) % PAGE_BYTES);
        piece = piece < room - length ? piece : room - length;
        const char *text = memory->map(memory, address + length, piece);
        if (text == NULL) {
            machine_warn(machine, WHO, "the command line at 0x%llx cannot be read to its end",
                         (unsigned long long)address);
            ended = true;
            break;
        }
        for (uint32_t i = 0; i < piece && !ended; i++) {
            ended = text[i] == '\0';
            if (!ended)
                machine->command_line[length++] = text[i] >= ' ' && text[i] <= '~' ? text[i] : ' ';
        }
    }
    machine->command_line[length] = '\0';
    if (!ended) {
        const char *next = memory->map(memory, address + length, 1);
        if (next == NULL || *next != '\0')
            machine_warn(machine, WHO, "the command line is longer than %u bytes; the rest is cut", room);
    }
    machine_add_memory(machine, address, (uint64_t)length + 1, MEMORY_TABLES);
}

static bool inside_usable(const struct machine *machine, uint64_t base, uint64_t size)
{
    for (uint32_t i = 0; i < machine->memory_count; i++) {
        const struct memory_range *range = &machine->memory[i];
        if (range->kind == MEMORY_USABLE && base >= range->base && base - range->base < range->size &&
            size <= range->size - (base - range->base))
            return true;
    }
    return false;
}

/* The first module is the initial ramdisk; nobody sends more. */
static void read_modules(struct machine *machine, const struct physical_memory *memory, uint64_t address,
                         uint32_t count)
{
    const uint8_t *module = memory->map(memory, address, MODULE_SIZE);

    if (module == NULL) {
        machine_warn(machine, WHO, "the module list at 0x%llx cannot be read", (unsigned long long)address);
        return;
    }
    uint64_t base = load_le64(module + MODULE_BASE), size = load_le64(module + MODULE_LENGTH);
    if (!machine_range_valid(base, size) || (machine->memory_count != 0 && !inside_usable(machine, base, size))) {
        machine_warn(machine, WHO, "the initial ramdisk at 0x%llx, 0x%llx bytes, does not lie in memory; it is ignored",
                     (unsigned long long)base, (unsigned long long)size);
        return;
    }
    if (count > 1)
        machine_warn(machine, WHO, "%u modules were loaded; only the first, the initial ramdisk, is used", count);
    machine->initrd = (struct machine_region){.base = base, .size = size};
    machine_add_memory(machine, base, size, MEMORY_INITRD);
    machine_add_memory(machine, address, MODULE_SIZE, MEMORY_TABLES);
}

enum status pvh_read(struct machine *machine, const struct physical_memory *memory, uint64_t start_info, uint64_t *rsdp)
{
    const uint8_t *info = memory->map(memory, start_info, INFO_SIZE_0);

    *rsdp = 0;
    if (info == NULL || load_le32(info + INFO_MAGIC) != INFO_MAGIC_VALUE) {
        machine_malformed(machine, WHO, "there is no start info at 0x%llx", (unsigned long long)start_info);
        return STATUS_INVALID;
    }
    uint32_t size = load_le32(info + INFO_VERSION) >= 1 ? INFO_SIZE_1 : INFO_SIZE_0;
    info = memory->map(memory, start_info, size);
    if (info == NULL) {
        machine_malformed(machine, WHO, "the start info at 0x%llx is cut", (unsigned long long)start_info);
        return STATUS_INVALID;
    }
    uint64_t modules = load_le64(info + INFO_MODULES), command_line = load_le64(info + INFO_COMMAND_LINE);
    uint32_t module_count = load_le32(info + INFO_MODULE_COUNT);

    *rsdp = load_le64(info + INFO_RSDP);
    if (size == INFO_SIZE_1)
        read_map(machine, memory, load_le64(info + INFO_MAP), load_le32(info + INFO_MAP_COUNT));
    else
        machine_warn(machine, WHO, "the start info has version 0, which says nothing about memory");
    if (module_count != 0)
        read_modules(machine, memory, modules, module_count);
    if (command_line != 0)
        read_command_line(machine, memory, command_line);
    machine_add_memory(machine, start_info, size, MEMORY_TABLES);
    machine_add_pc_uart(machine);
    return STATUS_OK;
}
