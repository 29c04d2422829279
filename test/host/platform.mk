# The generic part of platform/: both tests include the source itself, to start each case afresh.
HOST_TESTS += clock interrupt
clock_DEPENDS     := platform/clock.c platform/clock.h
interrupt_DEPENDS := platform/interrupt.c platform/interrupt.h
