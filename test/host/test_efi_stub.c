/*
 * test_efi_stub.c: the EFI stub, called by firmware that is played: each call that it makes may fail, the memory map
 * may change under it, files may be anything.
 *
 * What must hold: it either leaves boot services with a whole handoff, or comes back with an error, a sentence on the
 * console and all memory returned; and from the first try to leave on it allocates nothing.
 */
#include <platform/efi_stub.c>

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

enum { MOST_ALLOCATIONS = 16, HART = 3, DESCRIPTOR = 48, FEW_DESCRIPTORS = 20 };

enum call {
    CALL_ALLOCATE,
    CALL_FREE,
    CALL_MAP,
    CALL_HANDLE,
    CALL_EXIT,
    CALL_LOCATE,
    CALL_OPEN_VOLUME,
    CALL_OPEN,
    CALL_CLOSE,
    CALL_READ,
    CALL_INFO,
    CALL_RANDOM,
    CALL_HART,
    CALL_COUNT
};

struct played_file {
    struct efi_file file; /* first */
    const char *name;
    const char *contents; /* NULL: not there */
    uint64_t size, claimed, position, attributes;
};

static struct {
    struct efi_file root;
    struct played_file files[2];
    bool opened[2];
    struct {
        void *at;
        uint64_t pages;
    } allocations[MOST_ALLOCATIONS];
    unsigned outputs, calls, failing_call; /* the how-manieth of all fails; 0: none */
    efi_status failing_status;
    enum call failing_kind; /* or all of a kind */
    bool kind_fails;
    unsigned map_descriptors, map_grows; /* by one, so many times */
    unsigned exits, exits_refused, key;
    bool left_once, allocated_after_exit, said_after_exit;
    uint64_t largest_read;
    bool no_console, no_device;
    char console[4096];
    size_t console_length;
    /* what efi_leave got */
    struct efi_handoff handoff;
    uint64_t counter, hart;
    bool left;
} played;

static jmp_buf left;
static uint64_t ticks;

uint64_t counter_read(void)
{
    return ticks++;
}

void efi_leave(const void *handoff, uint64_t counter, uint64_t hart)
{
    memcpy(&played.handoff, handoff, sizeof played.handoff);
    played.counter = counter;
    played.hart = hart;
    played.left = true;
    longjmp(left, 1);
}

static bool fails(enum call kind)
{
    ticks += 100; /* what firmware takes */
    return ++played.calls == played.failing_call || (played.kind_fails && kind == played.failing_kind);
}

/* ---- The firmware ------------------------------------------------------------------------------------------- */

static efi_status output(struct efi_text_output *self, const uint16_t *text)
{
    (void)self;
    ticks += 100;
    played.outputs++;
    for (; *text != 0 && played.console_length < sizeof played.console - 1; text++)
        played.console[played.console_length++] = (char)*text;
    played.said_after_exit |= played.left_once;
    return EFI_SUCCESS;
}

static efi_status allocate_pages(uint32_t how, uint32_t type, uint64_t pages, uint64_t *address)
{
    assert_int_equal(how, EFI_ALLOCATE_ANY_PAGES);
    assert_int_equal(type, EFI_LOADER_DATA);
    assert_true(pages > 0);
    played.allocated_after_exit |= played.left_once;
    if (fails(CALL_ALLOCATE))
        return played.failing_status;
    for (unsigned i = 0; i < MOST_ALLOCATIONS; i++)
        if (played.allocations[i].at == NULL) {
            void *at = aligned_alloc(4096, pages * 4096);
            memset(at, 0xa5, pages * 4096);
            played.allocations[i].at = at;
            played.allocations[i].pages = pages;
            *address = (uintptr_t)at;
            return EFI_SUCCESS;
        }
    fail_msg("too many allocations");
    return EFI_OUT_OF_RESOURCES;
}

static efi_status free_pages(uint64_t address, uint64_t pages)
{
    fails(CALL_FREE); /* must succeed all the same: there is nobody to tell */
    for (unsigned i = 0; i < MOST_ALLOCATIONS; i++)
        if ((uintptr_t)played.allocations[i].at == address && address != 0) {
            assert_int_equal(played.allocations[i].pages, pages);
            free(played.allocations[i].at);
            played.allocations[i].at = NULL;
            return EFI_SUCCESS;
        }
    fail_msg("what is freed was never allocated");
    return EFI_NOT_FOUND;
}

