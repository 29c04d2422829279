/*
 * x64_user.c: an init that looks whether anything of the kernel or of another thread comes through to it, and then ends
 * by the fault that FAULT names. test_x64_user.py builds and reads it. One C file, no library.
 */
#include <vmos/abi.h>

/* What reads and writes registers as they are must be one piece; the rest is C. */
__asm__(
    ".global program_entry\n"
    "program_entry:\n"
    "xor %ebp, %ebp\n"
    "call start\n"
    "ud2\n"
    /* All registers but rax, rcx, rdx, r11 hold their own numbers across a call that fails; rax: how many do not. */
    "registers_kept:\n"
    "push %rbx\n push %rbp\n push %r12\n push %r13\n push %r14\n push %r15\n"
    "mov $1, %edi\n mov $2, %esi\n mov $3, %ebx\n mov $4, %ebp\n mov $5, %r8d\n mov $6, %r9d\n mov $7, %r10d\n"
    "mov $8, %r12d\n mov $9, %r13d\n mov $10, %r14d\n mov $11, %r15d\n"
    "pushfq\n orq $0x44400, (%rsp)\n popfq\n" /* AC, NT, DF: nothing of the kernel's business */
    "mov $1, %eax\n syscall\n"
    "pushfq\n pop %rcx\n and $0x44400, %ecx\n cmp $0x44400, %ecx\n jne 1f\n"
    "pushfq\n andq $~0x44400, (%rsp)\n popfq\n"
    "xor $1, %rdi\n xor $2, %rsi\n xor $3, %rbx\n xor $4, %rbp\n xor $5, %r8\n xor $6, %r9\n xor $7, %r10\n"
    "xor $8, %r12\n xor $9, %r13\n xor $10, %r14\n xor $11, %r15\n"
    "mov %rdi, %rax\n or %rsi, %rax\n or %rbx, %rax\n or %rbp, %rax\n or %r8, %rax\n or %r9, %rax\n"
    "or %r10, %rax\n or %r12, %rax\n or %r13, %rax\n or %r14, %rax\n or %r15, %rax\n"
    "2: pop %r15\n pop %r14\n pop %r13\n pop %r12\n pop %rbp\n pop %rbx\n ret\n"
    "1: cld\n mov $1, %eax\n jmp 2b\n"
    /* A thread: what its floating point, SIMD and selectors begin with. */
    "thread_entry:\n"
    "mov %ds, %eax\n mov %es, %ecx\n or %ecx, %eax\n mov %fs, %ecx\n or %ecx, %eax\n mov %gs, %ecx\n"
    "or %ecx, %eax\n mov %eax, selectors_seen(%rip)\n"
    "fxsave64 area_seen(%rip)\n"
    "mov %fs:0, %rax\n mov %rax, first_word_seen(%rip)\n"
    "mov %rsi, buffer_seen(%rip)\n"
    "movq %rsi, %xmm7\n fninit\n fld1\n" /* and leaves something behind */
    "movl $1, thread_done(%rip)\n"
    "mov $22, %eax\n syscall\n ud2\n");

void program_entry(void);
void thread_entry(void);
uint64_t registers_kept(void);
_Noreturn void start(const struct start_info *info, struct message_buffer *buffer);

uint8_t area_seen[512] __attribute__((aligned(64)));
uint32_t selectors_seen, thread_done;
uint64_t first_word_seen, buffer_seen;
static uint8_t thread_stack[4096] __attribute__((aligned(16))), area[512] __attribute__((aligned(64)));
static handle console;

static uint64_t call(uint64_t number, uint64_t a, uint64_t b, uint64_t c)
{
    register uint64_t result __asm__("rax") = number;

    __asm__ volatile("syscall" : "+a"(result), "+d"(c) : "D"(a), "S"(b) : "rcx", "r11", "memory");
    return result;
}

static void say(const char *text)
{
    uint64_t size = 0;

    while (text[size] != '\0')
        size++;
    call(SYSTEM_console_write, console, (uint64_t)text, size);
}

/* Copies backwards if the kernel copies with the flag that this has set. */
static void say_with_flags(const char *text, uint64_t size)
{
    uint64_t result = SYSTEM_console_write, third = size;

    __asm__ volatile("pushfq\n orq $0x44400, (%%rsp)\n popfq\n syscall\n pushfq\n andq $~0x44400, (%%rsp)\n popfq"
                     : "+a"(result), "+d"(third)
                     : "D"(console), "S"(text)
                     : "rcx", "r11", "memory", "cc");
}

