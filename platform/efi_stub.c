/*
 * efi_stub.c: vmos as an EFI application [UEFI Specification 2.10], from the firmware's call to the end of its
 * services.
 *
 * It reads \vmos\vmos.conf and \vmos\initrd.img from the volume that it was loaded from, notes what the firmware knows
 * (memory map, ACPI, device tree, random bytes, load options), leaves boot services and hands a struct efi_handoff to
 * the kernel, which looks into all that (machine/efi.c). A file that is missing or cannot be read is a sentence on the
 * EFI console and in the log, and the boot goes on without it. Where the boot cannot go on, a sentence and the error go
 * back to the firmware, which then tries the next boot option.
 *
 * It runs wherever the firmware has loaded it: no table of addresses may be used (arch.mk switches jump tables off),
 * nor any static variable, since the image's .bss is cleared later.
 *
 * QEMU: as \EFI\BOOT\BOOTX64.EFI on a FAT volume, with `-bios /usr/share/ovmf/OVMF.fd`.
 */
#include <lib/bytes.h>
#include <lib/string.h>
#include <platform/clock.h>
#include <platform/efi.h>
#include <platform/mmu.h>
#include <vmos/efi_handoff.h>

enum {
    INITRD_LARGEST = 512 << 20,
    READ_AT_ONCE = 1 << 20, /* some firmware fails at more */
    TABLES_MOST = 1024,     /* configuration tables that are looked at */
    MAP_SLACK = 16,         /* descriptors that may be added between asking for the size and for the map */
    EXIT_TRIES = 8,         /* each may find that the map has just changed */
    PATH_LONGEST = 32,
    TEXT_AT_ONCE = 64,
};

static const struct efi_guid guid_loaded_image = {
    0x5b1b31a1, 0x9562, 0x11d2, {0x8e, 0x3f, 0x00, 0xa0, 0xc9, 0x69, 0x72, 0x3b}};
static const struct efi_guid guid_file_system = {
    0x964e5b22, 0x6459, 0x11d2, {0x8e, 0x39, 0x00, 0xa0, 0xc9, 0x69, 0x72, 0x3b}};
static const struct efi_guid guid_file_info = {
    0x09576e92, 0x6d3f, 0x11d2, {0x8e, 0x39, 0x00, 0xa0, 0xc9, 0x69, 0x72, 0x3b}};
static const struct efi_guid guid_acpi_2 = {
    0x8868e871, 0xe4f1, 0x11d3, {0xbc, 0x22, 0x00, 0x80, 0xc7, 0x3c, 0x88, 0x81}};
static const struct efi_guid guid_acpi_1 = {
    0xeb9d2d30, 0x2d88, 0x11d3, {0x9a, 0x16, 0x00, 0x90, 0x27, 0x3f, 0xc1, 0x4d}};
static const struct efi_guid guid_device_tree = {
    0xb1b621d5, 0xf19c, 0x41a5, {0x83, 0x0b, 0xd9, 0x15, 0x2c, 0x69, 0xaa, 0xe0}};
static const struct efi_guid guid_random = {
    0x3152bca5, 0xeade, 0x433d, {0x86, 0x2e, 0xc0, 0x1c, 0xdc, 0x29, 0x1f, 0x44}};
static const struct efi_guid guid_riscv_boot = {
    0xccd15fec, 0x6f73, 0x4eec, {0x83, 0x95, 0x3e, 0x69, 0xe4, 0xb9, 0x40, 0xbf}};

struct stub {
    efi_handle image;
    struct efi_system_table *system;
    struct efi_boot_services *boot;
    struct efi_handoff *handoff; /* NULL until there is memory for it */
    uint64_t calls, ticks;       /* of the firmware */
    uint64_t map_capacity;
};

/* Every call of the firmware goes through here, so that its cost can be told from ours. */
#define CALL(stub, call)                                                                                               \
    __extension__({                                                                                                    \
        uint64_t call_began = counter_read();                                                                          \
        efi_status call_status = (call);                                                                               \
        (stub)->ticks += counter_read() - call_began;                                                                  \
        (stub)->calls++;                                                                                               \
        call_status;                                                                                                   \
    })

