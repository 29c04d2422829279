/* linux_arch.h: Linux's system calls on this architecture: numbers and registers [syscall(2)]. */
#ifndef LINUX_ARCH_H
#define LINUX_ARCH_H

enum {
    LINUX_READ = 0,
    LINUX_WRITE = 1,
    LINUX_CLOSE = 3,
    LINUX_MMAP = 9,
    LINUX_MUNMAP = 11,
    LINUX_YIELD = 24,
    LINUX_NANOSLEEP = 35,
    LINUX_GETPID = 39,
    LINUX_CLONE = 56,
    LINUX_EXECVE = 59,
    LINUX_WAIT4 = 61,
    LINUX_KILL = 62,
    LINUX_REBOOT = 169,
    LINUX_EXIT_GROUP = 231,
    LINUX_EVENTFD2 = 290,
    LINUX_PIPE2 = 293,
};

static inline long linux_call(long number, long a, long b, long c, long d, long e, long f)
{
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;

    __asm__ volatile("syscall"
                     : "+a"(number)
                     : "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return number;
}

/* The kernel leaves argc and all behind it at the stack pointer. */
__asm__(".global _start\n_start:\n\tmov %rsp, %rdi\n\tand $-16, %rsp\n\tcall bench_main\n");

#endif