static efi_status get_memory_map(uint64_t *size, void *map, uint64_t *key, uint64_t *descriptor_size, uint32_t *version)
{
    uint64_t needed = (uint64_t)played.map_descriptors * DESCRIPTOR;

    if (fails(CALL_MAP))
        return played.failing_status;
    *version = 1;
    *descriptor_size = DESCRIPTOR;
    if (played.map_grows != 0) {
        played.map_grows--;
        played.map_descriptors += 100;
    }
    if (*size < needed) {
        *size = needed;
        return EFI_BUFFER_TOO_SMALL;
    }
    assert_non_null(map);
    memset(map, (int)played.key, needed);
    *size = needed;
    *key = played.key;
    return EFI_SUCCESS;
}

static efi_status exit_boot_services(efi_handle image, uint64_t key)
{
    assert_ptr_equal(image, &played);
    played.exits++;
    played.left_once = true;
    if (fails(CALL_EXIT))
        return played.failing_status;
    assert_int_equal(key, played.key);
    if (played.exits_refused != 0) {
        played.exits_refused--;
        played.key++;
        return EFI_INVALID_PARAMETER;
    }
    return EFI_SUCCESS;
}

static efi_status file_open(struct efi_file *self, struct efi_file **opened, const uint16_t *name, uint64_t mode,
                            uint64_t attributes)
{
    assert_ptr_equal(self, &played.root);
    assert_int_equal(mode, EFI_FILE_READ);
    assert_int_equal(attributes, 0);
    if (fails(CALL_OPEN))
        return played.failing_status;
    for (unsigned i = 0; i < 2; i++) {
        size_t at = 0;
        while (name[at] != 0 && name[at] == (uint8_t)played.files[i].name[at])
            at++;
        if (name[at] == 0 && played.files[i].name[at] == '\0' && played.files[i].contents != NULL) {
            *opened = &played.files[i].file;
            played.opened[i] = true;
            return EFI_SUCCESS;
        }
    }
    return EFI_NOT_FOUND;
}

static efi_status file_close(struct efi_file *self)
{
    fails(CALL_CLOSE);
    for (unsigned i = 0; i < 2; i++)
        if (self == &played.files[i].file)
            played.opened[i] = false;
    return EFI_SUCCESS;
}

static efi_status file_read(struct efi_file *self, uint64_t *size, void *buffer)
{
    struct played_file *file = (struct played_file *)self;
    uint64_t left_over = file->size - file->position;

    if (fails(CALL_READ))
        return played.failing_status;
    played.largest_read = *size > played.largest_read ? *size : played.largest_read;
    *size = *size < left_over ? *size : left_over;
    memcpy(buffer, file->contents + file->position, *size);
    file->position += *size;
    return EFI_SUCCESS;
}

static efi_status file_get_info(struct efi_file *self, const struct efi_guid *type, uint64_t *size, void *info)
{
    struct played_file *file = (struct played_file *)self;
    struct efi_file_info *to = info;

    assert_memory_equal(type, &guid_file_info, sizeof *type);
    assert_true(*size >= sizeof *to - sizeof to->name + 2 * 20);
    if (fails(CALL_INFO))
        return played.failing_status;
    memset(info, 0, *size);
    to->file_size = file->claimed;
    to->attributes = file->attributes;
    return EFI_SUCCESS;
}

static efi_status open_volume(struct efi_file_system *self, struct efi_file **root)
{
    (void)self;
    if (fails(CALL_OPEN_VOLUME))
        return played.failing_status;
    *root = &played.root;
    return EFI_SUCCESS;
}

static efi_status random_get(struct efi_random *self, const struct efi_guid *algorithm, uint64_t size, void *bytes)
{
    (void)self;
    assert_null(algorithm);
    if (fails(CALL_RANDOM))
        return played.failing_status;
    memset(bytes, 0x77, size);
    return EFI_SUCCESS;
}

static efi_status get_boot_hart(struct efi_riscv_boot *self, uint64_t *hart)
{
    (void)self;
    if (fails(CALL_HART))
        return played.failing_status;
    *hart = HART;
    return EFI_SUCCESS;
}

static uint16_t load_options[6000];
static struct efi_loaded_image loaded = {.load_options = load_options};
static struct efi_file_system file_system = {.open_volume = open_volume};
static struct efi_random random_source = {.get = random_get};
static struct efi_riscv_boot riscv_boot = {.get_boot_hart = get_boot_hart};

