# The programs of `make bench`: what vmos and Linux take for the same. Included by the Makefile.
#
# $B/bench-initrd.img has test/bench/vmos as init; $B/bench-linux is a static program without a C library.

BENCH_ROUNDS ?= 10000
BENCH_VMOS   := $B/user/test/bench/vmos/main.c.o
CFLAGS_user/test/bench/vmos/main.c := -Itest/bench/$(ARCH)
BENCH_LINUX_x64   := x86_64-linux-gnu
BENCH_LINUX_arm64 := aarch64-linux-gnu
BENCH_LINUX_rv64  := riscv64-linux-gnu -march=rv64gc -mabi=lp64d

$B/bench/init.elf: $(BENCH_VMOS) $(USER_OBJECTS)
	@mkdir -p $(@D)
	$(if $(V),,@echo "  LD  $@")
	$Q$(USER_LINK) $(filter %.o,$^) -o $@
$(BENCH_VMOS): test/bench/$(ARCH)/bench_arch.h

$B/bench-initrd.img: $B/bench/init.bin tools/make-initrd FORCE
	$Qrm -rf $B/bench/initrd && mkdir -p $B/bench/initrd && echo $(BENCH_ROUNDS) > $B/bench/initrd/bench.conf
	$Qecho '# vmos.conf: no drivers; init measures.' > $B/bench/initrd/vmos.conf
	$Qtools/make-initrd $B/bench/initrd $@ bin/init=$<

$B/bench-linux: test/bench/linux/main.c test/bench/$(ARCH)/bench_arch.h test/bench/$(ARCH)/linux_arch.h
	@mkdir -p $(@D)
	$(if $(V),,@echo "  CC  $<")
	$Q$(CC) --target=$(BENCH_LINUX_$(ARCH)) -std=gnu11 -O2 $(WARNINGS) -ffreestanding -fno-stack-protector -fno-pic \
	  -Itest/bench/$(ARCH) -c $< -o $@.o
	$Q$(LD) -static -e _start --build-id=none $@.o -o $@

##   make bench       instructions per operation, on vmos and on Debian's Linux in the same QEMU; build/bench/*.csv
.PHONY: bench
bench: setup
	$Q$(foreach a,$(ARCHES),$(MAKE) --no-print-directory ARCH=$a all build/$a/bench-initrd.img build/$a/bench-linux &&) true
	$Qtools/bench
-include $(BENCH_VMOS:.o=.d)
