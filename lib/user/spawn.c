/* spawn.c: a process from an ELF file: what is made for it, in the order in which it is made. */
#include "user.h"

#include <lib/bytes.h>
#include <lib/elf.h>
#include <lib/string.h>
#include <lib/text.h>
#include <user_arch.h>

enum { PLACES_TRIED = 8, STACK_DEFAULT = 16 << 10 };

/* Memory that we write to before it becomes the child's. */
struct piece {
    handle memory;
    uint64_t size;
    void *here;
};

static void drop(struct piece *piece)
{
    if (piece->here != NULL)
        vmos_memory_unmap(0, (uintptr_t)piece->here, piece->size);
    if (piece->memory != 0)
        vmos_handle_close(piece->memory);
    *piece = (struct piece){0};
}

static enum status make(struct piece *piece, uint64_t size)
{
    uint64_t address;
    enum status status = vmos_memory_create(size, &piece->memory);

    piece->size = size;
    if (status != STATUS_OK)
        return status;
    status = vmos_memory_map(0, piece->memory, 0, 0, size, RIGHT_READ | RIGHT_WRITE, &address);
    if (status == STATUS_OK)
        piece->here = (void *)(uintptr_t)address;
    return status;
}

/* Out of our space and into the child's; from then on its mapping keeps it. */
static enum status hand_over(struct piece *piece, handle process, uint64_t at, uint32_t access, uint64_t *address)
{
    vmos_memory_unmap(0, (uintptr_t)piece->here, piece->size);
    piece->here = NULL;
    return vmos_memory_map(process, piece->memory, at, 0, piece->size, access, address);
}

/* The child's seed, and a place for its image that is not taken yet in the new process, where there is only its message
 * buffer, if that. */
static void draw(struct start_info *info, const struct elf_image *image)
{
    uint64_t places = ((UINT64_C(1) << IMAGE_ADDRESS_BITS) - image->size) / ELF_PAGE;
    struct {
        uint8_t seed[sizeof info->random];
        uint64_t place;
    } chance;

    random_bytes(&chance, sizeof chance);
    memcpy(info->random, chance.seed, sizeof info->random);
    info->image = (16 + chance.place % (places - 16)) * ELF_PAGE; /* above USER_BOTTOM */
    info->image_size = image->size;
    memset(&chance, 0, sizeof chance);
}

/* Whether a segment can be mapped from where the file lies. */
static bool in_place(const struct spawn *spawn, const struct elf_segment *segment)
{
    return segment->plain && spawn->memory != 0 && spawn->offset % ELF_PAGE == 0;
}

/* Memory of its own for a segment, filled. */
static enum status copy(const struct spawn *spawn, const struct elf_segment *segment, struct piece *piece)
{
    enum status status = make(piece, segment->size);

    if (status == STATUS_OK)
        elf_copy(spawn->file, spawn->size, segment, piece->here);
    return status;
}

static enum status map_image(const struct spawn *spawn, const struct elf_image *image, struct piece *pieces,
                             handle process, uint64_t base)
{
    enum status status = STATUS_OK;
    uint64_t address;

    for (uint32_t i = 0; i < image->segment_count && status == STATUS_OK; i++) {
        const struct elf_segment *segment = &image->segments[i];
        uint64_t at = base + segment->address;
        if (in_place(spawn, segment))
            status = vmos_memory_map(process, spawn->memory, at, spawn->offset + segment->from - segment->lead,
                                     segment->size, segment->access, &address);
        else
            status = hand_over(&pieces[i], process, at, segment->access, &address);
    }
    return status;
}

static enum status load(struct spawn *spawn, const struct elf_image *image, handle process, struct start_info *info)
{
    struct piece pieces[ELF_SEGMENTS_MOST] = {0};
    void *copies[ELF_SEGMENTS_MOST];
    enum status status = STATUS_OK;

