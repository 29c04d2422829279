/*
 * test_arm64_gicv3.c: how a GICv3's redistributor is found, and MSI frames, where firmware or hardware got it wrong.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include <host_log.h>
#include <platform/clock.h>
#include <platform/cpu.h>
#include <platform/mmu.h>
#include <platform/arm64/gic.h>
#include <platform/arm64/local.h>

#define DISTRIBUTOR UINT64_C(0x8000000)
#define FRAMES      UINT64_C(0x80a0000)
#define MSI_FRAME   UINT64_C(0x8020000)
#define SELF        UINT64_C(0x0100000203) /* affinity 1.0.2.3 */

enum { CPUS = 8, FRAME = 0x20000 };

static struct machine machine;
static struct machine_room room;
static struct {
    bool last[CPUS], wide[CPUS];
    unsigned self, looked; /* index of ours; redistributors that were read */
    uint64_t highest;      /* address that was mapped */
    bool busy, asleep, closed, dead;
    uint32_t waker, msi_type, spi_enable_mask;
} model;

/* ---- What the driver calls: addresses are physical, and mapped where they are ---------------------- */

static uint64_t counter, interrupt_register;
static struct gic_cpu own;
static struct cpu cpus[2];
static uint64_t written_router[2]; /* line, value */

struct cpu *cpu_local(void)
{
    return &cpus[0];
}

struct cpu *cpu_at(unsigned index)
{
    return &cpus[index];
}

uint64_t counter_read(void)
{
    return counter += 1000;
}

uint64_t fake_system_read(const char *name)
{
    if (strcmp(name, "mpidr_el1") == 0)
        return SELF | UINT64_C(1) << 31;
    if (strcmp(name, "id_aa64pfr0_el1") == 0)
        return 1 << 24;
    if (strcmp(name, "cntfrq_el0") == 0)
        return 1000000;
    assert_string_equal(name, "S3_0_C12_C12_5");
    return model.closed ? 0 : 1;
}

void fake_system_write(const char *name, uint64_t value)
{
    if (strcmp(name, "S3_0_C12_C11_5") == 0)
        interrupt_register = value;
}

volatile void *vm_map_device(uint64_t physical, uint64_t size)
{
    if (physical + size > model.highest && physical >= FRAMES)
        model.highest = physical + size;
    return (volatile void *)(uintptr_t)physical;
}

bool probe_read32(const volatile void *address, uint32_t *value)
{
    uint64_t at = (uintptr_t)address;

    *value = at == MSI_FRAME + 8 ? model.msi_type : 0;
    return at < FRAMES || at < FRAMES + UINT64_C(1) * CPUS * FRAME;
}

static unsigned frame_at(uint64_t address)
{
    uint64_t at = FRAMES;
    unsigned i = 0;

    for (; i < CPUS && address >= at + (model.wide[i] ? 2 * FRAME : FRAME); i++)
        at += model.wide[i] ? 2 * FRAME : FRAME;
    assert_in_range(i, 0, CPUS - 1);
    return i;
}

uint64_t register_read64(const volatile void *base, uint32_t offset)
{
    unsigned i = frame_at((uintptr_t)base);

    assert_int_equal(offset, 8);
    model.looked++;
    uint64_t affinity = i == model.self ? UINT64_C(0x01000203) : i;
    return affinity << 32 | (uint64_t)model.last[i] << 4 | (uint64_t)model.wide[i] << 1;
}

uint32_t register_read32(const volatile void *base, uint32_t offset)
{
    if ((uintptr_t)base == DISTRIBUTOR)
        return offset == 4 ? 7 : offset == 0 && model.busy ? UINT32_C(1) << 31 : 0;
    return offset == 0x14 ? model.waker : 0;
}

void register_write32(volatile void *base, uint32_t offset, uint32_t value)
{
    if ((uintptr_t)base >= FRAMES && offset == 0x14)
        model.waker = (value & 2) != 0 || model.asleep ? 6 : 0;
}

void register_write64(volatile void *base, uint32_t offset, uint64_t value)
{
    if ((uintptr_t)base == DISTRIBUTOR && offset >= 0x6100) {
        written_router[0] = (offset - 0x6000) / 8;
        written_router[1] = value;
        return;
    }
    fail_msg("write of %p + 0x%x: 0x%llx", (void *)(uintptr_t)base, offset, (unsigned long long)value);
}

uint8_t register_read8(const volatile void *base, uint32_t offset)
{
    fail_msg("8-bit read of %p + 0x%x", (const void *)(uintptr_t)base, offset);
    return 0;
}