/* ---- Sentences ------------------------------------------------------------------------------------------ */

/* Puts text on the EFI console and aside for the log. A line feed ends a line. */
static void say(struct stub *stub, const char *text)
{
    struct efi_text_output *console = stub->system->console_out;
    struct efi_handoff *handoff = stub->handoff;
    uint16_t wide[TEXT_AT_ONCE + 3];

    while (*text != '\0') {
        unsigned count = 0;
        for (; *text != '\0' && count < TEXT_AT_ONCE; text++) {
            if (handoff != NULL && handoff->said_size < sizeof handoff->said)
                handoff->said[handoff->said_size++] = *text;
            if (*text == '\n')
                wide[count++] = '\r';
            wide[count++] = (uint8_t)*text;
        }
        wide[count] = 0;
        if (console != NULL) /* a machine may have none */
            CALL(stub, console->output_string(console, wide));
    }
}

static void say_status(struct stub *stub, efi_status status)
{
    uint32_t number = (uint32_t)status;
    char digits[12];
    unsigned first = sizeof digits - 1;

    if ((status & EFI_ERROR) == 0)
        return;
    digits[first] = '\0';
    do
        digits[--first] = (char)('0' + number % 10);
    while ((number /= 10) != 0);
    say(stub, " (EFI error ");
    say(stub, digits + first);
    say(stub, ")");
}

/* Why the boot ends here; gives the firmware's answer. */
static efi_status fail(struct stub *stub, const char *why, efi_status status)
{
    say(stub, "vmos: ");
    say(stub, why);
    say_status(stub, status);
    say(stub, "; this boot ends here\n");
    return (status & EFI_ERROR) != 0 ? status : EFI_LOAD_ERROR;
}

/* ---- Memory --------------------------------------------------------------------------------------------- */

static uint64_t pages_of(uint64_t size)
{
    return (size + PAGE_SIZE - 1) >> PAGE_SHIFT;
}

static efi_status allocate(struct stub *stub, uint64_t size, struct efi_piece *piece)
{
    uint64_t address = 0;
    efi_status status =
        CALL(stub, stub->boot->allocate_pages(EFI_ALLOCATE_ANY_PAGES, EFI_LOADER_DATA, pages_of(size), &address));

    *piece = (struct efi_piece){.address = address, .size = status == EFI_SUCCESS ? size : 0};
    return status;
}

static void release(struct stub *stub, struct efi_piece *piece)
{
    if (piece->size != 0)
        CALL(stub, stub->boot->free_pages(piece->address, pages_of(piece->size)));
    piece->size = 0;
}

static void *at(const struct efi_piece *piece)
{
    return (void *)(uintptr_t)piece->address; /* NOLINT(performance-no-int-to-ptr) */
}

/* ---- Files ---------------------------------------------------------------------------------------------- */

/* The whole of an open file. NULL, or what is wrong with it, with *status where the firmware gave one. */
static const char *read_open(struct stub *stub, struct efi_file *file, uint64_t largest, struct efi_piece *piece,
                             efi_status *status)
{
    struct efi_file_info info;
    uint64_t size = sizeof info;

    *status = CALL(stub, file->get_info(file, &guid_file_info, &size, &info));
    if (*status != EFI_SUCCESS)
        return "cannot be looked at";
    if ((info.attributes & EFI_FILE_DIRECTORY) != 0)
        return "is a directory";
    if (info.file_size == 0)
        return "is empty";
    if (info.file_size > largest)
        return "is too large";
    *status = allocate(stub, info.file_size, piece);
    if (*status != EFI_SUCCESS)
        return "does not fit in memory";
    for (uint64_t done = 0; done < info.file_size; done += size) {
        uint64_t left = info.file_size - done;
        size = left < READ_AT_ONCE ? left : READ_AT_ONCE;
        *status = CALL(stub, file->read(file, &size, (uint8_t *)at(piece) + done));
        if (*status != EFI_SUCCESS)
            return "cannot be read";
        if (size == 0 || size > left)
            return "is shorter than its directory says";
    }
    return NULL;
}

