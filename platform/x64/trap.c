/*
 * trap.c: descriptor tables, and what an exception means.
 *
 * #DF, NMI and #MC run on the exception stack: the first comes when the stack has run over, the others at any
 * instruction. All three end in a panic, so one stack serves them. A cloud's "send diagnostic interrupt" and
 * QEMU's `nmi` arrive as an NMI: whoever sends it wants that panic.
 */
#include "local.h"
#include "selectors.h"

enum { TRAP_STUB_SIZE = 4, TRAP_STUBS_BLOCK = 32 * TRAP_STUB_SIZE + 16, VECTORS = 256 };

struct gate { /* [Intel SDM 3A figure 6-8] */
    uint16_t offset_low, selector;
    uint8_t stack, type;
    uint16_t offset_middle;
    uint32_t offset_high, reserved;
};
_Static_assert(sizeof(struct gate) == 16, "Intel SDM 3A figure 6-8");

enum { GATE_INTERRUPT = 0x8e, GATE_USER = 0x60 /* INT may name it */, EXCEPTION_STACK = 1 };

struct table_pointer {
    uint16_t limit;
    uint64_t base;
} __attribute__((packed));

static struct gate gates[VECTORS] __attribute__((aligned(16)));
static struct cpu early_cpu;
struct x64_cpu boot_x64;

bool trap_clear_ac;

/* As trap_exceptional has them. */
static const uint8_t exceptional_vectors[] = {EXCEPTION_NMI, EXCEPTION_DOUBLE_FAULT, EXCEPTION_MACHINE_CHECK};

/* Instructions of the kernel that may fault at a user address, and where it goes on then. user.S */
extern const struct {
    uint64_t instruction, after;
} fixups_start[], fixups_end[];

_Static_assert(offsetof(struct trap_frame, r15) == FRAME_R15 && offsetof(struct trap_frame, r14) == FRAME_R14 &&
                   offsetof(struct trap_frame, r13) == FRAME_R13 && offsetof(struct trap_frame, r12) == FRAME_R12 &&
                   offsetof(struct trap_frame, r10) == FRAME_R10 && offsetof(struct trap_frame, r9) == FRAME_R9 &&
                   offsetof(struct trap_frame, r8) == FRAME_R8 && offsetof(struct trap_frame, rbp) == FRAME_RBP &&
                   offsetof(struct trap_frame, rdi) == FRAME_RDI && offsetof(struct trap_frame, rsi) == FRAME_RSI &&
                   offsetof(struct trap_frame, rdx) == FRAME_RDX && offsetof(struct trap_frame, rbx) == FRAME_RBX &&
                   offsetof(struct trap_frame, rax) == FRAME_RAX && offsetof(struct trap_frame, rip) == FRAME_RIP &&
                   offsetof(struct trap_frame, vector) == FRAME_VECTOR &&
                   offsetof(struct trap_frame, rflags) == FRAME_RFLAGS &&
                   offsetof(struct trap_frame, rsp) == FRAME_RSP && sizeof(struct trap_frame) == FRAME_SIZE,
               "trap_frame.h");
_Static_assert(USER_NOWHERE == USER_TOP, "trap_frame.h");
_Static_assert(offsetof(struct user_context, frame) == 0 && FRAME_SIZE % 16 == 0, "the CPU pushes there");
_Static_assert(offsetof(struct cpu, context) == CPU_CONTEXT && offsetof(struct cpu, user_stack) == CPU_USER_STACK &&
                   offsetof(struct cpu, user_scratch) == CPU_USER_SCRATCH && offsetof(struct cpu, arch) == CPU_ARCH &&
                   offsetof(struct x64_cpu, task.rsp) == TASK_RSP0,
               "trap_frame.h");

static uintptr_t stub_of(unsigned vector)
{
    return (uintptr_t)trap_stubs + (uintptr_t)vector / 32 * TRAP_STUBS_BLOCK + (uintptr_t)vector % 32 * TRAP_STUB_SIZE;
}

struct cpu *cpu_local(void)
{
    struct cpu *cpu;

    __asm__ volatile("mov %%gs:0, %0" : "=r"(cpu));
    return cpu;
}
_Static_assert(offsetof(struct cpu, self) == 0, "cpu_local");

static void set_gate(unsigned vector, uintptr_t entry, unsigned stack)
{
    gates[vector] = (struct gate){
        .offset_low = (uint16_t)entry,
        .selector = SELECTOR_CODE,
        .stack = (uint8_t)stack,
        .type = GATE_INTERRUPT,
        .offset_middle = (uint16_t)(entry >> 16),
        .offset_high = (uint32_t)(entry >> 32),
    };
}

/* CS and SS stay what boot.S has loaded; user mode begins with nothing in the others. The task descriptor takes two
 * slots [Intel SDM 3A figure 8-4]. */
