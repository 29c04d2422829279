# virtio: transports, the split ring, and devices that lie. The class drivers have their own files.

VIRTIO_CORE  := driver/virtio/virtio.c driver/virtio/transport_pci.c driver/virtio/transport_mmio.c \
                driver/virtio/virtqueue.c
VIRTIO_MODEL := model/home/home.c model/home/home_memory.c model/virtio_device.c model/virtio_registers.c
VIRTIO_ECHO  := test/host/support/virtio_echo.c

HOST_TESTS += virtio_transport virtqueue virtio_hostile
virtio_transport_SOURCES := $(VIRTIO_CORE) $(VIRTIO_MODEL) $(VIRTIO_ECHO)
virtqueue_SOURCES        := $(VIRTIO_CORE) $(VIRTIO_MODEL) $(VIRTIO_ECHO)
virtio_hostile_SOURCES   := $(VIRTIO_CORE) $(VIRTIO_MODEL) $(VIRTIO_ECHO)

FUZZ_TARGETS += virtqueue
fuzz_virtqueue_SOURCES   := $(VIRTIO_CORE) $(VIRTIO_MODEL) test/host/support/fuzz_input.c
