# Tests of the chips that platform/rv64 drives and that the host can model. The 16550 is everybody's.
HOST_TESTS += ns16550
ns16550_SOURCES := platform/ns16550.c

HOST_TESTS += rv64_controllers
rv64_controllers_SOURCES := platform/rv64/plic.c platform/rv64/aplic.c
rv64_controllers_CFLAGS  := -Iplatform/rv64

HOST_TESTS += rv64_instruction
rv64_instruction_SOURCES := platform/rv64/instruction.c
