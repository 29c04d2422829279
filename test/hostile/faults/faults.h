/* faults.h: what faults is made of. */
#ifndef FAULTS_H
#define FAULTS_H

struct fault_case {
    const char *name;
    void (*run)(void);
};

/* ARCH/arch.c: what this architecture keeps from user mode; ends with a NULL. */
extern const struct fault_case arch_faults[];

#define INSTRUCTION(function, text)                                                                                    \
    static void function(void)                                                                                         \
    {                                                                                                                  \
        __asm__ volatile(text ::: "memory");                                                                           \
    }

#endif
