"""Disks behind virtio-scsi, and partitions on disks of any kind: found, used, and what happened seen from outside."""
import os
import re
import shutil
import subprocess

import pytest

import evidence
from guest import MACHINES, PROMPT, TRANSPORTS, Guest, blk, make_disk, run, transport_globals, transports_of

LONG = bool(os.environ.get("VMOS_LONG"))
ROWS = [(name, transport) for name, on in MACHINES.items() for transport in transports_of(on)] if LONG else [
    ("q35", "pci-legacy"), ("q35", "pci-modern"), ("microvm", "mmio-legacy"), ("gicv2", "mmio-modern"),
    ("gicv3", "pci-transitional"), ("plic", "mmio-legacy"), ("imsic", "pci-modern")]
DATA = "48d7f1b5-c0bb-5d62-96f7-fbdb878ce180"  # the type of vmos's own partitions
APPEND = "selftest=blk then=poweroff"
needs_sgdisk = pytest.mark.skipif(shutil.which("sgdisk") is None, reason="no sgdisk here (package gdisk)")


def scsi(transport, *disks, host="s0", options=""):
    """A host and its disks, each (path, target, unit, options of the disk, options of the drive)."""
    suffix, more, _, _ = TRANSPORTS[transport]
    arguments = ["-device", f"virtio-scsi-{suffix},id={host}{more}{options}"]
    for i, (path, target, unit, *rest) in enumerate(disks):
        disk, drive = (*rest, "", "")[:2]
        kind = "" if disk.startswith("scsi-") else "scsi-hd,"
        name = f"{host}d{i}"
        arguments += ["-drive", f"if=none,id={name},format=raw,cache=unsafe,file={path}{drive}", "-device",
                      f"{kind}{disk}{',' if disk else ''}drive={name},id=x{name},bus={host}.0,scsi-id={target},lun={unit}"]
    return arguments


def check_blk(result, disks, partitions, written):
    verdict, detail = result.selftests()["blk"]
    assert verdict == "pass", result.explain()
    assert detail.startswith(f"{disks} disks, {partitions} partitions; pattern written, flushed and read back on {written};"), \
        result.explain()


@pytest.mark.parametrize("name,transport", ROWS, ids=[f"{n}-{t}" for n, t in ROWS])
def test_transport(name, transport, tmp_path):
    disks = [make_disk(tmp_path / "disk0"), make_disk(tmp_path / "disk1", 3 << 30)]
    result = run(MACHINES[name], *transport_globals(transport),
                 *scsi(transport, (disks[0], 0, 0), (disks[1], 1, 2, "logical_block_size=4096,physical_block_size=4096")),
                 append=APPEND)
    check_blk(result, 2, 0, 2)
    assert "virtio-scsi0.0.0: 4 MiB in blocks of 512, with a write cache" in result.text, result.explain()
    assert "virtio-scsi0.1.2: 3 GiB in blocks of 4096" in result.text, result.explain()
    assert "claims to have written" not in result.text
    evidence.check_disk(disks[0])
    evidence.check_disk(disks[1], 4096)


def test_many_units(tmp_path):
    """Units and targets at every end of their numbers; what is no disk, cannot be written, and a second host."""
    disks = [make_disk(tmp_path / f"disk{i}") for i in range(6)]
    before = b"\x5a" * 4096 + bytes((4 << 20) - 4096)
    disks[4].write_bytes(before)
    result = run(MACHINES["q35"],
                 *scsi("pci-modern", (disks[0], 0, 0, "dpofua=on,serial=GCP-LIKE"), (disks[1], 0, 7),
                       (disks[2], 255, 16383), (disks[3], 3, 1, "scsi-cd"), (disks[4], 4, 0, "serial=R", ",readonly=on")),
                 *scsi("pci-modern", (disks[5], 1, 0), host="s1"), append=APPEND)
    check_blk(result, 5, 0, 4)
    for name, what in (("0.0.0", "serial GCP-LIKE"), ("0.0.7", "QEMU HARDDISK"), ("0.255.16383", "4 MiB"),
                       ("0.4.0", "read-only"), ("1.1.0", "4 MiB")):
        assert re.search(rf"virtio-scsi{re.escape(name)}: 4 MiB in blocks of 512.*{what}", result.text) or what == "4 MiB" and \
            f"virtio-scsi{name}: 4 MiB" in result.text, f"{name}\n{result.explain()}"
    assert "target 3 unit 1 is a CD or DVD drive (type 5) and not used" in result.text
    assert disks[4].read_bytes() == before and not any(disks[3].read_bytes())
    for i in (0, 1, 2, 5):
        evidence.check_disk(disks[i])


