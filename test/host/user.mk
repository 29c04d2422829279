# Tests of what programs are linked with, lib/user/. The heap stands beside the C library's own.
HOST_TESTS           += user_malloc user_call user_console user_spawn
user_malloc_DEPENDS  := lib/user/malloc.c lib/user/user.h
user_malloc_CFLAGS   := -Ilib/user
user_call_DEPENDS    := lib/user/call.c lib/user/user.h
user_call_CFLAGS     := -Ilib/user
user_console_DEPENDS := lib/user/console.c lib/user/user.h
user_console_CFLAGS  := -Ilib/user
user_spawn_SOURCES   := lib/elf.c lib/text.c
user_spawn_DEPENDS   := lib/user/spawn.c lib/user/user.h build/host/elf/x64.elf
user_spawn_CFLAGS    := -Ilib/user -Ilib/user/x64
