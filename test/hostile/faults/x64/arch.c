/* arch.c: instructions that are the kernel's, and such that are nobody's, on x64 [SDM vol. 3 §5.9]. */
#include "faults.h"

#include <stddef.h>
#include <stdint.h>

INSTRUCTION(disable_interrupts, "cli")
INSTRUCTION(enable_interrupts, "sti")
INSTRUCTION(halt, "hlt")
INSTRUCTION(read_port, "inb $0x60, %%al")
INSTRUCTION(write_port, "outb %%al, $0x80")
INSTRUCTION(read_cr0, "mov %%cr0, %%rax")
INSTRUCTION(write_cr3, "mov %%rax, %%cr3")
INSTRUCTION(read_debug, "mov %%dr7, %%rax")
INSTRUCTION(read_msr, "mov $0xc0000082, %%ecx; rdmsr")
INSTRUCTION(write_msr, "mov $0xc0000082, %%ecx; wrmsr")
INSTRUCTION(invalidate, "invlpg (%%rsp)")
INSTRUCTION(load_gdt, "lgdt (%%rsp)")
INSTRUCTION(swap_gs, "swapgs")
INSTRUCTION(return_from_call, "sysretq")
INSTRUCTION(set_xcr, "xor %%ecx, %%ecx; xsetbv")
INSTRUCTION(allow_access, "stac")
INSTRUCTION(undefined, "ud2")
INSTRUCTION(divide, "xor %%ecx, %%ecx; mov $1, %%eax; cltd; idiv %%ecx")
INSTRUCTION(interrupt_kernel, "int $32")
INSTRUCTION(page_fault_by_hand, "int $14")
INSTRUCTION(not_canonical, "movabs $0x8000000000000000, %%rax; mov (%%rax), %%rax")
INSTRUCTION(to_kernel_segment,
            "pushq $0x10; pushq %%rsp; pushfq; pushq $0x8; lea 1f(%%rip), %%rax; pushq %%rax; iretq; 1:")
INSTRUCTION(float_exception, "pushq $0; ldmxcsr (%%rsp); pxor %%xmm0, %%xmm0; divss %%xmm0, %%xmm0")
INSTRUCTION(lock_prefix, ".byte 0xf0, 0x90")

const struct fault_case arch_faults[] = {{"cli", disable_interrupts},
                                         {"sti", enable_interrupts},
                                         {"hlt", halt},
                                         {"in", read_port},
                                         {"out", write_port},
                                         {"read-cr0", read_cr0},
                                         {"write-cr3", write_cr3},
                                         {"read-dr7", read_debug},
                                         {"rdmsr", read_msr},
                                         {"wrmsr", write_msr},
                                         {"invlpg", invalidate},
                                         {"lgdt", load_gdt},
                                         {"swapgs", swap_gs},
                                         {"sysret", return_from_call},
                                         {"xsetbv", set_xcr},
                                         {"stac", allow_access},
                                         {"ud2", undefined},
                                         {"divide", divide},
                                         {"int-32", interrupt_kernel},
                                         {"int-14", page_fault_by_hand},
                                         {"not-canonical", not_canonical},
                                         {"iret", to_kernel_segment},
                                         {"float", float_exception},
                                         {"lock-nop", lock_prefix},
                                         {NULL, NULL}};
