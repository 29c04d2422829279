# Hostile programs, and the ramdisk that they are run from: $B/hostile-initrd.img.
#
# test/hostile/NAME/*.c, with what lies in NAME/ARCH/ and test/hostile/*.c, is a program like those in service/; runner
# takes init's place. What the rules say is asked of the kernel's own file, compiled once more for user mode.

.SECONDEXPANSION:

HOSTILE         := $(filter-out $(ARCHES),$(sort $(notdir $(patsubst %/,%,$(dir $(wildcard test/hostile/*/*.c))))))
HOSTILE_OBJECTS := $(patsubst %,$B/user/%.o,$(wildcard test/hostile/*.c) kernel/process/rules.c)
HOSTILE_FILES   := $(foreach h,$(HOSTILE),$B/test/hostile/$h.bin $B/test/hostile/$h.sym)

# The rules are the kernel's own.
CFLAGS_user/test/hostile/sequences/model.c := -Ikernel/process

hostile_program = $(patsubst %,$B/user/%.o,$(sort $(wildcard test/hostile/$1/*.c test/hostile/$1/$(ARCH)/*.c)))

$B/test/hostile/%.elf: $$(call hostile_program,$$*) $$(if $$(filter runner,$$*),,$(HOSTILE_OBJECTS)) $(USER_OBJECTS)
	@mkdir -p $(@D)
	$(if $(V),,@echo "  LD  $@")
	$Q$(USER_LINK) $(filter %.o,$^) -o $@

$B/hostile-initrd.img: test/hostile/vmos.conf tools/make-initrd $(HOSTILE_FILES)
	$Qrm -rf $B/test/hostile/initrd && mkdir -p $B/test/hostile/initrd && cp $< $B/test/hostile/initrd/vmos.conf
	$Qtools/make-initrd $B/test/hostile/initrd $@ bin/init=$B/test/hostile/runner.bin bin/init.sym=$B/test/hostile/runner.sym \
	  $(foreach h,$(filter-out runner,$(HOSTILE)),bin/$h=$B/test/hostile/$h.bin bin/$h.sym=$B/test/hostile/$h.sym)

-include $(HOSTILE_OBJECTS:.o=.d) $(foreach h,$(HOSTILE),$(patsubst %.o,%.d,$(call hostile_program,$h)))
