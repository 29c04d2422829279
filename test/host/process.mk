# Kernel objects: the rules alone, and the rest over a machine that is played (test/host/support/object_world.h).
OBJECT_SOURCES := kernel/process/rules.c kernel/process/object.c kernel/process/handle.c kernel/process/memory.c \
                  kernel/process/process.c memory/space.c memory/frames.c platform/pagetable.c \
                  test/host/support/object_world.c test/host/support/fake_arch/fake_mmu.c
OBJECT_CFLAGS  := -Itest/host/support/fake_arch
OBJECT_LIBS    := -Wl,--wrap=malloc -Wl,--wrap=calloc -Wl,--wrap=free
OBJECT_HEADERS := $(wildcard kernel/process/*.h) kernel/trace.h kernel/random.h

HOST_TESTS += object_rules handle space process process_ledger
object_rules_SOURCES := kernel/process/rules.c
object_rules_DEPENDS := kernel/process/rules.h

define OBJECT_TEST
$1_SOURCES = $$(OBJECT_SOURCES)
$1_CFLAGS  := $$(OBJECT_CFLAGS)
$1_LIBS    := $$(OBJECT_LIBS)
$1_DEPENDS := $$(OBJECT_HEADERS)
endef
$(foreach t,handle space process process_ledger,$(eval $(call OBJECT_TEST,$t)))

# What processes write; the log shows under which circumstances.
HOST_TESTS += console_write
console_write_SOURCES = $(OBJECT_SOURCES) kernel/process/console_write.c kernel/process/names.c
console_write_CFLAGS  := $(OBJECT_CFLAGS)
console_write_LIBS    := $(OBJECT_LIBS) -Wl,--wrap=log_line
console_write_DEPENDS := $(OBJECT_HEADERS)

HOST_TESTS += audit
audit_SOURCES = $(OBJECT_SOURCES) kernel/process/names.c lib/text.c
audit_CFLAGS  := $(OBJECT_CFLAGS)
audit_LIBS    := $(OBJECT_LIBS)
audit_DEPENDS := $(OBJECT_HEADERS) kernel/process/audit.c

HOST_TESTS += crash
crash_SOURCES = $(OBJECT_SOURCES) kernel/process/crash.c kernel/process/names.c lib/text.c
crash_CFLAGS  := $(OBJECT_CFLAGS)
crash_LIBS    := $(OBJECT_LIBS) -Wl,--wrap=log_line
crash_DEPENDS := $(OBJECT_HEADERS) kernel/symbols.h

# The real threads and IPC on CPUs that take turns.
HOST_TESTS += process_schedules
process_schedules_SOURCES = $(OBJECT_SOURCES) kernel/process/thread.c kernel/process/scheduler.c kernel/process/ipc.c \
                            kernel/process/notification.c kernel/process/trap.c test/host/support/schedule_checks.c
process_schedules_CFLAGS  := $(OBJECT_CFLAGS) -pthread
process_schedules_LIBS    := $(OBJECT_LIBS)
process_schedules_DEPENDS := $(OBJECT_HEADERS)

# The system calls, over the real threads and IPC on one CPU.
HOST_TESTS += syscall
syscall_SOURCES = $(OBJECT_SOURCES) kernel/process/thread.c kernel/process/scheduler.c kernel/process/ipc.c \
                  kernel/process/notification.c kernel/process/syscall.c kernel/process/console_write.c \
                  kernel/process/names.c test/host/support/syscall_scene.c
syscall_CFLAGS  := $(OBJECT_CFLAGS)
syscall_LIBS    := $(OBJECT_LIBS)
syscall_DEPENDS := $(OBJECT_HEADERS)
