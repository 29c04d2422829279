# The model behind test/hostile/sequences, with the kernel's own rules.
HOST_TESTS += sequences
sequences_SOURCES := test/hostile/sequences/model.c kernel/process/rules.c lib/printf.c
sequences_CFLAGS  := -Itest/hostile -Ikernel/process
sequences_DEPENDS := test/hostile/sequences/model.h kernel/process/rules.h
