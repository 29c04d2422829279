/* linux_arch.h: Linux's system calls on this architecture: numbers and registers [syscall(2)]. */
#ifndef LINUX_ARCH_H
#define LINUX_ARCH_H

enum {
    LINUX_EVENTFD2 = 19,
    LINUX_CLOSE = 57,
    LINUX_PIPE2 = 59,
    LINUX_READ = 63,
    LINUX_WRITE = 64,
    LINUX_EXIT_GROUP = 94,
    LINUX_NANOSLEEP = 101,
    LINUX_YIELD = 124,
    LINUX_KILL = 129,
    LINUX_REBOOT = 142,
    LINUX_GETPID = 172,
    LINUX_MUNMAP = 215,
    LINUX_CLONE = 220,
    LINUX_EXECVE = 221,
    LINUX_MMAP = 222,
    LINUX_WAIT4 = 260,
};

static inline long linux_call(long number, long a, long b, long c, long d, long e, long f)
{
    register long a7 __asm__("a7") = number;
    register long a0 __asm__("a0") = a;
    register long a1 __asm__("a1") = b;
    register long a2 __asm__("a2") = c;
    register long a3 __asm__("a3") = d;
    register long a4 __asm__("a4") = e;
    register long a5 __asm__("a5") = f;

    __asm__ volatile("ecall" : "+r"(a0) : "r"(a7), "r"(a1), "r"(a2), "r"(a3), "r"(a4), "r"(a5) : "memory");
    return a0;
}

/* The kernel leaves argc and all behind it at the stack pointer. */
__asm__(".global _start\n_start:\n\t.option push\n\t.option norelax\n\tmv a0, sp\n\tcall bench_main\n\t.option pop\n");

#endif
