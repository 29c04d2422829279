/* scsi_scene.h: a modelled SCSI host with its driver. Requests are disk_scene.h's: `scene` has one of its disks. */
#ifndef SCSI_SCENE_H
#define SCSI_SCENE_H

#include <model/virtio_scsi.h>
#include "disk_scene.h"

extern const struct driver virtio_scsi_driver;

/* Two ordinary disks: 0.0 with 4096 blocks of 512 bytes, and 3.300 with 600 of 4096 bytes; between them a CD drive. */
extern const struct virtio_scsi_options scsi_plain;
enum { SCSI_DISK_0 = 0, SCSI_CD = 1, SCSI_DISK_1 = 2 };

struct scsi_scene {
    struct disk_scene scene;
    struct virtio_scsi_model *host;
};

void scsi_open(struct scsi_scene *scene, const struct virtio_model_options *options,
               const struct virtio_scsi_options *scsi, enum virtio_model_evil evil);
void scsi_start(struct scsi_scene *scene);
void scsi_close(struct scsi_scene *scene);

/* A write and a read of it, which also must show on the first unit itself. */
void scsi_expect_transfers(struct scsi_scene *scene);

#endif
