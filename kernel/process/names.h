/* names.h: objects, rights, states and ends in words, for the log and the console. */
#ifndef KERNEL_PROCESS_NAMES_H
#define KERNEL_PROCESS_NAMES_H

#include "thread.h"

const char *object_type_name(unsigned type); /* enum object_type: "process", ...; never NULL */
const char *process_state_name(unsigned state);
const char *process_end_name(unsigned end); /* "killed at the console", ... */

/* A letter for each right in its place, a dash where it is missing: "rwxsacvmidt". */
enum { RIGHTS_TEXT_SIZE = 12 };
void rights_text(uint32_t rights, char text[RIGHTS_TEXT_SIZE]);

/* "hello[7]": what a process is called in the log. */
enum { PROCESS_TEXT_SIZE = NAME_SIZE + 24 };
void process_text(const struct process *process, char text[PROCESS_TEXT_SIZE]);

#endif