static void load_segments(struct x64_cpu *own, uint64_t exception_stack_top)
{
    uint64_t base = (uintptr_t)&own->task, limit = sizeof own->task - 1, *segments = own->segments;
    struct table_pointer pointer = {.limit = sizeof own->segments - 1, .base = (uintptr_t)segments};

    own->task.ist[EXCEPTION_STACK - 1] = exception_stack_top;
    own->task.io_map = sizeof own->task;
    segments[SELECTOR_CODE / 8] = DESCRIPTOR_CODE;
    segments[SELECTOR_DATA / 8] = DESCRIPTOR_DATA;
    segments[SELECTOR_USER_CODE / 8] = DESCRIPTOR_USER_CODE;
    segments[SELECTOR_USER_DATA / 8] = DESCRIPTOR_USER_DATA;
    segments[SELECTOR_TASK / 8] = limit | (base & 0xffffff) << 16 | UINT64_C(0x89) << 40 | (base >> 24 & 0xff) << 56;
    segments[SELECTOR_TASK / 8 + 1] = base >> 32;
    __asm__ volatile("lgdt %0" ::"m"(pointer));
    __asm__ volatile("ltr %w0" ::"r"(SELECTOR_TASK));
    __asm__ volatile("mov %0, %%ds; mov %0, %%es; mov %0, %%fs; mov %0, %%gs" ::"r"(0));
}

static void load_gates(void)
{
    struct table_pointer pointer = {.limit = sizeof gates - 1, .base = (uintptr_t)gates};

    __asm__ volatile("lidt %0" ::"m"(pointer));
}

void trap_init(void)
{
    load_segments(&boot_x64, (uintptr_t)boot_exception_stack_top);
    for (unsigned vector = 0; vector < VECTORS; vector++)
        set_gate(vector, stub_of(vector), 0);
    for (unsigned i = 0; i < sizeof exceptional_vectors / sizeof exceptional_vectors[0]; i++)
        set_gate(exceptional_vectors[i], (uintptr_t)trap_exceptional + (uintptr_t)i * TRAP_EXCEPTIONAL_SIZE,
                 EXCEPTION_STACK);
    gates[EXCEPTION_BREAKPOINT].type |= GATE_USER;
    load_gates();
    early_cpu.stack_guard = (uintptr_t)boot_stack_guard;
    early_cpu.stack_top = (uintptr_t)boot_stack_top;
    cpu_init(&early_cpu);
}

void trap_init_cpu(struct cpu *cpu)
{
    load_segments(cpu->arch, cpu->exception_stack_top);
    load_gates();
}

/* ---- Exceptions as sentences ------------------------------------------------------------------------- */

static uint64_t fault_address(void)
{
    uint64_t address;

    __asm__ volatile("mov %%cr2, %0" : "=r"(address));
    return address;
}

static bool in_stack_guard(uint64_t address)
{
    uint64_t guard = cpu_local()->stack_guard;

    return guard != 0 && address >= guard && address < guard + PAGE_SIZE;
}

static _Noreturn void page_fault(const struct trap_frame *frame)
{
    uint64_t address = fault_address(), error = frame->error;
    const char *what = (error & FAULT_FETCH) != 0 ? "execution" : (error & FAULT_WRITE) != 0 ? "write" : "read";
    const char *where = "an unmapped address";

    if (in_stack_guard(address))
        where = "the guard page below the stack: it has run over";
    else if ((error & FAULT_RESERVED) != 0)
        where = "a page whose entry has reserved bits set";
    else if ((error & FAULT_PROTECTION) != 0)
        where = (error & FAULT_FETCH) != 0   ? "memory that is not executable"
                : (error & FAULT_WRITE) != 0 ? "read-only memory"
                                             : "memory that is not the kernel's to read";
    else if (address < PAGE_SIZE)
        where = "a null pointer";
    panic_at(frame, "page fault at 0x%llx: %s of %s, instruction 0x%llx", (unsigned long long)address, what, where,
             (unsigned long long)frame->rip);
}

static _Noreturn void double_fault(const struct trap_frame *frame)
{
    uint64_t address = fault_address();

    if (in_stack_guard(address) || in_stack_guard(frame->rsp - 8))
        panic_at(frame, "the stack has run over into its guard page at 0x%llx, instruction 0x%llx",
                 (unsigned long long)address, (unsigned long long)frame->rip);
    panic_at(frame, "double fault: an exception could not be delivered, last page fault at 0x%llx, instruction 0x%llx",
             (unsigned long long)address, (unsigned long long)frame->rip);
}

static _Noreturn void exception(const struct trap_frame *frame)
{
    static const char *const names[VECTOR_EXCEPTIONS] = {
        [0] = "division by zero, or its result is too large",
        [1] = "debug exception",
        [EXCEPTION_NMI] = "non-maskable interrupt: somebody outside asked for a diagnosis, or hardware failed",
        [3] = "breakpoint",
        [4] = "overflow",
        [5] = "bound exceeded",
        [6] = "invalid instruction",
        [7] = "floating-point instruction in the kernel",
        [10] = "invalid task state",
        [11] = "segment not present",
        [12] = "stack segment fault",
        [13] = "general protection fault: a non-canonical address or a privileged operation that is refused",
        [16] = "floating-point error",
        [17] = "misaligned access",
        [EXCEPTION_MACHINE_CHECK] = "machine check: the hardware reports an error",
        [19] = "SIMD floating-point error",
        [20] = "virtualization exception",
        [21] = "control protection fault",
    };
    const char *name = names[frame->vector];

    if (frame->vector == EXCEPTION_NMI && ipi_stopping())
        ipi_stop_here();

    if (frame->vector == EXCEPTION_PAGE_FAULT)
        page_fault(frame);
    if (frame->vector == EXCEPTION_DOUBLE_FAULT)
        double_fault(frame);
    panic_at(frame, "%s (exception %llu, error code 0x%llx), instruction 0x%llx", name == NULL ? "exception" : name,
             (unsigned long long)frame->vector, (unsigned long long)frame->error, (unsigned long long)frame->rip);
}

