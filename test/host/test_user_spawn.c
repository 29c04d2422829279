/* test_user_spawn.c: lib/user/spawn.c over a kernel that counts: what a process gets, and that nothing is left when any
 * one call of the kernel's fails. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <lib/user/spawn.c>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PROCESS = 1000, THREAD = 1001, MEMORIES = 40, OURS = 50 };
enum { RAMDISK = 2000, RAMDISK_OFFSET = 0x7000 }; /* a Memory of ours, and where in it the program is */

static unsigned calls, failing; /* the call with this number fails */
static struct {
    uint8_t *bytes; /* one Memory; NULL: none */
    uint64_t size;
    unsigned handles, here;
    uint64_t there; /* where the child has it; 0: not */
    uint32_t access;
} memories[MEMORIES];
static unsigned memory_count, process_handles, thread_handles, given;
static struct {
    uint64_t there, offset, size;
    uint32_t access;
} in_ramdisk[ELF_SEGMENTS_MOST]; /* what the child has of it */
static unsigned in_ramdisk_count;
static bool killed, started;
static struct thread_parameters thread_parameters;
static struct process_parameters process_parameters;

static void *program;
static size_t program_size;

static bool fails(void)
{
    return ++calls == failing;
}

static struct system_result result(enum status status, uint64_t value)
{
    return (struct system_result){status, value};
}

struct system_result system_memory_create(uint64_t size)
{
    if (fails())
        return result(STATUS_LIMIT, 0);
    assert_int_equal(size % 4096, 0);
    assert_in_range(memory_count, 0, MEMORIES - 1);
    memories[memory_count].bytes = calloc(1, size);
    memories[memory_count].size = size;
    memories[memory_count].handles = 1;
    return result(STATUS_OK, ++memory_count);
}

struct system_result system_memory_map(handle process, handle memory, uint64_t address, uint64_t offset, uint64_t size,
                                       uint64_t rights)
{
    static uint64_t next = 0x700000000000;

    if (fails())
        return result(STATUS_LIMIT, 0);
    assert_false((rights & RIGHT_WRITE) && (rights & RIGHT_EXECUTE));
    if (memory == RAMDISK) {
        assert_true(process == PROCESS && address != 0 && !(rights & RIGHT_WRITE));
        assert_true(offset % 4096 == 0 && offset >= RAMDISK_OFFSET && offset + size <= RAMDISK_OFFSET + program_size);
        in_ramdisk[in_ramdisk_count].there = address;
        in_ramdisk[in_ramdisk_count].offset = offset - RAMDISK_OFFSET;
        in_ramdisk[in_ramdisk_count].size = size;
        in_ramdisk[in_ramdisk_count++].access = (uint32_t)rights;
        return result(STATUS_OK, address);
    }
    assert_in_range(memory, 1, memory_count);
    memory--;
    assert_int_equal(memories[memory].handles, 1);
    assert_true(offset == 0 && size == memories[memory].size);
    if (process == 0) {
        assert_int_equal(rights, RIGHT_READ | RIGHT_WRITE);
        memories[memory].here++;
        return result(STATUS_OK, (uintptr_t)memories[memory].bytes);
    }
    assert_int_equal(process, PROCESS);
    assert_int_equal(memories[memory].here, 0); /* never writable here and executable there */
    memories[memory].access = (uint32_t)rights;
    memories[memory].there = address != 0 ? address : (next += 0x100000);
    return result(STATUS_OK, memories[memory].there);
}

struct system_result system_memory_unmap(handle process, uint64_t address, uint64_t size)
{
    assert_int_equal(process, 0);
    for (unsigned i = 0; i < memory_count; i++)
        if ((uintptr_t)memories[i].bytes == address) {
            assert_true(memories[i].here == 1 && memories[i].size == size);
            memories[i].here = 0;
            return result(STATUS_OK, 0);
        }
    fail_msg("unmaps what is not mapped");
    return result(STATUS_INVALID, 0);
}

struct system_result system_handle_close(handle object)
{
    if (object == PROCESS)
        process_handles--;
    else if (object == THREAD)
        thread_handles--;
    else
        memories[object - 1].handles--;
    return result(STATUS_OK, 0);
}

struct system_result system_process_create(const struct process_parameters *parameters, uint64_t size)
{
    if (fails())
        return result(STATUS_LIMIT, 0);
    assert_int_equal(size, sizeof *parameters);
    process_parameters = *parameters;
    process_handles++;
    return result(STATUS_OK, PROCESS);
}

