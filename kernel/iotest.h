/* iotest.h: a load for any disk, whose every byte can be checked from outside; iotest.c says how. */
#ifndef KERNEL_IOTEST_H
#define KERNEL_IOTEST_H

#include <lib/printf.h>

/* The console's command: prints what came of it. */
void iotest(struct printer *out, const char *arguments);

#endif
