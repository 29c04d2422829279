# Tests of memory: the frame allocator, the heap, page tables, the kernel's address space. The last two run on a
# processor that does not exist: test/host/support/fake_arch.
HOST_TESTS += frames heap pagetable vm
frames_SOURCES    := memory/frames.c
frames_CFLAGS     := -Itest/host/support/fake_arch
heap_DEPENDS      := memory/heap.c
heap_CFLAGS       := -Itest/host/support/fake_arch
pagetable_SOURCES := platform/pagetable.c test/host/support/fake_arch/fake_mmu.c
pagetable_CFLAGS  := -Itest/host/support/fake_arch
# The kernel image of vm's test is the test program itself.
vm_SOURCES := memory/frames.c platform/pagetable.c test/host/support/fake_arch/fake_mmu.c
vm_DEPENDS := memory/vm.c
vm_CFLAGS  := -Itest/host/support/fake_arch
vm_LIBS    := -Wl,--defsym=image_start=__executable_start -Wl,--defsym=image_end=_end \
              -Wl,--defsym=boot_code_start=__executable_start+0x3000 -Wl,--defsym=boot_code_end=__executable_start+0x8000 \
              -Wl,--defsym=boot_stack_guard=__executable_start+0xa000 \
              -Wl,--defsym=boot_exception_guard=__executable_start+0xc000 \
              -Wl,--defsym=boot_exception_guard_end=__executable_start+0xd000 \
              -Wl,--defsym=boot_bss_start=__executable_start+0xe000 -Wl,--defsym=boot_bss_end=__executable_start+0x10000
