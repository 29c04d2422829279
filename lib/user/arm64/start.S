/* start.S: where threads of a process begin. x0: what their creator said; x1: their message buffer. */
    .section .text.program_entry, "ax"
    .global program_entry
program_entry:
    mov x29, xzr                /* backtraces end here */
    mov x30, xzr
    bl user_start
    udf #0

    .section .text.thread_entry, "ax"
    .global thread_entry
thread_entry:
    mov x29, xzr
    mov x30, xzr
    bl user_thread
    udf #0

    .section .note.GNU-stack, "", %progbits
