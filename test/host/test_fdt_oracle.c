/*
 * test_fdt_oracle.c: every device tree at hand, read beside libfdt (Debian: libfdt-dev).
 *
 * Both walk the same blob; each node, property, phandle and reservation must be the same. Trees come from QEMU
 * (dumped here, with many machine options), from the fuzzer's seeds, and, where they are, from Debian's kernel and
 * boot loader packages: test/host/fetch-dtb puts those of linux-image-arm64 into build/dtb.
 */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fdt_trees.h"
#include "host_log.h"
#include <machine/fdt_format.h>
#include <machine/readers.h>

/* libfdt has these names too: machine_fdt.mk compiles ours as vmos_... for this program. */
#undef fdt_next_node
#undef fdt_property
#undef fdt_string
#include <libfdt.h>

static struct machine machine;
static struct machine_room room;

static void compare_properties(const struct fdt *ours, const void *blob, uint32_t node, int theirs)
{
    uint32_t offset = node;
    struct fdt_item item;
    int property;

    assert_int_equal(fdt_next(ours, &offset, &item), FDT_TOKEN_NODE);
    for (property = fdt_first_property_offset(blob, theirs); property >= 0;
         property = fdt_next_property_offset(blob, property)) {
        const char *name;
        int length;
        const void *value = fdt_getprop_by_offset(blob, property, &name, &length);

        assert_int_equal(fdt_next(ours, &offset, &item), FDT_TOKEN_PROPERTY);
        assert_string_equal(item.name, name);
        assert_int_equal(item.length, length);
        assert_memory_equal(item.value, value, (size_t)length);
        struct fdt_value found = vmos_fdt_property(ours, node, name);
        assert_ptr_equal(found.at, fdt_getprop(blob, theirs, name, &length));
        assert_int_equal(found.length, length);
    }
    assert_int_not_equal(fdt_next(ours, &offset, &item), FDT_TOKEN_PROPERTY);
}

static void compare_references(const struct fdt *ours, const void *blob, uint32_t node, int theirs)
{
    char path[1024];
    uint32_t phandle = fdt_get_phandle(blob, theirs);

    if (phandle != 0 && phandle != UINT32_MAX)
        assert_int_equal(fdt_find_phandle(ours, phandle), (uint32_t)fdt_node_offset_by_phandle(blob, phandle));
    assert_int_equal(fdt_get_path(blob, theirs, path, sizeof path), 0);
    assert_int_equal(fdt_find_path(ours, path, strlen(path)), node);
    uint32_t child = fdt_first_child(ours, node);
    for (int each = fdt_first_subnode(blob, theirs); each >= 0; each = fdt_next_subnode(blob, each)) {
        assert_int_equal(child, (uint32_t)each);
        child = fdt_next_sibling(ours, child);
    }
    assert_int_equal(child, FDT_NO_NODE);
}

/* `references`: phandles and paths too, which takes quadratic time. */
static void compare(const void *blob, size_t size, bool references)
{
    struct fdt ours;
    uint32_t depth = 0, node = FDT_NO_NODE;
    int their_depth = -1, theirs = -1, count;

    assert_int_equal(fdt_open(&ours, blob, size), STATUS_OK);
    assert_int_equal(fdt_check_full(blob, size), 0);
    assert_int_equal(ours.reservation_count, fdt_num_mem_rsv(blob));
    for (uint32_t i = 0; i < ours.reservation_count; i++) {
        uint64_t base, length, their_base, their_length;
        fdt_reservation(&ours, i, &base, &length);
        assert_int_equal(fdt_get_mem_rsv(blob, (int)i, &their_base, &their_length), 0);
        assert_int_equal(base, their_base);
        assert_int_equal(length, their_length);
    }
    for (count = 0;; count++) {
        node = vmos_fdt_next_node(&ours, node, &depth);
        theirs = fdt_next_node(blob, theirs, &their_depth);
        if (node == FDT_NO_NODE)
            break;
        assert_int_equal(node, theirs);
        assert_int_equal(depth, their_depth);
        assert_string_equal(fdt_node_name(&ours, node), fdt_get_name(blob, theirs, NULL));
        compare_properties(&ours, blob, node, theirs);
        if (references || count % 97 == 0)
            compare_references(&ours, blob, node, theirs);
    }
    assert_true(theirs < 0 || their_depth < 0);
}