static void read_file(struct stub *stub, struct efi_file *root, const char *path, uint64_t largest,
                      struct efi_piece *piece)
{
    struct efi_file *file = NULL;
    uint16_t name[PATH_LONGEST + 1];
    const char *wrong;
    unsigned length = 0;

    for (; path[length] != '\0' && length < PATH_LONGEST; length++)
        name[length] = (uint8_t)path[length];
    name[length] = 0;

    efi_status status = CALL(stub, root->open(root, &file, name, EFI_FILE_READ, 0));
    if (status == EFI_NOT_FOUND) {
        wrong = "is not there";
        status = EFI_SUCCESS;
    } else if (status != EFI_SUCCESS) {
        wrong = "cannot be opened";
    } else {
        wrong = read_open(stub, file, largest, piece, &status);
        CALL(stub, file->close(file));
    }
    if (wrong == NULL)
        return;
    release(stub, piece);
    say(stub, "vmos: ");
    say(stub, path);
    say(stub, " ");
    say(stub, wrong);
    say_status(stub, status);
    say(stub, "; booting without it\n");
}

static void read_files(struct stub *stub, efi_handle device)
{
    struct efi_handoff *handoff = stub->handoff;
    struct efi_file_system *volume = NULL;
    struct efi_file *root = NULL;
    void *interface = NULL;

    efi_status status =
        device != NULL ? CALL(stub, stub->boot->handle_protocol(device, &guid_file_system, &interface)) : EFI_NOT_FOUND;
    volume = interface;
    if (status == EFI_SUCCESS)
        status = CALL(stub, volume->open_volume(volume, &root));
    if (status != EFI_SUCCESS) {
        say(stub, "vmos: there are no files where this was loaded from");
        say_status(stub, status);
        say(stub, "; booting without \\vmos\\vmos.conf and \\vmos\\initrd.img\n");
        return;
    }
    read_file(stub, root, "\\vmos\\vmos.conf", EFI_CONFIGURATION_LARGEST, &handoff->configuration);
    read_file(stub, root, "\\vmos\\initrd.img", INITRD_LARGEST, &handoff->initrd);
    CALL(stub, root->close(root));
}

/* ---- What the firmware knows ---------------------------------------------------------------------------- */

static void read_loaded_image(struct stub *stub)
{
    struct efi_handoff *handoff = stub->handoff;
    void *interface = NULL;

    if (CALL(stub, stub->boot->handle_protocol(stub->image, &guid_loaded_image, &interface)) != EFI_SUCCESS) {
        read_files(stub, NULL);
        return;
    }
    const struct efi_loaded_image *loaded = interface;
    uint64_t size = loaded->load_options != NULL ? loaded->load_options_size : 0;

    handoff->load_options_size = size;
    size = size < EFI_HANDOFF_OPTIONS ? size : EFI_HANDOFF_OPTIONS;
    if (size != 0)
        memcpy(at(&handoff->load_options), loaded->load_options, size);
    handoff->load_options.size = size;
    read_files(stub, loaded->device);
}

static uint64_t find_table(const struct stub *stub, const struct efi_guid *guid)
{
    const struct efi_system_table *system = stub->system;

    for (uint64_t i = 0; i < system->table_count && i < TABLES_MOST; i++)
        if (memcmp(&system->tables[i].guid, guid, sizeof *guid) == 0)
            return (uintptr_t)system->tables[i].table;
    return 0;
}

static void read_random(struct stub *stub)
{
    struct efi_handoff *handoff = stub->handoff;
    void *interface = NULL;

    if (CALL(stub, stub->boot->locate_protocol(&guid_random, NULL, &interface)) != EFI_SUCCESS)
        return;
    struct efi_random *random = interface;
    if (CALL(stub, random->get(random, NULL, sizeof handoff->seed, handoff->seed)) == EFI_SUCCESS)
        handoff->seed_size = sizeof handoff->seed;
}

/* A hart cannot ask for its own number. */
static efi_status find_hart(struct stub *stub, uint64_t *hart)
{
    void *interface = NULL;
    efi_status status = CALL(stub, stub->boot->locate_protocol(&guid_riscv_boot, NULL, &interface));
    struct efi_riscv_boot *protocol = interface;

    return status == EFI_SUCCESS ? CALL(stub, protocol->get_boot_hart(protocol, hart)) : status;
}