/* A fault of the kernel's own address stays one. */
static bool fix_up(struct trap_frame *frame)
{
    if (frame->vector != EXCEPTION_PAGE_FAULT || fault_address() >= USER_TOP)
        return false;
    for (size_t i = 0; i < (size_t)(fixups_end - fixups_start); i++)
        if (fixups_start[i].instruction == frame->rip) {
            frame->rip = fixups_start[i].after;
            return true;
        }
    return false;
}

void trap_handle(struct trap_frame *frame)
{
    if (frame->vector >= VECTOR_EXCEPTIONS)
        controller_interrupt((unsigned)frame->vector);
    else if (!fix_up(frame))
        exception(frame);
}

struct user_context *trap_user(struct user_context *context)
{
    const struct trap_frame *frame = &context->frame;
    struct user_fault fault;

    if (frame->vector >= VECTOR_EXCEPTIONS) {
        controller_interrupt((unsigned)frame->vector);
        return user_interrupted(context);
    }
    fault_decode(frame->vector, frame->error, fault_address(), &fault);
    return user_faulted(context, &fault);
}

/* ---- For panic, and the log --------------------------------------------------------------------------- */

void trap_print_registers(const struct trap_frame *frame, struct printer *printer)
{
    const struct {
        const char *name;
        uint64_t value;
    } registers[] = {
        {"rax", frame->rax}, {"rbx", frame->rbx}, {"rcx", frame->rcx},    {"rdx", frame->rdx}, {"rsi", frame->rsi},
        {"rdi", frame->rdi}, {"rbp", frame->rbp}, {"rsp", frame->rsp},    {"r8 ", frame->r8},  {"r9 ", frame->r9},
        {"r10", frame->r10}, {"r11", frame->r11}, {"r12", frame->r12},    {"r13", frame->r13}, {"r14", frame->r14},
        {"r15", frame->r15}, {"rip", frame->rip}, {"rfl", frame->rflags},
    };
    enum { COUNT = sizeof registers / sizeof registers[0], PER_LINE = 3 };

    for (unsigned i = 0; i < COUNT; i++)
        print(printer, "  %s %016llx%s", registers[i].name, (unsigned long long)registers[i].value,
              i % PER_LINE == PER_LINE - 1 || i == COUNT - 1 ? "\n" : "");
}

void trap_report(const struct trap_frame *frame, struct printer *printer)
{
    trap_print_registers(frame, printer);
    print(printer, "  vector %llu  error 0x%llx  cs 0x%llx  ss 0x%llx  cr2 0x%llx\n", (unsigned long long)frame->vector,
          (unsigned long long)frame->error, (unsigned long long)frame->cs, (unsigned long long)frame->ss,
          (unsigned long long)fault_address());
}

uintptr_t trap_instruction(const struct trap_frame *frame)
{
    return frame->rip;
}

uintptr_t trap_frame_pointer(const struct trap_frame *frame)
{
    return frame->rbp;
}

static bool on_stack(uintptr_t record, uintptr_t bottom, uintptr_t top)
{
    return record >= bottom && record <= top - 2 * sizeof(uintptr_t);
}

/* There is no such register; but a call to where no code is has just left its return address on the stack. */
uintptr_t trap_link(const struct trap_frame *frame)
{
    const struct cpu *cpu = cpu_local();
    bool in_code = frame->rip >= (uintptr_t)text_start && frame->rip < (uintptr_t)text_end;

    return !in_code && frame->rsp % sizeof(uintptr_t) == 0 &&
                   on_stack(frame->rsp, cpu->stack_guard + PAGE_SIZE, cpu->stack_top)
               ? *(const uintptr_t *)frame->rsp
               : 0;
}

/* Records lie ever higher on one stack; only from the exception stack a chain may go over to the other. */
bool trap_unwind(uintptr_t *frame_pointer, uintptr_t *return_address)
{
    const struct cpu *cpu = cpu_local();
    uintptr_t record = *frame_pointer;
    bool exceptional = on_stack(record, cpu->exception_stack, cpu->exception_stack_top);

    if (record % sizeof(uintptr_t) != 0 ||
        (!exceptional && !on_stack(record, cpu->stack_guard + PAGE_SIZE, cpu->stack_top)))
        return false;

    const uintptr_t *words = (const uintptr_t *)record;
    if (words[1] == 0)
        return false;
    *return_address = words[1];
    *frame_pointer = words[0] > record || exceptional ? words[0] : 0;
    return true;
}
