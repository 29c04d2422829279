/* start.c: from the first instruction of a process to main(), and what it began with. */
#include "user.h"

#include <lib/string.h>

enum { ARGUMENTS_MOST = 32 };

const struct start_info *start_info;
struct message_buffer *first_buffer;

handle start_handle(const char *name)
{
    for (uint32_t i = 0; i < start_info->handle_count && i < START_HANDLES; i++)
        if (strncmp(start_info->handles[i].name, name, sizeof start_info->handles[i].name) == 0)
            return start_info->handles[i].value;
    return 0;
}

void exit(int code)
{
    for (;;)
        vmos_process_kill(0, (uint64_t)(int64_t)code);
}

void user_start(const struct start_info *info, struct message_buffer *buffer)
{
    /* C lets main() change its arguments, and what we were given is read-only. */
    static char arguments[START_ARGUMENTS_SIZE + 1];
    char *argv[ARGUMENTS_MOST + 1];
    int argc = 0;

    start_info = info;
    first_buffer = buffer;
    size_t size = info->arguments_size < START_ARGUMENTS_SIZE ? info->arguments_size : START_ARGUMENTS_SIZE;
    memcpy(arguments, info->arguments, size);
    for (size_t at = 0; at < size && argc < ARGUMENTS_MOST; at += strlen(arguments + at) + 1)
        argv[argc++] = arguments + at;
    argv[argc] = NULL;
    exit(main(argc, argv));
}