    spawn->why = "there is no memory for the program";
    for (uint32_t i = 0; i < image->segment_count && status == STATUS_OK; i++) {
        if (!in_place(spawn, &image->segments[i]))
            status = copy(spawn, &image->segments[i], &pieces[i]);
        copies[i] = pieces[i].here;
    }
    if (status == STATUS_OK)
        status = elf_relocate(spawn->file, spawn->size, image, info->image, copies, &spawn->why);
    if (status == STATUS_OK) {
        spawn->why = "the program cannot be mapped";
        status = map_image(spawn, image, pieces, process, info->image);
    }
    for (uint32_t i = 0; i < image->segment_count; i++)
        drop(&pieces[i]);
    return status;
}

/* The kernel leaves a free page on either side of a mapping for which it chooses the place: the stack's guard. */
static enum status give_stack(struct spawn *spawn, handle process, struct start_info *info)
{
    handle memory;

    info->stack_size = align_up(spawn->stack_size != 0 ? spawn->stack_size : STACK_DEFAULT, ELF_PAGE);
    spawn->why = "there is no memory for its stack";
    enum status status = vmos_memory_create(info->stack_size, &memory);
    if (status != STATUS_OK)
        return status;
    status = vmos_memory_map(process, memory, 0, 0, info->stack_size, RIGHT_READ | RIGHT_WRITE, &info->stack);
    vmos_handle_close(memory);
    return status;
}

static enum status give_handles(struct spawn *spawn, handle process, struct start_info *info)
{
    spawn->why = "a handle cannot be given";
    for (unsigned i = 0; i < spawn->handle_count; i++) {
        const struct spawn_handle *given = &spawn->handles[i];
        struct start_handle *to = &info->handles[info->handle_count++];
        text_copy(to->name, given->name, sizeof to->name);
        enum status status =
            vmos_process_give(process, given->value != 0 ? given->value : process, given->rights, &to->value);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

static enum status fill(struct spawn *spawn, const struct elf_image *image, handle process, struct start_info *info)
{
    enum status status;

    info->abi_version = ABI_VERSION;
    info->size = sizeof *info;
    draw(info, image);
    info->arguments_size = (uint32_t)spawn->arguments_size;
    memcpy(info->arguments, spawn->arguments, spawn->arguments_size);
    if ((status = load(spawn, image, process, info)) != STATUS_OK ||
        (status = give_stack(spawn, process, info)) != STATUS_OK)
        return status;
    return give_handles(spawn, process, info);
}

static enum status begin(struct spawn *spawn, const struct elf_image *image, handle process)
{
    struct thread_parameters thread = spawn->thread;
    struct piece piece = {0};
    handle made;

    spawn->why = "there is no memory for what it begins with";
    enum status status = make(&piece, align_up(sizeof(struct start_info), ELF_PAGE));
    if (status == STATUS_OK)
        status = fill(spawn, image, process, piece.here);
    if (status == STATUS_OK) {
        const struct start_info *info = piece.here;
        thread.entry = info->image + image->entry;
        thread.stack = info->stack + info->stack_size;
        spawn->why = "its first thread cannot be started";
        status = hand_over(&piece, process, 0, RIGHT_READ, &thread.argument);
    }
    drop(&piece);
    if (status == STATUS_OK)
        status = vmos_thread_create(process, &thread, &made);
    if (status == STATUS_OK)
        vmos_handle_close(made);
    return status;
}

enum status spawn_process(struct spawn *spawn, handle *process)
{
    struct elf_image image;
    enum status status = elf_read(spawn->file, spawn->size, MACHINE, &image, &spawn->why);

    if (status != STATUS_OK)
        return status;
    spawn->why = "more handles or arguments than a process can begin with";
    if (spawn->handle_count > START_HANDLES || spawn->arguments_size > START_ARGUMENTS_SIZE)
        return STATUS_LIMIT;
    spawn->why = "its process cannot be made";
    status = vmos_process_create(&spawn->process, process);
    if (status != STATUS_OK)
        return status;
    status = begin(spawn, &image, *process);
    if (status == STATUS_OK)
        return STATUS_OK;
    vmos_process_kill(*process, 0);
    vmos_handle_close(*process);
    *process = 0;
    return status;
}
