# Disks that firmware boots, and the same disk as each cloud imports it. Included by the Makefile.
#
# IMAGE_SIZE=256M is another size, IMAGE_CONF=FILE another \vmos\vmos.conf (the kernel's command line is in it).
# The same commit gives the same bytes. Clouds' disks have whole GiB, and the backup GPT belongs at a disk's end: the
# disk for clouds is the same but for its size.

IMAGE_CONF ?=
IMAGE_TIME  := $(or $(SOURCE_DATE_EPOCH),$(shell git log -1 --format=%ct 2>/dev/null),315532800)

IMAGE_ASKED := $(IMAGE_SIZE) $(IMAGE_CONF) $(IMAGE_TIME)
IMAGE       := $B/vmos-$(ARCH).img
IMAGE_CLOUD := $B/vmos-$(ARCH)-cloud.img
$(IMAGE):       DISK_SIZE := $(or $(IMAGE_SIZE),64M)
$(IMAGE_CLOUD): DISK_SIZE := $(or $(IMAGE_SIZE),1G)

##   make image       [ARCH=..] build/ARCH/vmos-ARCH.img, a GPT disk that UEFI firmware boots
##   make image-gcp   image-aws, image-azure: the same disk as each cloud imports it
##   make run-disk    [ARCH=..] boots that disk through UEFI firmware in QEMU; Ctrl-A X leaves
.PHONY: image image-gcp image-aws image-azure run-disk

# What is not in a file: a change of it makes the disk anew.
$B/image-asked: FORCE
	@mkdir -p $(@D); echo '$(IMAGE_ASKED)' | cmp -s - $@ || \
	  echo '$(IMAGE_ASKED)' > $@

$(IMAGE) $(IMAGE_CLOUD): $B/kernel-$(ARCH).efi $B/initrd.img $(IMAGE_CONF) tools/make-image $B/image-asked
	$QSOURCE_DATE_EPOCH=$(IMAGE_TIME) tools/make-image $(if $(IMAGE_CONF),--conf $(IMAGE_CONF)) \
	  $(ARCH) $B/kernel-$(ARCH).efi $B/initrd.img $@ $(DISK_SIZE)

$B/vmos-$(ARCH)-gcp.tar.gz: $(IMAGE_CLOUD) tools/pack-image
	$QSOURCE_DATE_EPOCH=$(IMAGE_TIME) tools/pack-image gcp $< $@
$B/vmos-$(ARCH)-aws.raw: $(IMAGE_CLOUD)
	$Qcp --sparse=always $< $@
$B/vmos-$(ARCH)-aws.vmdk: $(IMAGE_CLOUD) tools/pack-image
	$QSOURCE_DATE_EPOCH=$(IMAGE_TIME) tools/pack-image vmdk $< $@
$B/vmos-$(ARCH)-azure.vhd: $(IMAGE_CLOUD) tools/pack-image
	$QSOURCE_DATE_EPOCH=$(IMAGE_TIME) tools/pack-image vhd $< $@

image: $(IMAGE)
	@echo 'made $(IMAGE); boot it: make ARCH=$(ARCH) run-disk; check it: tools/lint-image $(IMAGE)'
image-gcp: $B/vmos-$(ARCH)-gcp.tar.gz
	@echo 'made $<; next: tools/upload-gcp --bucket BUCKET $<'
image-aws: $B/vmos-$(ARCH)-aws.raw $B/vmos-$(ARCH)-aws.vmdk
	@echo 'made $^; next: tools/upload-aws $<'
image-azure: $B/vmos-$(ARCH)-azure.vhd
	@echo 'made $<; next: tools/upload-azure --resource-group GROUP --storage-account ACCOUNT --gallery GALLERY $<'

# Where firmware can read NVMe, the disk is one. Debian 12's U-Boot cannot.
FIRMWARE_x64   := -bios /usr/share/ovmf/OVMF.fd
FIRMWARE_arm64 := -bios /usr/share/qemu-efi-aarch64/QEMU_EFI.fd -boot menu=on,splash-time=0
FIRMWARE_rv64  := -kernel /usr/lib/u-boot/qemu-riscv64_smode/uboot.elf
BOOT_DISK      := nvme,serial=vmos,drive=disk0,bootindex=0
BOOT_DISK_rv64 := virtio-blk-pci,drive=disk0

# A copy is booted: what the guest writes stays until the image changes, and the image stays as it was made.
build/run/vmos-$(ARCH).img: $(IMAGE)
	@mkdir -p $(@D) && cp --sparse=always $< $@

run-disk: setup
	$Q$(MAKE) --no-print-directory ARCH=$(ARCH) build/run/vmos-$(ARCH).img
	$(QEMU) $(QEMU_MACHINE) $(FIRMWARE_$(ARCH)) -accel tcg -nodefaults -display none -serial mon:stdio -m 256M -smp 1 \
	  -drive if=none,id=disk0,format=raw,cache=unsafe,file=build/run/vmos-$(ARCH).img \
	  -device $(or $(BOOT_DISK_$(ARCH)),$(BOOT_DISK)) \
	  -netdev user,id=net0 -device virtio-net-pci,netdev=net0,romfile= \
	  -object rng-random,id=rng0,filename=/dev/urandom -device virtio-rng-pci,rng=rng0 \
	  $(RUN_ARGS)
