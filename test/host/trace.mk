# The flight recorder, with threads as CPUs under the sanitizer that sees what a missing barrier allows.
HOST_TESTS += trace_threads
trace_threads_CFLAGS  := -Itest/host/support/fake_arch -fno-sanitize=all -fsanitize=thread -O2
trace_threads_LIBS    := -lpthread
trace_threads_DEPENDS := kernel/trace.c