void register_write8(volatile void *base, uint32_t offset, uint8_t value)
{
    fail_msg("8-bit write of %p + 0x%x: %u", (void *)(uintptr_t)base, offset, value);
}

/* ---- Redistributors --------------------------------------------------------------------------------- */

static int set_up(void **state)
{
    (void)state;
    host_log_clear();
    counter = 0;
    memset(&model, 0, sizeof model);
    memset(&machine, 0, sizeof machine);
    memset(&room, 0, sizeof room);
    machine_use_room(&machine, &room);
    memset(&own, 0, sizeof own);
    cpus[0].controller = &own;
    machine.gic = (struct machine_gic){.version = 3, .distributor = DISTRIBUTOR, .redistributor_count = 1};
    machine.gic.redistributors[0] = (struct machine_region){FRAMES, CPUS * FRAME};
    model.last[CPUS - 1] = true;
    model.waker = 6;
    return 0;
}

static void expect_found(uint64_t physical)
{
    assert_true(gicv3.init(&machine));
    assert_int_equal(own.redistributor.physical, physical);
    assert_int_equal(host_log_count(LOG_ERROR) + host_log_count(LOG_WARN), 0);
}

static void expect_refused(const char *sentence)
{
    assert_false(gicv3.init(&machine));
    if (!host_log_has(sentence))
        fail_msg("missing \"%s\" in: %s", sentence, host_log_text());
}

static void test_each_place(void **state)
{
    for (unsigned i = 0; i < CPUS; i++) {
        set_up(state);
        model.self = i;
        expect_found(FRAMES + i * FRAME);
        assert_int_equal(model.looked, i + 1);
    }
}

/* A GICv4 has frames of twice the size, and firmware may say so or another number. */
static void test_steps(void **state)
{
    (void)state;
    model.self = 2;
    model.wide[0] = true;
    expect_found(FRAMES + 3 * FRAME);
    set_up(state);
    model.self = 2;
    model.wide[0] = model.wide[1] = true;
    machine.gic.redistributor_stride = 2 * FRAME;
    expect_found(FRAMES + 4 * FRAME);
}

static void test_absurd_stride(void **state)
{
    static const uint64_t strides[] = {1, 0x10000, 0x20001, UINT64_MAX};

    for (size_t i = 0; i < sizeof strides / sizeof strides[0]; i++) {
        set_up(state);
        model.self = 1;
        machine.gic.redistributor_stride = strides[i];
        assert_true(gicv3.init(&machine));
        assert_int_equal(own.redistributor.physical, FRAMES + FRAME);
        assert_true(host_log_has("cannot be; the hardware's own is used"));
    }
    set_up(state);
    model.self = 1;
    machine.gic.redistributor_stride = UINT64_C(0xffffffffffff0000);
    expect_refused("none of 1 redistributor regions has this CPU");
}

/* A43: a region that ends too early, holds nothing, or has no last redistributor. */
static void test_regions(void **state)
{
    static const uint64_t sizes[] = {0, 1, FRAME - 1, FRAME, 3 * FRAME, 4 * FRAME - 1};

    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        set_up(state);
        model.self = 3;
        machine.gic.redistributors[0].size = sizes[i];
        expect_refused("none of 1 redistributor regions has this CPU, 0x100000203");
        assert_true(model.highest <= FRAMES + sizes[i]);
    }
    set_up(state);
    model.self = CPUS;
    model.last[CPUS - 1] = false;
    expect_refused("none of 1 redistributor regions");
    assert_int_equal(model.looked, CPUS);
    set_up(state);
    model.self = 5;
    model.last[4] = true;
    expect_refused("none of 1 redistributor regions");
    set_up(state);
    machine.gic.redistributors[0] = (struct machine_region){UINT64_MAX - 0xfff, UINT64_MAX};
    expect_refused("cannot be mapped");
    set_up(state);
    machine.gic.redistributors[0] = (struct machine_region){FRAMES + UINT64_C(1) * CPUS * FRAME, FRAME};
    expect_refused("nothing answers at 0x81a0000, where the redistributor should be");
    set_up(state);
    machine.gic.redistributor_count = UINT32_MAX;
    model.self = CPUS;
    expect_refused("redistributor regions has this CPU");
}

static void test_several_regions(void **state)
{
    (void)state;
    model.self = 6;
    model.last[1] = true;
    machine.gic.redistributor_count = 3;
    machine.gic.redistributors[0].size = 2 * FRAME;
    machine.gic.redistributors[1] = (struct machine_region){0};
    machine.gic.redistributors[2] = (struct machine_region){FRAMES + 5 * FRAME, 3 * FRAME};
    expect_found(FRAMES + 6 * FRAME);
}

