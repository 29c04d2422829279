/*
 * options.c: what the command line says about the machine.
 *
 * QEMU's microvm announces its virtio-mmio slots this way when it has neither ACPI nor a device tree
 * (-M microvm,acpi=off): virtio_mmio.device=512@0xfeb00e00:12
 */
#include <machine/add.h>
#include <machine/readers.h>
#include <lib/string.h>
#include <lib/text.h>

#define WHO      "options"
#define SLOT_KEY "virtio_mmio.device="

enum { SLOT_MINIMUM_SIZE = 0x100, SLOT_MAXIMUM_SIZE = 0x10000 };

/* SIZE@BASE:IRQ[:ID]; the ID only numbers the device for Linux. */
static bool parse_slot(const char *text, const char *end, uint64_t *size, uint64_t *base, uint64_t *line)
{
    uint64_t id;

    if (!text_to_number(text, &text, size) || *text++ != '@' || !text_to_number(text, &text, base) || *text++ != ':' ||
        !text_to_number(text, &text, line))
        return false;
    if (*text == ':' && !text_to_number(text + 1, &text, &id))
        return false;
    return text == end && *size >= SLOT_MINIMUM_SIZE && *size <= SLOT_MAXIMUM_SIZE && *line < MACHINE_NO_LINE;
}

void options_read_machine(struct machine *machine, const char *command_line)
{
    size_t length;

    for (const char *word = text_word(command_line, &length); word != NULL; word = text_word(word + length, &length)) {
        uint64_t size, base, line;
        if (length < sizeof SLOT_KEY - 1 || strncmp(word, SLOT_KEY, sizeof SLOT_KEY - 1) != 0)
            continue;
        if (parse_slot(word + sizeof SLOT_KEY - 1, word + length, &size, &base, &line))
            machine_add_virtio_slot(
                machine, base, (uint32_t)size,
                (struct machine_line){.line = (uint32_t)line, .trigger = TRIGGER_LEVEL, .polarity = POLARITY_HIGH});
        else
            machine_warn(machine, WHO, "'%.*s' is not SIZE@BASE:IRQ; it is ignored", (int)(length < 80 ? length : 80),
                         word);
    }
}
