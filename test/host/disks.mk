# Disks: virtio-scsi against a model of its host, what all block drivers have in common, partition tables.
SCSI := driver/virtio/scsi.c driver/virtio/scsi_scan.c driver/virtio/scsi_sense.c driver/virtio/transfer.c lib/block.c \
        lib/text.c
SCSI_SCENE := model/virtio_scsi.c model/virtio_blk.c driver/virtio/blk.c test/host/support/scsi_scene.c \
              test/host/support/disk_scene.c

HOST_TESTS += virtio_scsi virtio_scsi_hostile block block_conformance gpt partition
virtio_scsi_SOURCES = $(SCSI) $(SCSI_SCENE) $(VIRTIO_CLASS)
virtio_scsi_hostile_SOURCES = $(virtio_scsi_SOURCES)
block_SOURCES := lib/block.c
block_conformance_SOURCES = $(virtio_scsi_SOURCES) $(filter-out $(virtio_scsi_SOURCES),$(NVME_DRIVER) $(NVME_MODEL))
gpt_SOURCES := lib/gpt.c lib/crc32.c

FUZZ_TARGETS += virtio_scsi gpt
fuzz_virtio_scsi_SOURCES = $(SCSI) model/virtio_scsi.c test/host/support/fuzz_disk.c $(VIRTIO_FUZZ)
fuzz_gpt_SOURCES := lib/gpt.c lib/crc32.c

partition_SOURCES := kernel/partition.c lib/gpt.c lib/crc32.c lib/block.c lib/text.c authority/rules.c
partition_CFLAGS  := -Itest/host/support/fake_arch
