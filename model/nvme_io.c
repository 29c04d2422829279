/* nvme_io.c: data and the NVM command set, see nvme.h [nvm §3.2, base §4.1.1]. */
#include <lib/bytes.h>
#include <model/nvme.h>
#include <stdlib.h>
#include <string.h>

enum { PAGE = 4096, INVALID_OPCODE = 1, INVALID_FIELD = 2, INVALID_NAMESPACE = 0x0b, OUT_OF_RANGE = 0x80 };
enum { FLUSH = 0, WRITE = 1, READ = 2, WRITE_ZEROES = 8, DATASET = 9 };

static struct nvme_model_disk *disk_of(struct nvme_model *model, uint32_t id)
{
    for (unsigned i = 0; i < NVME_MODEL_NAMESPACES; i++)
        if (id != 0 && model->disks[i].is.id == id)
            return &model->disks[i];
    return NULL;
}

/* One run within a page. */
static bool move(struct nvme_model *model, device_address address, uint8_t *bytes, size_t size, bool in)
{
    if (address % 4 != 0)
        nvme_model_complain(model, "data at 0x%llx", (unsigned long long)address);
    bool good =
        in ? home_dma_write(model->device, address, bytes, size) : home_dma_read(model->device, address, bytes, size);
    if (!good)
        nvme_model_complain(model, "0x%llx cannot be reached for %zu bytes", (unsigned long long)address, size);
    return good;
}

/* Walks the pages that PRP1, PRP2 and lists name. */
static bool transfer(struct nvme_model *model, const uint8_t *entry, uint8_t *bytes, size_t size, bool in)
{
    device_address at = load_le64(entry + 24), second = load_le64(entry + 32), list = 0;
    size_t first = PAGE - at % PAGE, done = size < first ? size : first, left_in_list = 0;
    unsigned pages = 0;

    if (!move(model, at, bytes, done, in))
        return false;
    if (done < size && size - done <= PAGE) {
        if (second % PAGE != 0)
            nvme_model_complain(model, "a second page at 0x%llx", (unsigned long long)second);
        return move(model, second, bytes + done, size - done, in);
    }
    while (done < size) {
        uint8_t word[8];
        if (left_in_list == 0) {
            list = second;
            left_in_list = (PAGE - list % PAGE) / 8;
            pages++;
        }
        if (!home_dma_read(model->device, list, word, 8)) {
            nvme_model_complain(model, "a list at 0x%llx cannot be read", (unsigned long long)list);
            return false;
        }
        list += 8;
        left_in_list--;
        if (left_in_list == 0 && size - done > PAGE) { /* more than this place could name: it names the next page */
            second = load_le64(word);
            continue;
        }
        at = load_le64(word);
        if (at % PAGE != 0)
            nvme_model_complain(model, "a page of a list at 0x%llx", (unsigned long long)at);
        size_t now = size - done < PAGE ? size - done : PAGE;
        if (!move(model, at, bytes + done, now, in))
            return false;
        done += now;
    }
    if (pages > model->most_list_pages)
        model->most_list_pages = pages;
    return true;
}

static bool inside(const struct nvme_model_disk *disk, uint64_t first, uint64_t count)
{
    return first <= disk->is.blocks && count <= disk->is.blocks - first;
}

static uint16_t dataset(struct nvme_model *model, struct nvme_model_disk *disk, const uint8_t *entry)
{
    unsigned count = load_le32(entry + 40) + 1;
    uint8_t range[16];

    if (count > 256 || load_le32(entry + 44) != 4)
        nvme_model_complain(model, "dataset management of %u ranges for 0x%x", count, load_le32(entry + 44));
    for (unsigned i = 0; i < count; i++) {
        if (!home_dma_read(model->device, load_le64(entry + 24) + 16 * (uint64_t)i, range, sizeof range))
            return INVALID_FIELD;
        uint64_t first = load_le64(range + 8), blocks = load_le32(range + 4);
        if (model->options.range_limit != 0 && blocks > model->options.range_limit)
            nvme_model_complain(model, "a range of %llu blocks", (unsigned long long)blocks);
        if (!inside(disk, first, blocks))
            return OUT_OF_RANGE;
        memset(disk->bytes + (first << disk->is.exponent), NVME_MODEL_DISCARDED, blocks << disk->is.exponent);
    }
    model->discards++;
    return 0;
}

uint16_t nvme_model_io(struct nvme_model *model, const uint8_t *entry)
{
    struct nvme_model_disk *disk = disk_of(model, load_le32(entry + 4));
    uint64_t first = load_le64(entry + 40);
    uint32_t control = load_le32(entry + 48), blocks = (control & 0xffff) + 1;

    if (entry[1] != 0 || load_le64(entry + 16) != 0)
        nvme_model_complain(model, "flags 0x%x or metadata", entry[1]);
    if (disk == NULL)
        return INVALID_NAMESPACE;
    if (entry[0] == FLUSH) {
        model->flushes++;
        return 0;
    }
    if (entry[0] == DATASET)
        return dataset(model, disk, entry);
    if (entry[0] != READ && entry[0] != WRITE && entry[0] != WRITE_ZEROES) {
        nvme_model_complain(model, "opcode 0x%x", entry[0]);
        return INVALID_OPCODE;
    }
    if ((control & ~UINT32_C(0x4000ffff)) != 0 || (entry[0] == READ && (control & 1u << 30) != 0))
        nvme_model_complain(model, "control 0x%x", control);
    if (!inside(disk, first, blocks))
        return OUT_OF_RANGE;
    uint8_t *bytes = disk->bytes + (first << disk->is.exponent);
    size_t size = (size_t)blocks << disk->is.exponent;
    unsigned limit = entry[0] == WRITE_ZEROES ? model->options.zeroes_limit : model->options.transfer;
    if (limit != 0 && limit < 20 && size > (size_t)PAGE << limit)
        nvme_model_complain(model, "%u blocks, opcode 0x%x", blocks, entry[0]);
    if (blocks > model->most_blocks)
        model->most_blocks = blocks;
    model->through += control >> 30 & 1;
    *(entry[0] == READ ? &model->reads : entry[0] == WRITE ? &model->writes : &model->zeroes) += 1;
    if (entry[0] == WRITE_ZEROES) {
        memset(bytes, 0, size);
        return 0;
    }
    return transfer(model, entry, bytes, size, entry[0] == READ) ? 0 : 4;
}