def test_no_unit_and_limits(tmp_path):
    """A host without units; one that takes little at once and few commands, with a queue of few entries."""
    assert "virtio-scsi0: has no disk" in run(MACHINES["gicv3"], *scsi("pci-modern"), append=APPEND).text
    disk = make_disk(tmp_path / "disk")
    result = run(MACHINES["gicv3"], *scsi("pci-modern", (disk, 0, 0, "max_io_size=4096"),
                                          options=",virtqueue_size=16,max_sectors=7,cmd_per_lun=2"), append=APPEND)
    check_blk(result, 1, 0, 1)
    evidence.check_disk(disk)


@pytest.mark.parametrize("event,errno,words", [
    ("read_aio", 5, r"a read within \d+ blocks at 0 failed: aborted command, the process was ended \(b/00/06\)"),
    ("write_aio", 28, r"a write within \d+ blocks at \d+ failed: data protect, no space left where it is kept \(7/27/07\)"),
], ids=["read", "write"])
def test_errors(event, errno, words, tmp_path):
    """Errors made by QEMU's blkdebug come out in words, and the disk beside is not disturbed."""
    disks = [make_disk(tmp_path / f"disk{i}") for i in range(2)]
    (tmp_path / "rules").write_text(f'[inject-error]\nevent = "{event}"\nerrno = "{errno}"\nonce = "off"\n')
    result = run(MACHINES["q35"],
                 *scsi("pci-modern", (disks[1], 0, 0),
                       (f"blkdebug:{tmp_path}/rules:{disks[0]}", 1, 0, "", ",rerror=report,werror=report")), append=APPEND)
    assert result.selftests()["blk"][0] == "fail", result.explain()
    assert re.search(r"virtio-scsi0\.1\.0: " + words, result.text), result.explain()
    assert "driver is stopped" not in result.text
    evidence.check_disk(disks[1])


def test_grows_and_goes(tmp_path):
    """From the monitor: a disk becomes larger, and another is pulled out."""
    disks = [make_disk(tmp_path / f"disk{i}") for i in range(2)]
    monitor = ("-monitor", f"unix:{tmp_path}/monitor,server=on,wait=off")
    with Guest(MACHINES["imsic"], *scsi("pci-modern", (disks[0], 0, 0), (disks[1], 5, 0)), append="then=prompt",
               extra=monitor) as guest:
        guest.wait_for(PROMPT)
        guest.monitor("block_resize s0d0 8M")
        guest.wait_for(r"virtio-scsi0\.0\.0: now has 16384 blocks and had 8192")
        guest.monitor("device_del xs0d1")
        guest.wait_for(r"virtio-scsi0\.5\.0: was removed; what is asked of it from now on is refused")
        said = guest.command_line("selftest blk")
        assert "virtio-scsi0.5.0: reading the first or last blocks failed" in said, said
        assert "authority behind the handle has ended" in said or "revoked" in said, said
        guest.send("poweroff\r")
        guest.finish(30)


# ---- Partitions --------------------------------------------------------------------------------------------


def partition(path, *options):
    subprocess.run(["sgdisk", *options, path], check=True, stdout=subprocess.DEVNULL)
    return path


def image(path, size=64 << 20):
    """As vmos's own images are: a system partition with something in it, and one for data."""
    make_disk(path, size)
    partition(path, "-n", "1:2048:83967", "-t", "1:EF00", "-c", "1:vmos ESP", "-n", f"2:83968:{size // 512 - 2049}", "-t",
              f"2:{DATA}", "-c", "2:vmos-data")
    with open(path, "r+b") as disk:
        disk.seek(2048 * 512)
        disk.write(b"a file system" * 1000)
    return path


