/*
 * audit.h: what became of authority lately: who gave what to whom, who took it away, who was refused.
 *
 * The last AUDIT_EVENTS events, in memory that is taken when the first comes. Refusals are counted, not listed: one
 * event for each process and reason, which moves to the end when it comes again, so that whoever tries handles at
 * random pushes at most four events out. The objects' lock is held in all of it but audit_report.
 */
#ifndef KERNEL_PROCESS_AUDIT_H
#define KERNEL_PROCESS_AUDIT_H

#include "object.h"

enum { AUDIT_EVENTS = 64 };

enum audit_event {                 /* who, whom */
                   AUDIT_CREATE,   /* a process: its parent, itself */
                   AUDIT_GRANT,    /* process_give: the giver, who got it */
                   AUDIT_TRANSFER, /* a handle in a message: the sender, the receiver */
                   AUDIT_REVOKE,   /* handle_revoke: who asked; all other handles of the object have ended */
                   AUDIT_END,      /* a process has ended: who ended it, or NULL for the kernel; itself */
                   AUDIT_DENIED,   /* a handle was used as it may not be: who tried */
};

/* `type` and `rights`: of the handle that it is about. `whom` may be NULL. */
void audit(enum audit_event event, const struct process *who, const struct process *whom, enum object_type type,
           uint32_t rights);
/* A use that was refused: STATUS_BAD_HANDLE, STATUS_REVOKED, STATUS_WRONG_TYPE, STATUS_DENIED; others are ignored. */
void audit_refusal(const struct process *who, enum status status);
/* All of them, oldest first. Takes the lock. */
void audit_report(struct printer *printer);

#endif
