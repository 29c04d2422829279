/* start.S: where threads of a process begin. a0: what their creator said; a1: their message buffer. */
    .section .text.program_entry, "ax"
    .global program_entry
program_entry:
    .option push
    .option norelax             /* this is what relaxation relies on */
    lla gp, __global_pointer$
    .option pop
    mv s0, zero                 /* backtraces end here */
    mv ra, zero
    call user_start
    unimp

    .section .text.thread_entry, "ax"
    .global thread_entry
thread_entry:
    .option push
    .option norelax
    lla gp, __global_pointer$
    .option pop
    mv s0, zero
    mv ra, zero
    call user_thread
    unimp

    .section .note.GNU-stack, "", %progbits
