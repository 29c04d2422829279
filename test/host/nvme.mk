# NVMe: the driver against a model of a controller, one that keeps to the specification and one that does not.
NVME_DRIVER := $(wildcard driver/nvme/*.c) lib/block.c lib/text.c
NVME_MODEL  := model/home/home.c model/home/home_memory.c model/nvme.c model/nvme_admin.c model/nvme_io.c
NVME_SCENE  := test/host/support/nvme_scene.c

HOST_TESTS += nvme
nvme_SOURCES         := $(NVME_DRIVER) $(NVME_MODEL) $(NVME_SCENE)

HOST_TESTS += nvme_hostile
nvme_hostile_SOURCES := $(NVME_DRIVER) $(NVME_MODEL) $(NVME_SCENE)
nvme_hostile_CFLAGS  := -Wno-missing-field-initializers

FUZZ_TARGETS += nvme
fuzz_nvme_SOURCES := $(NVME_DRIVER) $(NVME_MODEL) test/host/support/fuzz_disk.c test/host/support/fuzz_input.c
