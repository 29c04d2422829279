# virtio's class drivers, each against a model of its device.

VIRTIO_CLASS := $(VIRTIO_CORE) $(VIRTIO_MODEL) test/host/support/virtio_class.c

HOST_TESTS += virtio_blk virtio_blk_hostile virtio_net virtio_net_hostile virtio_rng
virtio_blk_SOURCES := driver/virtio/blk.c driver/virtio/transfer.c lib/block.c lib/text.c model/virtio_blk.c test/host/support/disk_scene.c \
                      $(VIRTIO_CLASS)
virtio_net_SOURCES := driver/virtio/net.c model/virtio_net.c test/host/support/nic_scene.c $(VIRTIO_CLASS)
virtio_rng_SOURCES := driver/virtio/rng.c model/virtio_rng.c $(VIRTIO_CLASS)
virtio_blk_hostile_SOURCES := $(virtio_blk_SOURCES)
virtio_net_hostile_SOURCES := $(virtio_net_SOURCES)

FUZZ_TARGETS += virtio_blk virtio_net
VIRTIO_FUZZ := $(VIRTIO_CORE) $(VIRTIO_MODEL) test/host/support/fuzz_device.c test/host/support/fuzz_input.c
fuzz_virtio_blk_SOURCES := driver/virtio/blk.c driver/virtio/transfer.c lib/block.c lib/text.c test/host/support/fuzz_disk.c \
                           $(VIRTIO_FUZZ)
fuzz_virtio_net_SOURCES := driver/virtio/net.c $(VIRTIO_FUZZ)
