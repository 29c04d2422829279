# platform/x64: what can be shown without the machine. The controllers' test includes them and plays instructions.h.
HOST_TESTS += calibrate x64_controllers x64_user
calibrate_SOURCES       := platform/x64/calibrate.c
x64_controllers_DEPENDS := $(addprefix platform/x64/,lapic.c ioapic.c interrupt.c local.h)
x64_controllers_CFLAGS  := -Iplatform/x64
x64_user_DEPENDS        := $(addprefix platform/x64/,fault.c speculation.c user.c user_context.h trap_frame.h local.h)
x64_user_CFLAGS         := -Iplatform/x64
