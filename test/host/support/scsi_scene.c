/* scsi_scene.c: see scsi_scene.h. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "host_log.h"
#include "scsi_scene.h"

const struct virtio_scsi_options scsi_plain = {
    .seg_max = 126,
    .max_sectors = 0xffff,
    .cmd_per_lun = 128,
    .sense_size = 96,
    .cdb_size = 32,
    .max_lun = 16383,
    .max_target = 255,
    .features = 1 << SCSI_HOTPLUG | 1 << SCSI_CHANGE,
    .unit_count = 3,
    .units =
        {
            {.block_size = 512,
             .blocks = 4096,
             .write_cache = true,
             .force_unit_access = true,
             .provisioned = true,
             .max_transfer = 1000,
             .max_discard = 100,
             .max_zeroes = 300,
             .serial = "a serial  number"},
            {.target = 2, .type = 5, .block_size = 2048, .blocks = 10, .serial = ""},
            {.target = 3, .lun = 300, .block_size = 4096, .blocks = 600, .becoming_ready = 2, .serial = ""},
        },
};

void scsi_open(struct scsi_scene *scene, const struct virtio_model_options *options,
               const struct virtio_scsi_options *scsi, enum virtio_model_evil evil)
{
    job_done_count = 0;
    scene->host = virtio_scsi_create(options, scsi, evil);
    scene->scene = (struct disk_scene){.device = virtio_model_device(scene->host->core)};
    for (unsigned i = 0; i < scsi->unit_count; i++)
        for (uint64_t at = 0; at < scsi->units[i].blocks * scene->host->units[i].size; at++)
            scene->host->units[i].bytes[at] = (uint8_t)(at * 7 + at / 512 + i);
}

void scsi_start(struct scsi_scene *scene)
{
    if (home_start(scene->scene.device, &virtio_scsi_driver) != STATUS_OK)
        fail_msg("the driver did not start: %s", host_log_text());
    scene->scene.block = home_block(scene->scene.device);
}

void scsi_close(struct scsi_scene *scene)
{
    class_end(scene->host->core, scene->scene.revoked);
    virtio_scsi_destroy(scene->host);
}

void scsi_expect_transfers(struct scsi_scene *scene)
{
    const struct block_info *info = &scene->scene.block->info;
    struct job *write = job_create(info, BLOCK_WRITE, 3, 5), *read = job_create(info, BLOCK_READ, 3, 5);

    assert_int_equal(disk_one(&scene->scene, write), STATUS_OK);
    assert_memory_equal(job_bytes(write), scene->host->units[0].bytes + 3 * info->block_size, write->size);
    assert_int_equal(disk_one(&scene->scene, read), STATUS_OK);
    assert_memory_equal(job_bytes(write), job_bytes(read), write->size);
    job_destroy(write);
    job_destroy(read);
}