/* A42: per CPU, and 0 for one of them. */
static void test_per_cpu(void **state)
{
    (void)state;
    machine.gic.redistributor_count = 0;
    machine.cpu_count = 3;
    machine.cpus[0].hardware_id = machine.cpus[1].hardware_id = machine.cpus[2].hardware_id = SELF;
    machine.cpus[1].gic_redistributor = FRAMES; /* another's */
    machine.cpus[2].gic_redistributor = FRAMES + 2 * FRAME;
    model.self = 2;
    expect_found(FRAMES + 2 * FRAME);
    set_up(state);
    machine.gic.redistributor_count = 0;
    machine.cpu_count = 1;
    machine.cpus[0].hardware_id = SELF;
    expect_refused("none of 0 redistributor regions");
}

static void test_does_not_answer_in_time(void **state)
{
    (void)state;
    model.asleep = true;
    expect_refused("the redistributor at 0x80a0000 did not wake within 100 ms");
    set_up(state);
    model.busy = true;
    assert_true(gicv3.init(&machine));
    assert_true(host_log_has("the distributor did not confirm a change within 100 ms"));
    assert_in_range(counter, 200000, 1000000);
    set_up(state);
    model.closed = true;
    expect_refused("keeps the GIC's system registers to itself");
    set_up(state);
    machine.gic.distributor = 0;
    expect_refused("the distributor at 0x0 cannot be mapped");
}

/* ---- Other CPUs -------------------------------------------------------------------------------------- */

/* Affinity 4.3.2.0x25, as the one register that interrupts wants it [IHI 0069 §12.2.19], and as routers do. */
static void test_other_cpus(void **state)
{
    (void)state;
    cpus[1].hardware_id = UINT64_C(0x0400030225);
    gicv3.interrupt(&cpus[1]);
    assert_int_equal(interrupt_register, UINT64_C(4) << 48 | UINT64_C(2) << 44 | UINT64_C(3) << 32 | 2 << 16 | 1 << 5);
    assert_true(gicv3.init(&machine));
    assert_int_equal(gicv3.target(40, 1), STATUS_OK);
    assert_int_equal(written_router[0], 40);
    assert_int_equal(written_router[1], UINT64_C(0x0400030225));
}

/* ---- MSI frames ------------------------------------------------------------------------------------- */

static uint64_t taken_lines;

static bool is_taken(uint32_t line)
{
    return (taken_lines >> (line - 80) & 1) != 0;
}

/* A44: the frame's numbers are firmware's, else the register's; nonsense from either is refused. */
static void test_frames(void **state)
{
    static const struct {
        uint32_t first, count, type;
    } bad[] = {
        {0, 0, 0},   {0, 0, 31 << 16 | 4}, {0, 0, 255 << 16 | 2}, {0, 0, 0x3ff03ff},   {16, 4, 0},
        {300, 1, 0}, {200, 57, 0},         {UINT32_MAX, 1, 0},    {80, UINT32_MAX, 0}, {UINT32_MAX, UINT32_MAX, 0}};
    struct message message;

    (void)state;
    assert_true(gicv3.init(&machine));
    machine.v2m_count = 1;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        host_log_clear();
        machine.v2m[0] =
            (struct machine_v2m){.base = MSI_FRAME, .first_line = bad[i].first, .line_count = bad[i].count};
        model.msi_type = bad[i].type;
        v2m_init(&machine);
        assert_false(v2m_present());
        assert_true(host_log_has("MSI frame 0x8020000 claims"));
    }
    machine.v2m[0] = (struct machine_v2m){.id = 9, .base = MSI_FRAME};
    model.msi_type = 80 << 16 | 3;
    v2m_init(&machine);
    assert_true(v2m_present());
    assert_int_equal(v2m_allocate(8, false, is_taken, &message), MACHINE_NO_LINE);
    for (uint32_t line = 80; line < 83; line++) {
        assert_int_equal(v2m_allocate(9, line % 2 == 0, is_taken, &message), line);
        assert_int_equal(message.address, MSI_FRAME + 0x40);
        assert_int_equal(message.data, line);
        taken_lines |= UINT64_C(1) << (line - 80);
    }
    assert_int_equal(v2m_allocate(0, true, is_taken, &message), MACHINE_NO_LINE);
    v2m_message(81, &message);
    assert_int_equal(message.address, MSI_FRAME + 0x40);
    assert_int_equal(message.data, 81);
}

#define TEST(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TEST(test_each_place),      TEST(test_steps),   TEST(test_absurd_stride),           TEST(test_regions),
        TEST(test_several_regions), TEST(test_per_cpu), TEST(test_does_not_answer_in_time), TEST(test_frames),
        TEST(test_other_cpus),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