struct system_result system_process_give(handle process, handle object, uint64_t rights)
{
    if (fails())
        return result(STATUS_DENIED, 0);
    assert_int_equal(process, PROCESS);
    assert_true(object == PROCESS || object == OURS);
    assert_int_equal(rights, object == PROCESS ? RIGHT_INSPECT : RIGHT_WRITE);
    return result(STATUS_OK, 0x10000 + given++);
}

struct system_result system_process_kill(handle process, uint64_t code)
{
    assert_true(process == PROCESS && code == 0);
    killed = true;
    return result(STATUS_OK, 0);
}

struct system_result system_thread_create(handle process, const struct thread_parameters *parameters, uint64_t size)
{
    if (fails())
        return result(STATUS_LIMIT, 0);
    assert_true(process == PROCESS && size == sizeof *parameters);
    thread_parameters = *parameters;
    started = true;
    thread_handles++;
    return result(STATUS_OK, THREAD);
}

void random_bytes(void *to, size_t size)
{
    static unsigned seed;

    for (size_t i = 0; i < size; i++)
        ((uint8_t *)to)[i] = (uint8_t)rand_r(&seed);
}

static int read_program(void **state)
{
    FILE *file = fopen("build/host/elf/x64.elf", "rb");

    (void)state;
    assert_non_null(file);
    program = calloc(1, 1 << 20);
    program_size = align_up(fread(program, 1, 1 << 20, file), ELF_PAGE); /* whole pages, as in a ramdisk */
    fclose(file);
    return 0;
}

static int drop_program(void **state)
{
    (void)state;
    free(program);
    return 0;
}

static void forget(void)
{
    for (unsigned i = 0; i < memory_count; i++)
        free(memories[i].bytes);
    memset(memories, 0, sizeof memories);
    in_ramdisk_count = calls = memory_count = process_handles = thread_handles = given = 0;
    killed = started = false;
}

static struct spawn wanted(void)
{
    return (struct spawn){
        .file = program,
        .size = program_size,
        .arguments = "name\0one\0two",
        .arguments_size = 13,
        .stack_size = 20000,
        .process = {.name = "child", .highest_priority = 3},
        .thread = {.priority = 3, .budget_ns = 1000000, .period_ns = 10000000},
        .handle_count = 2,
        .handles = {{"self", 0, RIGHT_INSPECT}, {"a name that is too long", OURS, RIGHT_WRITE}},
    };
}

static const void *in_child(uint64_t address, uint32_t access)
{
    for (unsigned i = 0; i < memory_count; i++)
        if (memories[i].there != 0 && address - memories[i].there < memories[i].size) {
            assert_int_equal(memories[i].access, access);
            return memories[i].bytes + (address - memories[i].there);
        }
    for (unsigned i = 0; i < in_ramdisk_count; i++)
        if (address - in_ramdisk[i].there < in_ramdisk[i].size) {
            assert_int_equal(in_ramdisk[i].access, access);
            return (uint8_t *)program + in_ramdisk[i].offset + (address - in_ramdisk[i].there);
        }
    fail_msg("the child has nothing at %llx", (unsigned long long)address);
    return NULL;
}

static void what_a_process_gets(void **state)
{
    struct spawn spawn = wanted();
    handle process = 0;
    uint64_t images[8];

    (void)state;
    for (unsigned round = 0; round < 8; round++) {
        forget();
        assert_int_equal(spawn_process(&spawn, &process), STATUS_OK);
        assert_true(process == PROCESS && process_handles == 1 && thread_handles == 0 && started && !killed);
        for (unsigned i = 0; i < memory_count; i++)
            assert_true(memories[i].handles == 0 && memories[i].here == 0 && memories[i].there != 0);
        assert_string_equal(process_parameters.name, "child");
        assert_int_equal(thread_parameters.budget_ns, 1000000);
        const struct start_info *info = in_child(thread_parameters.argument, RIGHT_READ);
        assert_true(info->abi_version == ABI_VERSION && info->size == sizeof *info);
        assert_true(info->image % 4096 == 0 && info->image >= 0x10000);
        assert_int_equal(info->stack_size, 20480);
        assert_int_equal(thread_parameters.stack, info->stack + info->stack_size);
        in_child(thread_parameters.stack - 16, RIGHT_READ | RIGHT_WRITE);
        in_child(thread_parameters.entry, RIGHT_READ | RIGHT_EXECUTE);
        assert_int_equal(info->handle_count, 2);
        assert_string_equal(info->handles[0].name, "self");
        assert_string_equal(info->handles[1].name, "a name that is ");
        assert_int_equal(info->handles[1].value, 0x10001);
        assert_int_equal(info->arguments_size, 13);
        assert_memory_equal(info->arguments, "name\0one\0two", 13);
        images[round] = info->image;
        for (unsigned before = 0; before < round; before++)
            assert_int_not_equal(images[before], images[round]);
    }
    forget();
}

