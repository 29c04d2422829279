"""The images as `make image`, `image-aws` and `image-azure` made them, unchanged, through firmware to the prompt and to
power-off: each firmware, each kind of disk, each format. Short: three rows an architecture, which cover every disk and
every format; VMOS_LONG=1: all of them, with 1, 2 and 4 CPUs.

Where firmware cannot read a kind of disk, it boots from virtio-blk and that disk is one for data.
"""
import itertools
import re

import pytest

import firmware
from firmware import FIRMWARE
from guest import PROMPT, ROOT

SUFFIX = {"raw": ".img", "vmdk": "-aws.vmdk", "vpc": "-azure.vhd"}  # QEMU's names of the formats
DEVICE = {"nvme": "nvme0", "virtio-blk": "virtio-blk0", "virtio-scsi": "virtio-scsi0"}
ROWS = ["ovmf", "aavmf-v3-acpi", "aavmf-v2-tree", "uboot-plic", "uboot-imsic", "uboot13-imsic", "edk2-rv64",
        "edk2-rv64-qemu10"]
SHORT = {
    ("ovmf", "nvme", "vmdk", 2), ("ovmf", "virtio-blk", "vpc", 4), ("ovmf", "virtio-scsi", "raw", 1),
    ("aavmf-v3-acpi", "nvme", "vpc", 4), ("aavmf-v3-acpi", "virtio-blk", "raw", 1),
    ("aavmf-v3-acpi", "virtio-scsi", "vmdk", 2),
    ("uboot-imsic", "nvme", "raw", 2), ("uboot-imsic", "virtio-blk", "vmdk", 1), ("uboot-imsic", "virtio-scsi", "vpc", 4),
}
# Machines that are shaped otherwise, each with one disk: without MCFG as Google's x64, without system management mode,
# everything below 4 GiB, and much memory.
MACHINES = [
    ("ovmf-pc", "virtio-scsi", "raw", 2, "256M"), ("ovmf-smm-off", "nvme", "vpc", 4, "256M"),
    ("aavmf-highmem-off", "nvme", "vmdk", 2, "256M"),
    *((name, "nvme" if FIRMWARE[name].nvme else "virtio-blk", "raw", 2, memory)
      for name in ("ovmf", "ovmf-pc", "aavmf-v3-acpi", "aavmf-v2-tree", "uboot-imsic", "edk2-rv64-qemu10")
      for memory in ("4G", "8G")),
]


def names(*row):
    return "-".join(map(str, row))


def image(arch, form):
    path = ROOT / "build" / arch / f"vmos-{arch}{SUFFIX[form]}"
    assert path.exists(), f"there is no {path}: make ARCH={arch} image image-aws image-azure"
    return path


def disks(row, kind, form, folder):
    """QEMU's arguments, and the name of the disk that is booted from. What is written is forgotten: the image stays."""
    readable = {"nvme": row.nvme, "virtio-scsi": row.scsi}.get(kind, True)
    boot = kind if readable else "virtio-blk"
    devices = firmware.disk(boot, image(row.arch, form), form, options=",snapshot=on")
    if not readable:
        data = folder / "data"
        with open(data, "wb") as file:
            file.truncate(8 << 20)
        devices += firmware.disk(kind, data, name="data", first=False)
    return devices, DEVICE[boot]


def boots(row, kind, form, smp, folder, memory="256M"):
    if row.missing:
        pytest.skip(row.missing)
    devices, boot = disks(row, kind, form, folder)
    with firmware.start(row, folder, *devices, smp=smp, memory=memory, exit_device=False) as guest:
        guest.wait_for(r"^vmos \S+ \S+ \(\w+\) booted by efi", 2 * firmware.SECONDS)
        guest.wait_for(r"^ready", 60)
        guest.wait_for(PROMPT, 60)
        said = guest.result().explain()
        assert re.search(rf"^device {DEVICE[kind]}: ", guest.text, re.M), said
        listed = guest.command_line("disks")
        first, second = (re.search(rf"^ *(\S+){part} .*$", listed, re.M) for part in ("p1", "p2"))
        assert first and first[1].startswith(boot) and "EFI system" in first[0], listed + said
        assert second and second[1] == first[1] and "vmos data" in second[0], listed + said
        for name in ("blk", "smp") if smp > 1 else ("blk",):
            verdict = guest.command_line(f"selftest {name}", 120)
            assert f"selftest {name}: pass" in verdict and "selftest: 1 passed, 0 failed" in verdict, verdict + said
        guest.send("poweroff\r")
        result = guest.finish(60)
        assert result.status == 0, result.explain()


@pytest.mark.parametrize("name,kind,form,smp", [
    pytest.param(*row, id=names(*row), marks=[] if row in SHORT else pytest.mark.long)
    for row in itertools.product(ROWS, DEVICE, SUFFIX, (1, 2, 4))])
def test_boots(name, kind, form, smp, tmp_path):
    boots(FIRMWARE[name], kind, form, smp, tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("name,kind,form,smp,memory", [pytest.param(*row, id=names(*row)) for row in MACHINES])
def test_machines(name, kind, form, smp, memory, tmp_path):
    boots(FIRMWARE[name], kind, form, smp, tmp_path, memory)
