/*
 * start.h: the first process. The kernel loads bin/init from the initial ramdisk; everything else that runs in user
 * mode is init's to load.
 */
#ifndef KERNEL_PROCESS_START_H
#define KERNEL_PROCESS_START_H

#include "ipc.h"

/* Once, with all CPUs and drivers up. When there is no init, or none that can run, a sentence says so. */
void init_start(void);
/* Waits until init has started what the manifest names, with a deadline, and says how much of it runs. */
void init_wait(void);
/* By the boot CPU's own thread, now and then: says that init has ended, and starts it again, INIT_RESTARTS times at
 * most. True: did something. */
enum { INIT_RESTARTS = 3 };
bool init_look(void);
/* Where init takes requests (vmos/control.h); NULL: no init runs. Good as long as the boot CPU's own thread does not
 * call init_look. */
struct endpoint *init_control(void);

#endif