def check_image(path, before, size=64 << 20):
    """The pattern is in the second partition, and all else is as it was."""
    after = path.read_bytes()
    start, end = 83968 * 512, size - 2048 * 512
    assert after[:start] == before[:start] and after[end:] == before[end:], "something was written outside of the partition"
    first, last = after[start:start + 64 * 512], after[end - 512:end]
    assert first == evidence.pattern(0, len(first)) and last == evidence.pattern(end - start - 512, 512)
    assert not any(after[start + 64 * 512:end - 512])


@needs_sgdisk
@pytest.mark.parametrize("name", ["q35", "gicv3", "imsic"])
def test_partitions(name, tmp_path):
    """Listed at boot and by `disks`; the self-test writes into the partition for data only; a damaged table is read from
    its backup; one without is left alone."""
    good, damaged, wiped, old = (image(tmp_path / f"disk{i}") for i in range(4))
    with open(damaged, "r+b") as disk:
        disk.seek(512 + 60)  # of its GUID, which is another each time
        byte = disk.read(1)[0]
        disk.seek(512 + 60)
        disk.write(bytes([byte ^ 1]))
    with open(wiped, "r+b") as disk:
        disk.seek(512)
        disk.write(bytes(33 * 512))
        disk.seek((64 << 20) - 512)
        disk.write(bytes(512))
    partition(old, "-m", "1:2")
    before = {path: path.read_bytes() for path in (good, damaged, wiped, old)}
    devices = [*blk("pci-modern", good), *scsi("pci-modern", (damaged, 0, 0), (wiped, 0, 1), (old, 0, 2))]
    result = run(MACHINES[name], *devices, append=APPEND)
    check_blk(result, 4, 4, 2)
    line = r': GPT, 2 partitions: p1 40 MiB EFI system "vmos ESP", p2 22 MiB vmos data "vmos-data"'
    assert re.search(r"virtio-blk0" + line, result.text), result.explain()
    assert re.search(r"virtio-scsi0\.0\.0" + line, result.text), result.explain()
    assert "virtio-scsi0.0.0: its partition table is damaged: its header's CRC is wrong; the backup is used" in result.text
    assert "virtio-scsi0.0.1: its partition table is damaged and so is the backup" in result.text
    assert "virtio-scsi0.0.2: has a partition table of the old kind (MBR)" in result.text
    check_image(good, before[good])
    check_image(damaged, before[damaged])
    assert wiped.read_bytes() == before[wiped] and old.read_bytes() == before[old]
    with Guest(MACHINES[name], *devices, append="then=prompt") as guest:
        guest.wait_for(PROMPT)
        said = guest.command_line("disks")
        assert re.search(r'^virtio-blk0 +64 MiB +512  GPT\n +virtio-blk0p1 +40 MiB +EFI system "vmos ESP"\n'
                         r' +virtio-blk0p2 +22 MiB +vmos data "vmos-data"$', said, re.M), said
        assert re.search(r"^virtio-scsi0\.0\.0 +64 MiB +512  GPT \(the backup\)$", said, re.M), said
        assert re.search(r"^virtio-scsi0\.0\.1 .*damaged partition table$", said, re.M), said
        assert re.search(r"^virtio-scsi0\.0\.2 .*MBR$", said, re.M), said
        assert all(len(line) <= 80 for line in said.split("\n"))


@needs_sgdisk
def test_data_is_kept(tmp_path):
    """A data partition with something in it, be it in its last block alone, is not written to."""
    for at in (83968 * 512 + 5000, (64 << 20) - 2048 * 512 - 1):
        disk = image(tmp_path / f"disk{at}")
        with open(disk, "r+b") as file:
            file.seek(at)
            file.write(b"!")
        before = disk.read_bytes()
        check_blk(run(MACHINES["q35"], *blk("pci-modern", disk), append=APPEND), 1, 2, 0)
        assert disk.read_bytes() == before
