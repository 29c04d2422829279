# Programs, which run in user mode, and the initial ramdisk that they are packed into.
#
# service/NAME/*.c becomes $B/service/NAME.elf, a static-PIE ELF file, and in the ramdisk bin/NAME, without what only a
# debugger reads, and bin/NAME.sym, its symbol table as tools/make-symbols writes it. What every program is linked with
# (lib/user/, lib/) is compiled for user mode apart from the kernel's, floating point and SIMD allowed; what a program
# does not call is left out.

SERVICES := $(sort $(notdir $(patsubst %/,%,$(dir $(wildcard service/*/*.c)))))

USER_CFLAGS := $(filter-out $(ARCH_CFLAGS),$(CFLAGS)) $(ARCH_USER_CFLAGS)
USER_WHOLE   = $(if $(filter lib/string.c lib/user/%/calls.c,$1),,-flto)
USER_SOURCES := $(addprefix lib/,chacha20.c cpio.c elf.c manifest.c print.c printf.c status.c string.c text.c) \
                $(wildcard lib/user/*.c lib/user/$(ARCH)/*.c lib/user/$(ARCH)/*.S)
USER_OBJECTS := $(USER_SOURCES:%=$B/user/%.o)
USER_ROOM     = build/rooms/$(if $(filter lib/%,$1),user,service)

# A file's own flags, CFLAGS_FILE, are for the kernel, which has other cares than size here and there.
CFLAGS_user/lib/string.c := -fno-builtin
CFLAGS_user/lib/chacha20.c := -O2

$B/user/%.c.o: %.c build/rooms/user/.made build/rooms/service/.made platform/$(ARCH)/arch.mk
	@mkdir -p $(@D)
	$(if $(V),,@echo "  CC  $< (user)")
	$Q$(CC) $(USER_CFLAGS) $(call USER_WHOLE,$<) $(CFLAGS_user/$<) -I$(call USER_ROOM,$<) \
	  $(if $(filter lib/user/%,$<),-Ilib/user/$(ARCH)) $(if $(filter test/hostile/%,$<),-I$(dir $(patsubst %/,%,$(dir $<)))) -c $< -o $@

$B/user/%.S.o: %.S
	@mkdir -p $(@D)
	$(if $(V),,@echo "  AS  $< (user)")
	$Q$(CC) $(filter-out -std=c11,$(USER_CFLAGS)) -c $< -o $@

USER_LINK := $(LD) -O2 --icf=all -pie -static --no-dynamic-linker -nostdlib -z max-page-size=4096 -z noexecstack \
             -z text -z rodynamic --gc-sections --build-id=none --hash-style=gnu -e program_entry $(ARCH_LDFLAGS)

# $(call program,FOLDER): its objects.
program = $(patsubst %,$B/user/%.o,$(sort $(wildcard $1/*.c)))

# Programs for tests, test/program/NAME/*.c, become $B/test/NAME.elf in the same way.
TEST_FOLDERS := $(sort $(patsubst %/,%,$(dir $(wildcard test/program/*/*.c))))

define PROGRAM
$B/$1/$(notdir $2).elf: $(call program,$2) $(USER_OBJECTS) service/service.mk
	@mkdir -p $$(@D)
	$$(if $$(V),,@echo "  LD  $$@")
	$$Q$$(USER_LINK) $$(filter %.o,$$^) -o $$@
endef
$(foreach s,$(SERVICES),$(eval $(call PROGRAM,service,service/$s)))
$(foreach f,$(TEST_FOLDERS),$(eval $(call PROGRAM,test,$f)))

$B/%.bin: $B/%.elf
	$Qllvm-strip-$(LLVM) --strip-all --strip-sections $< -o $@
$B/%.sym: $B/%.elf tools/make-symbols
	$Qtools/make-symbols --binary $< $@

# Programs that do their worst: tests make them, and put them into ramdisks of their own.
$B/hostile/%.elf: $B/user/test/hostile/$(ARCH)/%.c.o $(USER_OBJECTS)
	@mkdir -p $(@D)
	$(if $(V),,@echo "  LD  $@")
	$Q$(USER_LINK) $^ -o $@

# The initial ramdisk: a cpio archive of service/initrd and the programs, the same bytes for the same files.
PROGRAMS      := $(SERVICES:%=$B/service/%)
TEST_PROGRAMS := $(patsubst %,$B/test/%,$(notdir $(TEST_FOLDERS)))
packed         = $(foreach p,$1,bin/$(notdir $p)=$p.bin bin/$(notdir $p).sym=$p.sym)

$B/initrd.img: $(shell find service/initrd -type f) tools/make-initrd $(PROGRAMS:=.bin) $(PROGRAMS:=.sym)
	@mkdir -p $(@D)
	$Qtools/make-initrd service/initrd $@ $(call packed,$(PROGRAMS))

# The one for tests has the test programs too, and starts nothing.
$B/test-initrd.img: $(shell find test/program/initrd -type f) tools/make-initrd \
                    $(foreach p,$(PROGRAMS) $(TEST_PROGRAMS),$p.bin $p.sym)
	$Qtools/make-initrd test/program/initrd $@ $(call packed,$(PROGRAMS) $(TEST_PROGRAMS))

-include $(USER_OBJECTS:.o=.d) $(foreach f,$(SERVICES:%=service/%) $(TEST_FOLDERS),$(patsubst %.o,%.d,$(call program,$f)))