static efi_status handle_protocol(efi_handle handle, const struct efi_guid *protocol, void **interface)
{
    if (fails(CALL_HANDLE))
        return played.failing_status;
    if (memcmp(protocol, &guid_loaded_image, sizeof *protocol) == 0) {
        assert_ptr_equal(handle, &played);
        loaded.device = played.no_device ? NULL : &loaded;
        *interface = &loaded;
    } else {
        assert_memory_equal(protocol, &guid_file_system, sizeof *protocol);
        assert_ptr_equal(handle, &loaded);
        *interface = &file_system;
    }
    return EFI_SUCCESS;
}

static efi_status locate_protocol(const struct efi_guid *protocol, void *registration, void **interface)
{
    assert_null(registration);
    if (fails(CALL_LOCATE))
        return played.failing_status;
    *interface = memcmp(protocol, &guid_random, sizeof *protocol) == 0 ? (void *)&random_source : &riscv_boot;
    return EFI_SUCCESS;
}

static struct efi_boot_services boot_services = {.allocate_pages = allocate_pages,
                                                 .free_pages = free_pages,
                                                 .get_memory_map = get_memory_map,
                                                 .handle_protocol = handle_protocol,
                                                 .exit_boot_services = exit_boot_services,
                                                 .locate_protocol = locate_protocol};
static struct efi_text_output console = {.output_string = output};
static struct efi_configuration_table tables[3];
static struct efi_system_table system_table;

static const char *const names[2] = {"\\vmos\\vmos.conf", "\\vmos\\initrd.img"};

static int begin(void **state)
{
    (void)state;
    memset(&played, 0, sizeof played);
    played.failing_status = EFI_DEVICE_ERROR;
    played.map_descriptors = FEW_DESCRIPTORS;
    played.root = (struct efi_file){.open = file_open, .close = file_close};
    for (unsigned i = 0; i < 2; i++) {
        played.files[i] = (struct played_file){.name = names[i], .contents = "cmdline a\n", .size = 10, .claimed = 10};
        played.files[i].file = (struct efi_file){.close = file_close, .read = file_read, .get_info = file_get_info};
    }
    memset(load_options, 'x', sizeof load_options);
    loaded.load_options_size = 12;
    tables[0] = (struct efi_configuration_table){.guid = guid_acpi_1, .table = (void *)0x1000};
    tables[1] = (struct efi_configuration_table){.guid = guid_acpi_2, .table = (void *)0x2000};
    tables[2] = (struct efi_configuration_table){.guid = guid_device_tree, .table = (void *)0x3000};
    system_table = (struct efi_system_table){
        .console_out = &console, .boot_services = &boot_services, .table_count = 3, .tables = tables};
    return 0;
}

static unsigned allocations(void)
{
    unsigned count = 0;

    for (unsigned i = 0; i < MOST_ALLOCATIONS; i++)
        count += played.allocations[i].at != NULL;
    return count;
}

/* EFI_SUCCESS: it has left. */
static efi_status boot(void)
{
    efi_status status = EFI_SUCCESS;

    ticks = 5;
    if (played.no_console)
        system_table.console_out = NULL;
    if (setjmp(left) == 0)
        status = efi_main(&played, &system_table, 4);
    assert_int_equal(played.left, status == EFI_SUCCESS);
    assert_false(played.allocated_after_exit);
    assert_false(played.opened[0] || played.opened[1]);
    if (!played.left) {
        assert_true((status & EFI_ERROR) != 0);
        assert_int_equal(allocations(), 0);
    }
    return status;
}

static int end(void **state)
{
    (void)state;
    for (unsigned i = 0; i < MOST_ALLOCATIONS; i++)
        free(played.allocations[i].at);
    return 0;
}

static void again(void **state)
{
    end(state);
    begin(state);
}

static bool said(const char *text)
{
    return strstr(played.console, text) != NULL;
}

/* ---- Tests -------------------------------------------------------------------------------------------------- */

