/* commands.h: the console's commands about processes; each writes to `out` and is described in docs/console.md. */
#ifndef KERNEL_PROCESS_COMMANDS_H
#define KERNEL_PROCESS_COMMANDS_H

struct printer;

void run_ps(struct printer *out, const char *arguments);
void run_handles(struct printer *out, const char *arguments);
void run_kill(struct printer *out, const char *arguments);
void run_spawn(struct printer *out, const char *arguments);
void run_restart(struct printer *out, const char *arguments);
void run_audit(struct printer *out, const char *arguments);

#endif
