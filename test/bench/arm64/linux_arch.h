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
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    register long x4 __asm__("x4") = e;
    register long x5 __asm__("x5") = f;

    __asm__ volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
    return x0;
}

/* The kernel leaves argc and all behind it at the stack pointer. */
__asm__(".global _start\n_start:\n\tmov x0, sp\n\tbl bench_main\n");

#endif