static void everything_works(void **state)
{
    (void)state;
    assert_int_equal(boot(), EFI_SUCCESS);
    const struct efi_handoff *handoff = &played.handoff;
    assert_int_equal(handoff->magic, EFI_HANDOFF_MAGIC);
    assert_int_equal(handoff->rsdp, 0x2000);
    assert_int_equal(handoff->device_tree, 0x3000);
    assert_int_equal(handoff->descriptor_size, DESCRIPTOR);
    assert_int_equal(handoff->map.size, DESCRIPTOR * FEW_DESCRIPTORS);
    assert_int_equal(handoff->configuration.size, 10);
    assert_memory_equal(at(&handoff->configuration), "cmdline a\n", 10);
    assert_int_equal(handoff->initrd.size, 10);
    assert_int_equal(handoff->load_options.size, 12);
    assert_int_equal(handoff->load_options_size, 12);
    assert_memory_equal(at(&handoff->load_options), load_options, 12);
    assert_int_equal(handoff->seed_size, EFI_HANDOFF_SEED);
    assert_int_equal(handoff->seed[31], 0x77);
    assert_int_equal(played.hart, HART);
    assert_int_equal(played.counter, 4);
    assert_false(played.said_after_exit);
    assert_string_equal(played.console, "\r\n");
    /* Each of the firmware's calls took 100 ticks and one for reading the counter; nothing else counts as its own. */
    assert_int_equal(handoff->firmware_calls, played.calls + played.outputs);
    assert_int_equal(handoff->firmware_ticks, 101 * handoff->firmware_calls);
}

/* Whichever single call fails, whatever it says. */
static void each_call_fails(void **state)
{
    static const efi_status statuses[] = {EFI_DEVICE_ERROR, EFI_OUT_OF_RESOURCES, EFI_NOT_FOUND, EFI_INVALID_PARAMETER,
                                          EFI_UNSUPPORTED};
    unsigned left_count = 0, failed = 0;

    assert_int_equal(boot(), EFI_SUCCESS);
    unsigned all = played.calls + 4;
    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++)
        for (unsigned call = 1; call <= all; call++) {
            again(state);
            played.failing_call = call;
            played.failing_status = statuses[i];
            efi_status status = boot();
            left_count += status == EFI_SUCCESS;
            failed += status != EFI_SUCCESS;
            if (status != EFI_SUCCESS && !(said("vmos: ") && said("; this boot ends here\r\n")))
                fail_msg("call %u fails silently", call);
        }
    assert_true(left_count > 50 && failed > 20);
}

static void each_kind_fails(void **state)
{
    static const struct {
        enum call kind;
        bool boots;
        const char *said;
    } rows[] = {
        {CALL_ALLOCATE, false, "vmos: there is no memory (EFI error 7); this boot ends here"},
        {CALL_MAP, false, "vmos: the firmware does not let go of the machine (EFI error 7)"},
        {CALL_EXIT, false, "vmos: the firmware does not let go of the machine (EFI error 7)"},
        {CALL_LOCATE, false, "vmos: this firmware does not say on which hart it runs (EFI error 7)"},
        {CALL_HART, false, "vmos: this firmware does not say on which hart it runs (EFI error 7)"},
        {CALL_HANDLE, true, "vmos: there are no files where this was loaded from (EFI error 14); booting without"},
        {CALL_OPEN_VOLUME, true, "vmos: there are no files where this was loaded from (EFI error 7); booting without"},
        {CALL_OPEN, true, "vmos: \\vmos\\initrd.img cannot be opened (EFI error 7); booting without it"},
        {CALL_READ, true, "vmos: \\vmos\\initrd.img cannot be read (EFI error 7); booting without it"},
        {CALL_INFO, true, "vmos: \\vmos\\initrd.img cannot be looked at (EFI error 7); booting without it"},
        {CALL_RANDOM, true, ""},
        {CALL_FREE, true, ""},
        {CALL_CLOSE, true, ""},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        again(state);
        played.kind_fails = true;
        played.failing_kind = rows[i].kind;
        assert_int_equal(boot() == EFI_SUCCESS, rows[i].boots);
        if (!said(rows[i].said))
            fail_msg("row %zu: the console has \"%s\"", i, played.console);
    }
    assert_int_equal(played.handoff.seed_size, EFI_HANDOFF_SEED);
}

