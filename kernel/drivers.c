/* drivers.c: the drivers that are linked into the kernel's home. A new driver adds two lines here. */
#include "drivers.h"

extern const struct driver virtio_net_driver, virtio_blk_driver, virtio_rng_driver, virtio_scsi_driver, nvme_driver;

const struct driver *const kernel_drivers[] = {
    &virtio_net_driver, &virtio_blk_driver, &virtio_rng_driver, &virtio_scsi_driver, &nvme_driver,
};
const size_t kernel_driver_count = sizeof kernel_drivers / sizeof kernel_drivers[0];
