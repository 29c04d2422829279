/*
 * five_levels.S: an EFI application for x64 that switches firmware's paging from four levels to five and returns: what
 * firmware that has five levels leaves behind. It has to lie below 4 GiB. Returns an error when it finds them on.
 */
    .text
    .globl efi_main
efi_main:
    pushq %rbx
    movq %cr4, %rax
    btl $12, %eax
    movl $1, %eax
    jc 9f

    /* A page for the fifth level, below 4 GiB, that stays when this program goes: AllocatePages(AllocateMaxAddress,
     * EfiReservedMemoryType, 1, &page). */
    movq 0x60(%rdx), %rax
    movl $1, %ecx
    xorl %edx, %edx
    movl $1, %r8d
    leaq page(%rip), %r9
    subq $32, %rsp
    callq *0x28(%rax)
    addq $32, %rsp
    testq %rax, %rax
    jnz 9f

    cli
    cld
    movq page(%rip), %rbx
    pushq %rdi
    movq %rbx, %rdi
    movl $512, %ecx
    xorl %eax, %eax
    rep stosq
    popq %rdi
    movq %cr3, %rax
    orq $3, %rax
    movq %rax, (%rbx)
    sgdt firmware_gdt(%rip)
    movw %cs, firmware_code(%rip)
    movw %ss, firmware_data(%rip)
    leaq gdt(%rip), %rax
    movq %rax, gdt_pointer+2(%rip)
    lgdt gdt_pointer(%rip)
    leaq narrow(%rip), %rax
    leaq wide(%rip), %rdx
    pushq $0x08
    pushq %rax
    lretq

    .code32
narrow:
    movl $0x18, %eax
    movl %eax, %ss
    movl %cr0, %eax
    andl $0x7fffffff, %eax
    movl %eax, %cr0
    movl %cr4, %ecx
    orl $1 << 12, %ecx
    movl %ecx, %cr4
    movl %ebx, %cr3
    orl $0x80000000, %eax
    movl %eax, %cr0
    pushl $0x10
    pushl %edx
    lretl

    .code64
wide:
    lgdt firmware_gdt(%rip)
    movzwl firmware_data(%rip), %eax
    movl %eax, %ss
    movzwl firmware_code(%rip), %eax
    leaq 8f(%rip), %rdx
    pushq %rax
    pushq %rdx
    lretq
8:  sti
    xorl %eax, %eax
9:  popq %rbx
    ret

    .data
    .balign 8
page:
    .quad 0xffffffff
gdt:
    .quad 0
    .quad 0x00cf9b000000ffff        /* 32-bit code */
    .quad 0x00af9b000000ffff        /* 64-bit code */
    .quad 0x00cf93000000ffff        /* data */
gdt_pointer:
    .short 31
    .quad 0
firmware_gdt:
    .fill 10, 1, 0
firmware_code:
    .short 0
firmware_data:
    .short 0
