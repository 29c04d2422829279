# platform/x64: what can be shown without the machine. The controllers' test includes them and plays instructions.h.
HOST_TESTS += calibrate x64_controllers
calibrate_SOURCES       := platform/x64/calibrate.c
x64_controllers_DEPENDS := $(addprefix platform/x64/,lapic.c ioapic.c interrupt.c local.h)
x64_controllers_CFLAGS  := -Iplatform/x64
