/*
 * pager.h: what a command says, on its way to the console: in pages when somebody wants it so, and no further than
 * Ctrl-C. Scripts get everything: pages are off until `page` asks for them.
 */
#ifndef KERNEL_PAGER_H
#define KERNEL_PAGER_H

#include <lib/printf.h>

/* For one command: from here on nothing has been said. */
struct printer *pager_begin(void);
/* `page [on|off|LINES]` */
void pager_command(struct printer *out, const char *arguments);

#endif