static void nothing(struct printer *printer, const char *text, size_t length)
{
    (void)printer;
    assert_true(length <= 511 && memchr(text, '\x1b', length) == NULL);
}

static void check_tree(uint8_t *blob, size_t size, bool references)
{
    struct printer printer = {nothing};

    host_log_clear();
    compare(blob, size, references);
    machine_init(&machine, &room);
    assert_int_equal(fdt_read(&machine, blob, size), STATUS_OK);
    machine_finish(&machine);
    fdt_print(blob, size, &printer);

    /* Cut to what it holds, as from fw_cfg. */
    uint32_t used = fdt_used_size(blob);
    assert_in_range(used, 40, size);
    void *cut = malloc(used);
    memcpy(cut, blob, used);
    fdt_set_total_size(cut, used);
    compare(cut, used, false);
    free(cut);
    free(blob);
}

/* ---- Where trees come from ------------------------------------------------------------------------- */

static unsigned checked;
static bool thorough;

static int check_entry(const char *path, const struct stat *status, int type, struct FTW *where)
{
    size_t length = strlen(path);

    (void)where;
    if (type == FTW_F && status->st_size >= 40 && length > 4 && strcmp(path + length - 4, ".dtb") == 0) {
        size_t size;
        uint8_t *blob = tree_load(path, &size);
        if (getenv("VMOS_LOG") != NULL)
            fprintf(stderr, "%s\n", path);
        check_tree(blob, size, thorough);
        checked++;
    }
    return 0;
}

static void seeds_agree(void **state)
{
    (void)state;
    checked = 0;
    thorough = true;
    assert_int_equal(nftw("test/host/fuzz/corpus/fdt", check_entry, 16, FTW_PHYS), 0);
    assert_true(checked >= 5);
}

static void packaged_trees_agree(void **state)
{
    static const char *const places[] = {"build/dtb", "/usr/lib/u-boot", "/boot/dtbs", "/usr/lib/firmware"};

    (void)state;
    checked = 0;
    thorough = false;
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++)
        if (access(places[i], R_OK) == 0)
            assert_int_equal(nftw(places[i], check_entry, 16, FTW_PHYS), 0);
    if (checked == 0) {
        printf("skipped: no .dtb files on this machine; test/host/fetch-dtb brings those of Debian's arm64 kernel\n");
        skip();
    }
    printf("%u device trees of real machines agree with libfdt\n", checked);
}

static void check_qemu(const char *command)
{
    size_t size;

    check_tree(tree_made_by(command, &size), size, true);
}

static void qemu_trees_agree(void **state)
{
    (void)state;
    check_qemu("timeout 20 qemu-system-aarch64 -M virt,gic-version=2,dumpdtb=%s -cpu cortex-a72 2>/dev/null");
    check_qemu(
        "timeout 20 qemu-system-aarch64 -M virt,gic-version=3,iommu=smmuv3,dumpdtb=%s -cpu max -smp 8 2>/dev/null");
    check_qemu("timeout 20 qemu-system-riscv64 -M virt,dumpdtb=%s -smp 3 2>/dev/null");
    check_qemu("timeout 20 qemu-system-riscv64 -M virt,aia=aplic-imsic,aia-guests=3,dumpdtb=%s -smp 8 2>/dev/null");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(seeds_agree),
        cmocka_unit_test(qemu_trees_agree),
        cmocka_unit_test(packaged_trees_agree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
