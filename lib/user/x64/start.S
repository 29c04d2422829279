/* start.S: where threads of a process begin. rdi: what their creator said; rsi: their message buffer. */
    .section .text.program_entry, "ax"
    .global program_entry
program_entry:
    xor %ebp, %ebp              /* backtraces end here */
    and $-16, %rsp
    call user_start
    ud2

    .section .text.thread_entry, "ax"
    .global thread_entry
thread_entry:
    xor %ebp, %ebp
    and $-16, %rsp
    call user_thread
    ud2

    .section .note.GNU-stack, "", @progbits
