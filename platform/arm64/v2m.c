/*
 * v2m.c: GICv2m frames: a device writes a number, the line of that number fires
 * [Arm Server Base System Architecture 3.0 appendix E] (QEMU: -M virt,gic-version=2).
 */
#include "gic.h"
#include "local.h"

#include <lib/log.h>
#include <platform/mmu.h>

enum {
    V2M_TYPE = 0x008, /* 25:16 first line, 9:0 how many */
    V2M_SET = 0x040,
    V2M_SIZE = 0x1000,
};

struct frame {
    uint64_t base;
    uint32_t id;
    uint16_t first, count; /* count 0: the frame cannot be used */
};

static struct frame frames[MACHINE_MAX_V2M_FRAMES];
static uint32_t frame_count;

/* Firmware may overrule the numbers of the register, but not name lines that are not shared ones. */
static bool read_lines(const struct machine_v2m *found, uint32_t *first, uint32_t *count)
{
    *first = found->first_line;
    *count = found->line_count;
    if (*count == 0) {
        uint32_t type;
        volatile void *registers = gic_map(found->base, V2M_SIZE, "MSI frame");
        if (registers == NULL || !probe_read32((volatile uint8_t *)registers + V2M_TYPE, &type))
            return false;
        *first = type >> 16 & 0x3ff;
        *count = type & 0x3ff;
    }
    if (*count == 0 || *first < GIC_FIRST_SHARED || *first >= gic_line_count || *count > gic_line_count - *first) {
        log_warn("gic", "MSI frame 0x%llx claims %u lines from %u on; it is not used", (unsigned long long)found->base,
                 *count, *first);
        return false;
    }
    return true;
}

void v2m_init(const struct machine *machine)
{
    for (uint32_t i = 0; i < machine->v2m_count && i < MACHINE_MAX_V2M_FRAMES; i++) {
        uint32_t first, count;
        if (machine->v2m[i].base == 0 || !read_lines(&machine->v2m[i], &first, &count))
            continue;
        frames[frame_count++] = (struct frame){
            .base = machine->v2m[i].base,
            .id = machine->v2m[i].id,
            .first = (uint16_t)first,
            .count = (uint16_t)count,
        };
    }
}

bool v2m_present(void)
{
    return frame_count != 0;
}

uint32_t v2m_allocate(uint32_t id, bool any, bool (*taken)(uint32_t line), struct message *message)
{
    for (uint32_t i = 0; i < frame_count; i++) {
        const struct frame *frame = &frames[i];
        if (!any && frame->id != id)
            continue;
        for (uint32_t line = frame->first; line < UINT32_C(0) + frame->first + frame->count; line++)
            if (!taken(line)) {
                *message = (struct message){.address = frame->base + V2M_SET, .data = line};
                return line;
            }
    }
    return MACHINE_NO_LINE;
}

void v2m_message(uint32_t line, struct message *message)
{
    for (uint32_t i = 0; i < frame_count; i++)
        if (line >= frames[i].first && line - frames[i].first < frames[i].count)
            *message = (struct message){.address = frames[i].base + V2M_SET, .data = line};
}

void v2m_report(struct printer *printer)
{
    for (uint32_t i = 0; i < frame_count; i++)
        print(printer, "msi frame: 0x%llx, lines %u to %u\n", (unsigned long long)frames[i].base, frames[i].first,
              frames[i].first + frames[i].count - 1);
}