/* The same bytes are in the same places whether they are copied or not. */
static void what_is_not_written_to_is_not_copied(void **state)
{
    struct spawn spawn = wanted();
    struct elf_image image;
    const char *why;
    handle process = 0;

    (void)state;
    assert_int_equal(elf_read(program, program_size, MACHINE, &image, &why), STATUS_OK);
    forget();
    assert_int_equal(spawn_process(&spawn, &process), STATUS_OK);
    unsigned copied = memory_count;
    spawn.memory = RAMDISK;
    spawn.offset = RAMDISK_OFFSET + 8; /* within a page: nothing can be mapped */
    forget();
    assert_int_equal(spawn_process(&spawn, &process), STATUS_OK);
    assert_true(memory_count == copied && in_ramdisk_count == 0);
    spawn.offset = RAMDISK_OFFSET;
    forget();
    assert_int_equal(spawn_process(&spawn, &process), STATUS_OK);
    assert_int_equal(in_ramdisk_count, 2); /* constants, and code */
    assert_int_equal(memory_count, copied - 2);
    const struct start_info *info = in_child(thread_parameters.argument, RIGHT_READ);
    for (uint32_t i = 0; i < image.segment_count; i++) {
        const struct elf_segment *segment = &image.segments[i];
        assert_int_equal(segment->plain, !segment->relocatable);
        const void *there = in_child(info->image + segment->address + segment->lead, segment->access);
        if (segment->plain)
            assert_memory_equal(there, (uint8_t *)program + segment->from, segment->length);
    }
    forget();
}

/* Whichever call fails: no Memory is held or mapped here, the process is ended, and the caller has no handle of it. */
static void nothing_is_left(void **state)
{
    unsigned most = 0, round = 0;

    (void)state;
    for (failing = 1;; failing++) {
        struct spawn spawn = wanted();
        handle process = 0;
        spawn.memory = round % 2 == 0 ? 0 : RAMDISK;
        spawn.offset = RAMDISK_OFFSET;
        forget();
        enum status status = spawn_process(&spawn, &process);
        if (calls < failing && ++round == 2)
            break; /* it came to its end before */
        if (calls < failing) {
            failing = 0;
            continue;
        }
        most++;
        assert_int_not_equal(status, STATUS_OK);
        assert_non_null(spawn.why);
        assert_true(process_handles == 0 && thread_handles == 0 && process == 0 && !started);
        assert_int_equal(killed, failing > 1);
        for (unsigned i = 0; i < memory_count; i++)
            assert_true(memories[i].handles == 0 && memories[i].here == 0);
    }
    assert_in_range(most, 30, 60);
    failing = 0;
    forget();
}

static void refused(void **state)
{
    struct spawn spawn = wanted();
    handle process = 0;

    (void)state;
    spawn.handle_count = START_HANDLES + 1;
    assert_int_equal(spawn_process(&spawn, &process), STATUS_LIMIT);
    spawn = wanted();
    spawn.arguments_size = START_ARGUMENTS_SIZE + 1;
    assert_int_equal(spawn_process(&spawn, &process), STATUS_LIMIT);
    spawn = wanted();
    spawn.size = 100;
    assert_int_equal(spawn_process(&spawn, &process), STATUS_INVALID);
    assert_string_equal(spawn.why, "its program headers lie outside of the file");
    assert_int_equal(calls, 0);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(what_a_process_gets),
    cmocka_unit_test(what_is_not_written_to_is_not_copied),
    cmocka_unit_test(nothing_is_left),
    cmocka_unit_test(refused),
};

int main(int argc, char **argv)
{
    (void)argc, (void)argv;
    return cmocka_run_group_tests(tests, read_program, drop_program);
}
