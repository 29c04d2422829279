/*
 * control.h: what the kernel's console asks of init, at the Endpoint that init gets as its start handle "control".
 *
 * One call at a time, without handles; the console waits for two seconds and then goes on without an answer, so init
 * answers before it does what takes longer. Whoever holds the Endpoint's receiving end believes nothing of a request:
 * names and arguments are what somebody typed.
 *
 *     request    label: enum control_request_label    bytes: struct control_request
 *     answer     label: enum status                   bytes: struct control_answer, or none
 */
#ifndef VMOS_CONTROL_H
#define VMOS_CONTROL_H

#include <vmos/abi.h>

enum control_request_label {
    CONTROL_SPAWN = 1,   /* starts bin/NAME: as the manifest says, or, where it says nothing, as init's defaults do;
                          * arguments, if there are any, take the place of the manifest's. STATUS_BUSY: it runs */
    CONTROL_RESTART = 2, /* ends NAME if it runs, and starts it anew, whatever its policy says and however often it has
                          * crashed. STATUS_NOT_FOUND: init has never started it */
    CONTROL_KILL = 3,    /* ends NAME for good: no policy restarts it. (The console's `kill` needs no init: it ends the
                          * process with END_CONSOLE, which init takes in the same way.) */
    CONTROL_READY = 4,   /* answered when everything that the manifest starts was started, or could not be; the text
                          * says how many were: "3 of 3 services were started". The name is not looked at */
};

struct control_request {
    char name[NAME_SIZE]; /* terminated */
    char arguments[32];   /* words with a space between, terminated; empty: none */
};

struct control_answer {
    uint64_t process_id; /* of what was started or ended; 0: nothing was */
    char text[48];       /* terminated: a phrase that says more than the status, "bin/hello is no program"; or empty */
};

/* They go in one message, beside nothing. */
_Static_assert(sizeof(struct control_request) == 56 && sizeof(struct control_answer) == 56, "control.h: too long");

#endif