/* ---- Leaving -------------------------------------------------------------------------------------------- */

/* A buffer for the memory map, larger than the map is now. */
static efi_status allocate_map(struct stub *stub)
{
    struct efi_handoff *handoff = stub->handoff;
    uint64_t size = 0, key, descriptor_size = 0;
    uint32_t version;

    release(stub, &handoff->map);
    efi_status status = CALL(stub, stub->boot->get_memory_map(&size, NULL, &key, &descriptor_size, &version));
    if (status != EFI_BUFFER_TOO_SMALL)
        return status != EFI_SUCCESS ? status : EFI_LOAD_ERROR;
    return allocate(stub, size + MAP_SLACK * descriptor_size, &handoff->map);
}

/* Boot services end only for the caller who knows the latest map [§7.4.6]. After the first try nothing may be
 * allocated: firmware has begun to shut down. */
static efi_status leave_firmware(struct stub *stub)
{
    struct efi_handoff *handoff = stub->handoff;
    uint64_t capacity = pages_of(handoff->map.size) << PAGE_SHIFT;
    efi_status status = EFI_LOAD_ERROR;
    bool leaving = false;

    for (unsigned i = 0; i < EXIT_TRIES; i++) {
        uint64_t key = 0;
        uint32_t version;
        uint64_t size = capacity;
        status =
            CALL(stub, stub->boot->get_memory_map(&size, at(&handoff->map), &key, &handoff->descriptor_size, &version));
        if (status == EFI_BUFFER_TOO_SMALL && !leaving) {
            efi_status allocated = allocate_map(stub);
            if (allocated != EFI_SUCCESS)
                return allocated;
            capacity = pages_of(handoff->map.size) << PAGE_SHIFT;
            continue;
        }
        if (status != EFI_SUCCESS)
            return status;
        leaving = true;
        status = CALL(stub, stub->boot->exit_boot_services(stub->image, key));
        if (status == EFI_SUCCESS)
            handoff->map.size = size;
        if (status != EFI_INVALID_PARAMETER)
            return status;
    }
    return status;
}

efi_status efi_main(efi_handle image, struct efi_system_table *system, uint64_t counter)
{
    struct stub stub = {.image = image, .system = system, .boot = system->boot_services};
    struct efi_piece page;
    uint64_t hart = 0;

    efi_status status = allocate(&stub, PAGE_SIZE + EFI_HANDOFF_OPTIONS, &page);
    if (status != EFI_SUCCESS)
        return fail(&stub, "there is no memory", status);
    struct efi_handoff *handoff = stub.handoff = memset(at(&page), 0, PAGE_SIZE);
    handoff->magic = EFI_HANDOFF_MAGIC;
    handoff->load_options.address = page.address + PAGE_SIZE;

    if (ARCH_EFI_ASKS_FOR_HART)
        status = find_hart(&stub, &hart);
    if (status != EFI_SUCCESS) {
        status = fail(&stub, "this firmware does not say on which hart it runs", status);
        release(&stub, &page);
        return status;
    }
    read_loaded_image(&stub);
    read_random(&stub);
    handoff->rsdp = find_table(&stub, &guid_acpi_2);
    if (handoff->rsdp == 0)
        handoff->rsdp = find_table(&stub, &guid_acpi_1);
    handoff->device_tree = find_table(&stub, &guid_device_tree);

    say(&stub, "\n"); /* firmware may have left its line open */
    status = allocate_map(&stub);
    if (status == EFI_SUCCESS)
        status = leave_firmware(&stub);
    if (status != EFI_SUCCESS) {
        status = fail(&stub, "the firmware does not let go of the machine", status);
        release(&stub, &handoff->map);
        release(&stub, &handoff->initrd);
        release(&stub, &handoff->configuration);
        release(&stub, &page);
        return status;
    }
    handoff->firmware_calls = stub.calls;
    handoff->firmware_ticks = stub.ticks;
    efi_leave(handoff, counter, hart);
}
