# Several CPUs: locks, and what CPUs ask of each other, with threads as CPUs under the sanitizer that sees what a missing
# barrier allows.
HOST_TESTS += lock_threads
lock_threads_CFLAGS  := -Itest/host/support/fake_arch -fno-sanitize=all -fsanitize=thread -O2
lock_threads_LIBS    := -lpthread
lock_threads_DEPENDS := platform/lock.c platform/ipi.c

# How the others are started, over CPUs that come, come late, come deaf, or never.
HOST_TESTS += smp
smp_CFLAGS  := -Itest/host/support/fake_arch
smp_DEPENDS := kernel/smp.c kernel/smp_start.c kernel/smp.h kernel/kernel.h