static void files(void **state)
{
    static const struct {
        const char *contents;
        uint64_t size, claimed, attributes;
        const char *said;
    } rows[] = {
        {NULL, 0, 0, 0, "is not there; booting without it"},
        {"", 0, 0, 0, "is empty; booting without it"},
        {"abc", 3, 3, EFI_FILE_DIRECTORY, "is a directory; booting without it"},
        {"abc", 3, 4, 0, "is shorter than its directory says; booting without it"},
        {"abc", 3, UINT64_MAX, 0, "is too large; booting without it"},
        {"abc", 3, (uint64_t)INITRD_LARGEST + 1, 0, "is too large; booting without it"},
    };

    for (unsigned file = 0; file < 2; file++)
        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
            char sentence[128];
            again(state);
            played.files[file].contents = rows[i].contents;
            played.files[file].size = rows[i].size;
            played.files[file].claimed = rows[i].claimed;
            played.files[file].attributes = rows[i].attributes;
            assert_int_equal(boot(), EFI_SUCCESS);
            snprintf(sentence, sizeof sentence, "vmos: %s %s\r\n", names[file], rows[i].said);
            assert_true(said(sentence));
            assert_int_equal(played.handoff.configuration.size, file == 0 ? 0 : 10);
            assert_int_equal(played.handoff.initrd.size, file == 1 ? 0 : 10);
            snprintf(sentence, sizeof sentence, "vmos: %s %s\n", names[file], rows[i].said);
            assert_memory_equal(played.handoff.said, sentence, strlen(sentence)); /* the same for the log */
            assert_int_equal(allocations(), 3); /* the handoff, the other file, the map */
        }
    again(state);
    played.files[0].claimed = EFI_CONFIGURATION_LARGEST + 1;
    assert_int_equal(boot(), EFI_SUCCESS);
    assert_true(said("vmos.conf is too large"));
}

static void large_files_come_in_pieces(void **state)
{
    char *contents = malloc(3000000);

    (void)state;
    for (int i = 0; i < 3000000; i++)
        contents[i] = (char)(i * 7 + i / 4096);
    played.files[1].contents = contents;
    played.files[1].size = played.files[1].claimed = 3000000;
    assert_int_equal(boot(), EFI_SUCCESS);
    assert_int_equal(played.handoff.initrd.size, 3000000);
    assert_memory_equal(at(&played.handoff.initrd), contents, 3000000);
    assert_int_equal(played.largest_read, READ_AT_ONCE);
    free(contents);
}

static void where_there_are_no_files(void **state)
{
    (void)state;
    played.no_device = true;
    assert_int_equal(boot(), EFI_SUCCESS);
    assert_true(said("there are no files where this was loaded from (EFI error 14)"));
    assert_int_equal(played.handoff.load_options.size, 12);
}

static void map_keys(void **state)
{
    for (unsigned refused = 0; refused < EXIT_TRIES + 3; refused++) {
        again(state);
        played.exits_refused = refused;
        assert_int_equal(boot() == EFI_SUCCESS, refused < EXIT_TRIES);
        assert_int_equal(played.exits, refused < EXIT_TRIES ? refused + 1 : EXIT_TRIES);
        if (played.left) /* the map is that of the last try */
            assert_int_equal(*(uint8_t *)at(&played.handoff.map), refused);
    }
}

static void maps_that_grow(void **state)
{
    for (unsigned grows = 0; grows < 4 * EXIT_TRIES; grows++) {
        again(state);
        played.map_grows = grows;
        efi_status status = boot();
        assert_int_equal(status, grows < 2 * EXIT_TRIES - 1 ? EFI_SUCCESS : EFI_BUFFER_TOO_SMALL);
    }
}

static void long_load_options(void **state)
{
    (void)state;
    loaded.load_options_size = sizeof load_options;
    assert_int_equal(boot(), EFI_SUCCESS);
    assert_int_equal(played.handoff.load_options.size, EFI_HANDOFF_OPTIONS);
    assert_int_equal(played.handoff.load_options_size, sizeof load_options);
}

static void tables_of_all_kinds(void **state)
{
    (void)state;
    tables[1].guid.a ^= 1;
    assert_int_equal(boot(), EFI_SUCCESS);
    assert_int_equal(played.handoff.rsdp, 0x1000); /* ACPI 1.0's, where there is no other */
    again(state);
    system_table.table_count = 0;
    assert_int_equal(boot(), EFI_SUCCESS);
    assert_int_equal(played.handoff.rsdp, 0);
    assert_int_equal(played.handoff.device_tree, 0);
}

static void without_a_console(void **state)
{
    (void)state;
    played.no_console = true;
    played.files[0].contents = NULL;
    assert_int_equal(boot(), EFI_SUCCESS);
    assert_true(played.handoff.said_size > 20);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(everything_works),           TEST(each_call_fails),          TEST(each_kind_fails),   TEST(files),
        TEST(large_files_come_in_pieces), TEST(where_there_are_no_files), TEST(map_keys),          TEST(maps_that_grow),
        TEST(long_load_options),          TEST(tables_of_all_kinds),      TEST(without_a_console),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
