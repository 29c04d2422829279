/* local.h: what the files of platform/x64 share. */
#ifndef X64_LOCAL_H
#define X64_LOCAL_H

#include "calibrate.h"
#include "instructions.h"

#include <platform/boot.h>
#include <platform/clock.h>
#include <platform/cpu.h>
#include <platform/interrupt.h>
#include <platform/ipi.h>
#include <platform/mmu.h>
#include <platform/port.h>
#include <platform/serial.h>
#include <platform/user.h>

/* ---- CPUID features that decide something [Intel SDM 2A, CPUID] ---------------------------------------- */

enum cpu_feature {
    FEATURE_TSC,
    FEATURE_APIC,
    FEATURE_MCE,
    FEATURE_X2APIC,
    FEATURE_TSC_DEADLINE,
    FEATURE_RDRAND,
    FEATURE_HYPERVISOR,
    FEATURE_SMEP,
    FEATURE_SMAP,
    FEATURE_UMIP,
    FEATURE_RDSEED,
    FEATURE_NX,
    FEATURE_GIB_PAGES,
    FEATURE_INVARIANT_TSC,
    FEATURE_GLOBAL_PAGES,
    FEATURE_PCID,
    FEATURE_INVPCID,
    FEATURE_XSAVE,
    FEATURE_AVX,
    FEATURE_X87_POINTERS,
    FEATURE_CLEAR_BUFFERS,
    FEATURE_IBPB,
    FEATURE_IBPB_AMD,
    FEATURE_ARCH_CAPABILITIES,
    FEATURE_AUTOMATIC_IBRS,
    FEATURE_COUNT
};
enum vendor { /* the first letters of the name, EBX of leaf 0 */
              VENDOR_INTEL = 0x756e6547,
              VENDOR_AMD = 0x68747541,
              VENDOR_HYGON = 0x6f677948,
};
enum { /* [Intel SDM 4 table 2-2; AMD APM 2 §3.1.7] */
       MSR_EFER = 0xc0000080,
       EFER_SYSTEM_CALLS = 1 << 0,
       EFER_LONG_MODE = 1 << 8,
       EFER_NO_EXECUTE = 1 << 11,
       EFER_AUTOMATIC_IBRS = 1 << 21,
};
/* CPUID alone decides: also good where the image was loaded. */
bool cpu_has(enum cpu_feature feature);
uint32_t cpu_apic_id(void);

/* ---- mmu.c --------------------------------------------------------------------------------------------- */

extern pte boot_tables[];      /* linker.ld; the first page is the kernel's top table */
extern pte boot_fifth_level[]; /* linker.ld; above it, where firmware has left five levels on */
void mmu_detect(void);         /* before the first mmu_leaf; also where the image was loaded */
uint64_t mmu_control(void);    /* the bits of CR4 that are to be on */

/* ---- early.c ------------------------------------------------------------------------------------------- */

extern struct boot_info boot_information;
/* Called by boot.S. `argument`: what PVH gave in ebx, or the EFI handoff; `entry_counter`: the TSC at the first
 * instruction. */
uint64_t boot_early(uint64_t argument, uint64_t entry_counter, enum boot_protocol protocol);
extern char boot_switch[]; /* boot.S: the code that must be mapped where it lies */

/* ---- trap.S, trap.c --------------------------------------------------------------------------------- */

enum {
    VECTOR_EXCEPTIONS = 32,
    VECTOR_PIC = 0x20,    /* remapped out of the way; 16 of them, all masked */
    VECTOR_ROUTES = 0x30, /* + route */
    VECTOR_TIMER = 0xf0,
    VECTOR_IPI = 0xf1,
    VECTOR_ERROR = 0xfe,
    VECTOR_SPURIOUS = 0xff, /* low four bits set, as the oldest local APICs want */
};
_Static_assert(VECTOR_ROUTES + INTERRUPT_MAX_ROUTES <= VECTOR_TIMER, "each route has its vector");

enum exception { /* [Intel SDM 3A table 6-1] */
                 EXCEPTION_DIVISION = 0,
                 EXCEPTION_DEBUG = 1,
                 EXCEPTION_NMI = 2,
                 EXCEPTION_BREAKPOINT = 3,
                 EXCEPTION_OVERFLOW = 4,
                 EXCEPTION_BOUND = 5,
                 EXCEPTION_INVALID = 6,
                 EXCEPTION_NO_COPROCESSOR = 7,
                 EXCEPTION_DOUBLE_FAULT = 8,
                 EXCEPTION_NOT_PRESENT = 11,
                 EXCEPTION_STACK_SEGMENT = 12,
                 EXCEPTION_PROTECTION = 13,
                 EXCEPTION_PAGE_FAULT = 14,
                 EXCEPTION_FLOATING_POINT = 16,
                 EXCEPTION_ALIGNMENT = 17,
                 EXCEPTION_MACHINE_CHECK = 18,
                 EXCEPTION_SIMD = 19,
                 EXCEPTION_CONTROL = 21,
};

enum page_fault_error { /* [Intel SDM 3A figure 4-12] */
                        FAULT_PROTECTION = 1 << 0,
                        FAULT_WRITE = 1 << 1,
                        FAULT_USER = 1 << 2,
                        FAULT_RESERVED = 1 << 3,
                        FAULT_FETCH = 1 << 4,
};

extern char trap_stubs[];       /* blocks of 32 vectors: their stubs, then two jumps that all of them share */
extern char trap_exceptional[]; /* those of the vectors that have a stack of their own */
extern bool trap_clear_ac;      /* SMAP is on: entries execute CLAC */
extern char boot_exception_stack[], boot_exception_stack_top[];

