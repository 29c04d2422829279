/*
 * audit.h: what became of authority lately: who gave what to whom, who took it away, who was refused.
 *
 * The last AUDIT_EVENTS events, in memory that is taken when the first comes. One that has come before, in all but its
 * time, is counted and moves to the end. Who has AUDIT_SHARE of them already replaces the oldest of his own: so nobody
 * pushes out what others did by doing much himself. The objects' lock is held in all of it but audit_report.
 */
#ifndef KERNEL_PROCESS_AUDIT_H
#define KERNEL_PROCESS_AUDIT_H

#include "object.h"

enum { AUDIT_EVENTS = 64, AUDIT_SHARE = AUDIT_EVENTS / 4 };

enum audit_event {                 /* who, whom */
                   AUDIT_CREATE,   /* a process: its parent, itself */
                   AUDIT_GRANT,    /* process_give: the giver, who got it */
                   AUDIT_TRANSFER, /* a handle in a message: the sender, the receiver */
                   AUDIT_REVOKE,   /* handle_revoke: who asked; all other handles of the object have ended */
                   AUDIT_END,      /* process_kill: who called it, whom he ended */
                   AUDIT_CRASH,    /* the process, NULL */
                   AUDIT_CONSOLE,  /* `kill` at the console: NULL, whom it ended */
                   AUDIT_DENIED,   /* a handle was used as it may not be: who tried, NULL; by audit_refusal */
};

/* `type` and `rights`: of the handle that it is about. NULL for `who`: the kernel. */
void audit(enum audit_event event, const struct process *who, const struct process *whom, enum object_type type,
           uint32_t rights);
/* A use that was refused: STATUS_BAD_HANDLE, STATUS_REVOKED, STATUS_WRONG_TYPE, STATUS_DENIED; others are ignored. */
void audit_refusal(const struct process *who, enum status status);
/* All that there were when it began, oldest first. Takes the lock. */
void audit_report(struct printer *printer);

#endif