static void verdict(const char *name, bool good)
{
    say(good ? "good: " : "bad: ");
    say(name);
    say("\n");
}

static bool is_console(const char *name)
{
    static const char wanted[] = "console";

    for (unsigned i = 0; i < sizeof wanted; i++)
        if (name[i] != wanted[i])
            return false;
    return true;
}

/* x87 control and status, tags, MXCSR as at the beginning; all x87 and SSE registers zero. */
static bool is_initial(const uint8_t *state)
{
    bool good = state[0] == 0x7f && state[1] == 3 && state[2] == 0 && state[3] == 0 && state[4] == 0 &&
                state[24] == 0x80 && state[25] == 0x1f && state[26] == 0 && state[27] == 0;

    for (unsigned i = 32; i < 416; i++)
        good = good && state[i] == 0;
    return good;
}

static bool run_thread(void)
{
    struct thread_parameters parameters = {.entry = (uint64_t)thread_entry,
                                           .stack = (uint64_t)thread_stack + sizeof thread_stack};

    struct thread_parameters own = {.priority = 0}; /* as the other has it, so that the two take turns */

    if (call(SYSTEM_thread_configure, 0, (uint64_t)&own, sizeof own) != STATUS_OK ||
        call(SYSTEM_thread_create, 0, (uint64_t)&parameters, sizeof parameters) != STATUS_OK)
        return false;
    /* What this thread has in its registers and flags while the other begins; the kernel's IRETQ would fault with NT.
     */
    for (unsigned i = 0; i < 100000 && *(volatile uint32_t *)&thread_done == 0; i++)
        __asm__ volatile("mov $0x1b, %%eax\n mov %%eax, %%ds\n mov %%eax, %%es\n mov %%eax, %%gs\n"
                         "pcmpeqb %%xmm5, %%xmm5\n pcmpeqb %%xmm15, %%xmm15\n fldpi\n fstp %%st(0)\n fldpi\n"
                         "mov %0, %%eax\n xor %%edi, %%edi\n pushfq\n orq $0x44400, (%%rsp)\n popfq\n syscall\n"
                         "pushfq\n andq $~0x44400, (%%rsp)\n popfq\n fstp %%st(0)" ::"i"(SYSTEM_thread_yield)
                         : "rax", "rcx", "rdx", "rdi", "r11", "xmm5", "xmm15", "memory");
    return thread_done != 0;
}

_Noreturn void start(const struct start_info *info, struct message_buffer *buffer)
{
    for (uint32_t i = 0; i < info->handle_count; i++)
        if (is_console(info->handles[i].name))
            console = info->handles[i].value;
    __asm__ volatile("fxsave64 %0" : "=m"(area));
    verdict("floating point begins clean", is_initial(area));
    verdict("a call keeps registers and flags", registers_kept() == 0);
    static const char flags[] = "good: its flags are not the kernel's\n";
    say_with_flags(flags, sizeof flags - 1);
    buffer->words[0] = 0x1234;
    uint64_t word;
    __asm__ volatile("mov %%fs:0, %0" : "=r"(word));
    verdict("the thread pointer is the message buffer", word == 0x1234);

    verdict("another thread runs", run_thread());
    verdict("its floating point begins clean", is_initial(area_seen));
    verdict("it sees no selectors of others", selectors_seen == 0);
    verdict("its thread pointer is its own", buffer_seen != (uint64_t)buffer && first_word_seen == 0);
    uint64_t seventh;
    __asm__ volatile("movq %%xmm7, %0" : "=r"(seventh));
    verdict("nothing of its SIMD registers comes back", seventh != buffer_seen);
    verdict("a bad pointer is an error",
            call(SYSTEM_console_write, console, 0x123456789000, 100) == STATUS_BAD_ADDRESS &&
                call(SYSTEM_console_write, console, UINT64_C(0xffffffff80000000), 100) == STATUS_BAD_ADDRESS);
    say("now the fault\n");
    __asm__ volatile(FAULT ::: "memory");
    for (;;)
        ;
}