/* What each CPU has of its own: struct cpu.arch. */
struct x64_cpu {
    struct task_state { /* [Intel SDM 3A figure 8-11] */
        uint32_t reserved0;
        uint64_t rsp[3];
        uint64_t reserved1;
        uint64_t ist[7];
        uint64_t reserved2;
        uint16_t reserved3, io_map;
    } __attribute__((packed)) task;
    uint64_t segments[7] __attribute__((aligned(8)));
    uint64_t armed_counter; /* timer.c: when the one-shot alarm was armed */
    uint32_t armed_ticks;   /* 0: it is not */
};
_Static_assert(sizeof(struct task_state) == 104, "Intel SDM 3A figure 8-11");
extern struct x64_cpu boot_x64;

void trap_init(void);                /* descriptor tables, and a struct cpu until cpu_init */
void trap_init_cpu(struct cpu *cpu); /* on each further CPU: the same tables but its own segments */
void trap_handle(struct trap_frame *frame);
/* From user mode: gives the context to go on with, or NULL. */
struct user_context *trap_user(struct user_context *context);
void trap_print_registers(const struct trap_frame *frame, struct printer *printer);

/* ---- fault.c, user.S, speculation.c --------------------------------------------------------------------------------
 */

/* What an exception in user mode means; `address` is CR2's. */
void fault_decode(uint64_t vector, uint64_t error, uint64_t address, struct user_fault *fault);

extern char user_entry[];       /* where SYSCALL comes to */
extern bool user_clear_buffers; /* VERW on each way out */
bool user_copy(void *to, const void *from, size_t size);

/* Turns on what this CPU has against speculation; docs/security.md. By the boot CPU first. */
void speculation_init_cpu(void);
/* Says in the log what is missing. */
void speculation_warn(void);
void speculation_report(struct printer *printer);

/* ---- interrupt.c, lapic.c, ioapic.c ------------------------------------------------------------------ */

/* An interrupt that is not an exception. */
void controller_interrupt(unsigned vector);

/* The ISA interrupt's line: where an override moved it, else its own number, edge and high. */
struct machine_line isa_line(const struct machine *machine, uint8_t interrupt);

enum lapic_register { /* byte offset of the memory-mapped form; MSR 0x800 + offset / 16 [Intel SDM 3A §11.4.1] */
                      LAPIC_ID = 0x20,
                      LAPIC_VERSION = 0x30,
                      LAPIC_TASK_PRIORITY = 0x80,
                      LAPIC_EOI = 0xb0,
                      LAPIC_SPURIOUS = 0xf0,
                      LAPIC_IN_SERVICE = 0x100, /* 8 registers, 0x10 apart */
                      LAPIC_ERROR_STATUS = 0x280,
                      LAPIC_COMMAND = 0x300, /* x2APIC: with the destination, 64 bits */
                      LAPIC_DESTINATION = 0x310,
                      LAPIC_LVT_TIMER = 0x320,
                      LAPIC_LVT_THERMAL = 0x330,
                      LAPIC_LVT_PERFORMANCE = 0x340,
                      LAPIC_LVT_LINT0 = 0x350,
                      LAPIC_LVT_LINT1 = 0x360,
                      LAPIC_LVT_ERROR = 0x370,
                      LAPIC_TIMER_INITIAL = 0x380,
                      LAPIC_TIMER_CURRENT = 0x390,
                      LAPIC_TIMER_DIVIDE = 0x3e0,

                      LAPIC_LVT_MASKED = 1 << 16,
                      LAPIC_LVT_NMI = 4 << 8,
                      LAPIC_LVT_DEADLINE = 2 << 17, /* timer mode; 0 is one-shot */
};

bool lapic_init(const struct machine *machine); /* false: this CPU has none that can be used */
bool lapic_init_cpu(const struct machine *machine);
enum lapic_command { /* [Intel SDM 3A figure 11-12]; the vector in the low byte */
                     LAPIC_FIXED = 0x4000,
                     LAPIC_NMI = 0x4400,
                     LAPIC_INIT = 0x4500,
                     LAPIC_STARTUP = 0x4600,
};
/* To one CPU. False: the one before has not gone out within a millisecond, or xAPIC cannot name that CPU. */
bool lapic_command(uint32_t apic_id, uint32_t command);
bool lapic_reaches(uint32_t apic_id);
bool lapic_present(void);
uint32_t lapic_read(enum lapic_register offset);
void lapic_write(enum lapic_register offset, uint32_t value);
void lapic_end(void); /* end of interrupt */
uint32_t lapic_id(void);
void lapic_report(struct printer *printer);

/* Maps every I/O APIC that firmware names, or else the one at the usual place; all lines are masked. */
void ioapic_init(const struct machine *machine);
/* Redirects the line to this vector on the CPU with this APIC ID; masked. STATUS_NOT_FOUND: no I/O APIC has it. */
enum status ioapic_route(const struct machine_line *line, uint8_t vector, uint32_t apic_id);
void ioapic_mask(uint32_t line);
void ioapic_unmask(uint32_t line);
void ioapic_report(struct printer *printer);

/* ---- reference.c --------------------------------------------------------------------------------------- */

/* The index-th kind, best first, set up and running; false when the machine does not have it. */
bool reference_start(unsigned index, const struct machine *machine, struct reference *reference);
enum { REFERENCE_KINDS = 4 };

#endif
