"""tools/lint-image: what is right passes, what is broken gets its sentence, and noise never confuses it."""
import gzip
import io
import os
import random
import re
import shutil
import subprocess
import sys
import tarfile
import zlib
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "support"))
from disks import ESP, GIB, MIB, SECTOR, Edit, copy, make, pack, program, tool  # noqa: E402
from lint_image import cloud, gpt  # noqa: E402
from lint_image.container import Image  # noqa: E402
from lint_image.disk import FileDisk  # noqa: E402
from lint_image.main import lint  # noqa: E402
from lint_image.report import Report  # noqa: E402

LONG = bool(os.environ.get("VMOS_LONG"))
pytestmark = pytest.mark.skipif(any(not shutil.which(name) for name in ("sgdisk", "mformat", "qemu-img", "mkfs.vfat")),
                                reason="gdisk, mtools, dosfstools or qemu-utils are not installed")


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """{name: file}: the same disk in each wrapping."""
    folder = tmp_path_factory.mktemp("good")
    files = {"raw": make(folder), "arm64": make(folder, "arm64"), "1g": make(folder, size="1G")}
    files["gcp"] = pack("gcp", files["1g"], folder / "x.tar.gz")
    files["vmdk"] = pack("vmdk", files["1g"], folder / "x.vmdk")
    files["vhd"] = pack("vhd", files["raw"], folder / "x.vhd")
    for name, options in (("dynamic.vhd", ["-O", "vpc", "-o", "subformat=dynamic,force_size=on"]),
                          ("mono.vmdk", ["-O", "vmdk", "-o", "subformat=monolithicSparse"]),
                          ("qemu.vmdk", ["-O", "vmdk", "-o", "subformat=streamOptimized"]),
                          ("qemu.vhd", ["-O", "vpc", "-o", "subformat=fixed,force_size=on"]),
                          ("x.qcow2", ["-O", "qcow2"]), ("x.vhdx", ["-O", "vhdx"]), ("x.vdi", ["-O", "vdi"])):
        files[name] = folder / name
        subprocess.run(["qemu-img", "convert", "-f", "raw", *options, files["raw"], files[name]], check=True)
    return files


@pytest.mark.parametrize("name", ["raw", "arm64", "1g", "gcp", "vmdk", "vhd", "qemu.vmdk", "qemu.vhd"])
def test_good(good, name):
    report = lint(good[name])
    assert (report.wrong_, report.unchecked) == ([], []), report
    assert "vmos" in report.facts and ("UEFI arm64" if name == "arm64" else "UEFI x64") in report.facts
    assert [note for note in report.notes if "not signed" not in note and "whole number of GiB" not in note] == []


def test_rv64_is_no_clouds(tmp_path):
    image = make(tmp_path, "rv64")
    assert lint(image).wrong_ == []
    assert any("no cloud has machines" in note for note in lint(image, ["aws"]).notes)


# ---- Broken disks ----------------------------------------------------------------------------------------------------

def put(at, form, *values):
    return lambda disk: disk.put(at, form, *values)


def wipe(start, length):
    """From the disk's end when start is negative."""
    def change(disk):
        at = start if start >= 0 else disk.size + start
        disk[at:at + length] = bytes(length)
    return change


def entry(number, at, form, *values):
    return lambda disk: disk.entry(number, at, form, *values)


def pe(at, form, *values):
    return lambda disk: disk.pe(at, form, *values)


def fields(header, *changes):
    """Changes fields of a GPT header and makes its CRC right again."""
    def change(disk):
        at = header if header >= 0 else disk.size + header
        for offset, form, value in changes:
            disk.put(at + offset, form, value)
        disk.seal(at)
    return change


def resize(by):
    return lambda disk: disk.file.truncate(disk.size + by)


def append(data):
    def change(disk):
        disk.file.seek(0, os.SEEK_END)
        disk.file.write(data)
    return change


def small_clusters(disk):
    """Says that clusters have two sectors: half as many, too few for FAT32. The backup agrees."""
    for sector in 0, 6:
        disk.put(ESP + sector * SECTOR + 13, "B", 2)


def both_fats(at, form, value):
    def change(disk):
        for number in 0, 1:
            disk.put(disk.fat(number) + at, form, value)
    return change


def first_entry(name, data, at=0):
    def change(disk):
        place = disk.find(name) + at
        disk[place:place + len(data)] = data
    return change


def cut_chain(disk):
    place = disk.find(b"BOOTX64 EFI")
    cluster = disk.get(place + 26, "<H")[0]
    both_fats(4 * cluster, "<I", 0x0fffffff)(disk)


def loop_chain(disk):
    place = disk.find(b"BOOTX64 EFI")
    cluster = disk.get(place + 26, "<H")[0]
    both_fats(4 * cluster, "<I", cluster)(disk)


def four_k(disk):
    disk[4096:4096 + 92] = disk[SECTOR:SECTOR + 92]
    wipe(SECTOR, SECTOR)(disk)


def same_guid(disk):
    disk.entry(2, 16, "16s", disk[1024 + 16:1024 + 32])


def disk_guid_of_a_partition(disk):
    for header in SECTOR, disk.size - SECTOR:
        disk[header + 56:header + 72] = disk[1024 + 16:1024 + 32]
        disk.seal(header)


def cut_headers(disk):
    """The PE header begins twenty bytes before the file's end."""
    start = disk.boot_file()
    disk.put(start + 60, "<I", 12288 - 20)
    disk.put(start + 12288 - 20, "4s", b"PE\0\0")


def as_bios(disk):
    """No EFI system partition, and boot code in the MBR."""
    disk.entry(1, 0, "16s", bytes.fromhex("af3dc60f838472478e793d69d8477de4"))
    disk.put(0, "16s", b"\xeb\x63boot code....")


def as_mbr(disk):
    wipe(SECTOR, SECTOR)(disk)
    wipe(-SECTOR, SECTOR)(disk)
    disk.put(446, "<B3xB3xII", 0x80, 0x83, 2048, 81920)
    disk.put(0, "16s", b"\xeb\x63boot code....")


DATA_AT = 16 + 41 * MIB // SECTOR
DISKS = {
    # the master boot record
    "no MBR signature": (put(510, "<H", 0), "first sector has no MBR signature"),
    "no protective entry": (put(450, "B", 0x83), r"no protective entry \(type EE\)"),
    "hybrid MBR": (put(462, "<B3xB3xII", 0x80, 0x0c, 2048, 81920), r"MBR is a hybrid .* types 0C"),
    "protective entry from 63": (put(454, "<I", 63), "begins in sector 63 and must begin in 1"),
    "nothing at all": (lambda disk: (wipe(0, 2048)(disk), wipe(-SECTOR, SECTOR)(disk)), "there is no partition table"),
    "BIOS only, GPT": (as_bios, "boots by BIOS only"),
    "BIOS only, MBR": (as_mbr, "boots by BIOS only"),
    # GPT
    "no primary": (wipe(SECTOR, SECTOR), "no primary GPT in sector 1; the backup is there"),
    "no GPT behind EE": (lambda disk: (wipe(SECTOR, SECTOR)(disk), wipe(-SECTOR, SECTOR)(disk)),
                         "no primary GPT in sector 1: the disk is damaged"),
    "primary CRC": (put(SECTOR + 16, "<I", 7), "primary GPT header has a wrong CRC"),
    "header length": (put(SECTOR + 12, "<I", 600), "primary GPT header has a length of 600"),
    "revision": (fields(SECTOR, (8, "<I", 0x20000)), "primary GPT header has revision 0x20000"),
    "own sector": (fields(SECTOR, (24, "<Q", 3)), "says that it lies in sector 3 and lies in 1"),
    "entry size": (fields(SECTOR, (84, "<I", 100)), "has entries of 100 bytes"),
    "entry count": (fields(SECTOR, (80, "<I", 1 << 30)), "has 1073741824 entries"),
    "entries outside": (fields(SECTOR, (72, "<Q", 1 << 40)), "primary GPT's entries lie outside the disk"),
    "usable range": (fields(SECTOR, (40, "<Q", 4)), "says that partitions may use sectors 4 to"),
    "entries CRC": (put(1024 + 60, "<H", 65), "primary GPT's entries have a wrong CRC"),
    "no backup": (wipe(-SECTOR, SECTOR), "no backup GPT where the primary says"),
    "backup CRC": (lambda disk: disk.put(disk.size - SECTOR + 56, "B", 9), "backup GPT header has a wrong CRC"),
    "backup entries": (lambda disk: disk.put(disk.size - 33 * SECTOR + 60, "B", 9), "backup GPT's entries have a "
                                                                                    "wrong CRC"),
    "backup differs": (fields(-SECTOR, (56, "<Q", 9)), "describe different disks"),
    "backup's primary": (fields(-SECTOR, (32, "<Q", 5)), "says that the primary lies in sector 5"),
    "cut": (resize(-20 * MIB), r"the file is cut: the GPT is that of a disk of 64 MiB and the disk has 44 MiB"),
    "grown": (resize(MIB), "backup GPT is not in the disk's last sector but 2048 before it"),
    "bytes appended": (append(b"x" * 100), "not a whole number of 512-byte sectors"),
    "sectors of 4096": (four_k, "GPT is one of 4096-byte sectors"),
    "overlap": (entry(2, 32, "<Q", 2048 + 4096), r"partition 1 \(EFI\) and partition 2 \(vmos-data\) overlap, from "
                                                  "sector 6144"),
    "outside": (entry(2, 40, "<Q", 1 << 32), r"partition 2 \(vmos-data\) lies in sectors .* outside of what the GPT "
                                              "says"),
    "backwards": (entry(2, 40, "<Q", 99), "ends .sector 99. before it begins"),
    "same GUID": (same_guid, "have the same GUID"),
    "no GUID": (entry(2, 16, "16s", bytes(16)), r"partition 2 \(vmos-data\) has no GUID of its own"),
    "no disk GUID": (lambda disk: (fields(SECTOR, (56, "16s", bytes(16)))(disk), fields(-SECTOR, (56, "16s",
                                                                                                  bytes(16)))(disk)),
                     "the disk has no GUID"),
    "not at 4 KiB": (entry(2, 32, "<Q", 83968 + 63), "does not begin at a multiple of 4 KiB"),
    "no ESP": (entry(1, 0, "16s", bytes.fromhex("af3dc60f838472478e793d69d8477de4")), "there is no EFI system "
                                                                                      "partition"),
    "no data partition": (entry(2, 0, "16s", bytes.fromhex("af3dc60f838472478e793d69d8477de4")),
                          "no partition for vmos's"),
    "tiny data partition": (entry(2, 40, "<Q", 83968 + 9), "persistent data has 5 KiB"),
    "disk's GUID twice": (disk_guid_of_a_partition, "the disk's GUID is also a partition's"),
    "backup's entries among partitions": (fields(-SECTOR, (48, "<Q", 131071)), "entries lie where partitions may lie"),
    "MBR partition outside": (lambda disk: (as_mbr(disk), disk.put(458, "<I", 1 << 30)), "partition 1 reaches beyond "
                                                                                         "the disk"),
    # FAT
    "no FAT": (wipe(ESP, 4096), "holds no FAT file system: it has no boot signature"),
    "exFAT": (put(ESP + 3, "8s", b"EXFAT   "), "it is EXFAT"),
    "odd clusters": (put(ESP + 13, "B", 3), "clusters of 3 sectors"),
    "zero FATs": (put(ESP + 16, "B", 0), "has zero reserved sectors, FATs"),
    "sectors of 4 KiB in FAT": (put(ESP + 11, "<H", 4096), "has sectors of 4096 bytes and cloud disks have 512"),
    "FAT32 too small": (small_clusters, "laid out as FAT32 but has .* fewer than the 65525"),
    "FAT larger than partition": (put(ESP + 32, "<I", 90000), "says it has 90000 sectors, more than its partition"),
    "FATs too short": (put(ESP + 36, "<I", 100), "more than its FATs"),
    "no room": (put(ESP + 32, "<I", 1000), "no room for data behind its FATs"),
    "FATs beyond the disk": (put(ESP + 36, "<I", 1 << 20), "FATs reach beyond the disk"),
    "fixed root": (put(ESP + 17, "<H", 512), "FAT32 and has a fixed root directory"),
    "FAT32 version": (put(ESP + 42, "<H", 1), "FAT32 version 0x1"),
    "no jump": (put(ESP, "B", 0), r"does not begin with a jump"),
    "root nowhere": (put(ESP + 44, "<I", 1 << 27), "root directory in cluster 134217728"),
    "FSInfo": (put(ESP + SECTOR, "<I", 0), "has no FSInfo sector"),
    "FSInfo's count": (put(ESP + SECTOR + 488, "<I", 1 << 30), "FSInfo says 1073741824 clusters are free"),
    "backup boot sector": (put(ESP + 6 * SECTOR + 39, "B", 99), r"boot sector and its backup \(sector 6\) differ"),
    "FATs differ": (lambda disk: disk.put(disk.fat(1) + 5000, "B", 7), "two FATs differ, first at byte 5000"),
    "dirty": (both_fats(4, "<I", 0x07ffffff), "marked dirty"),
    "dirty by Windows' bit": (put(ESP + 65, "B", 1), "marked dirty"),
    "read errors": (both_fats(4, "<I", 0x0bffffff), "marked as having had read errors"),
    "media": (both_fats(0, "<I", 0x0ffffff0), "FAT begins with media 0xf0"),
    # the boot path
    "no EFI folder": (first_entry(b"EFI     ", b"EFO     "), r"no folder \\EFI\\BOOT"),
    "another name": (first_entry(b"BOOTX64 EFI", b"GRUBX64 EFI"), r"no program in \\EFI\\BOOT"),
    "folder, not file": (first_entry(b"BOOTX64 EFI", b"\x10", 11), r"no program in \\EFI\\BOOT"),
    "chain cut": (cut_chain, r"BOOTX64.EFI has 12288 bytes, which take 24 clusters, but its chain .* has 1:"),
    "chain loops": (loop_chain, r"its chain in the FAT has 1:"),
    "size beyond": (first_entry(b"BOOTX64 EFI", b"\xff\xff\xff\xff", 28), "more than its file system"),
    # the program
    "wrong name": (first_entry(b"BOOTX64 EFI", b"BOOTAA64EFI"), r"BOOTAA64.EFI is a program for x64 \(machine "
                                                                 r"0x8664\)"),
    "unknown machine": (pe(4, "<H", 0x1234), r"for an unknown machine \(machine 0x1234\)"),
    "no MZ": (lambda disk: disk.put(disk.boot_file(), "<H", 0), r"does not begin with MZ"),
    "no PE": (pe(0, "4s", b"NE\0\0"), "no PE header where it says"),
    "PE far away": (lambda disk: disk.put(disk.boot_file() + 60, "<I", 0xffffffff), "no PE header where it says"),
    "header cut": (cut_headers, "ends in its PE header"),
    "subsystem": (pe(24 + 68, "<H", 3), "subsystem 3; an EFI application has 10"),
    "driver": (pe(24 + 68, "<H", 11), "subsystem 11; an EFI application has 10"),
    "32-bit header": (pe(24, "<H", 0x10b), "optional header of type 0x10b"),
    "RELOCS_STRIPPED": (pe(22, "<H", 0x207), "marked RELOCS_STRIPPED"),
    "not executable": (pe(22, "<H", 0x204), "not marked executable"),
    "entry point": (pe(24 + 16, "<I", 0x9000), r"entry point \(0x9000\) lies in none of its sections"),
    "no sections": (pe(6, "<H", 0), "says it has 0 sections"),
    "many sections": (pe(6, "<H", 5000), "says it has 5000 sections"),
    "section outside": (pe(24 + 160 + 16, "<I", 0x100000), r"section '.text' ends at byte 1052672 of a file of 12288"),
    "section not in image": (pe(24 + 160 + 12, "<I", 0x7fff0000), "ends beyond the size of the loaded image"),
    "alignment": (pe(24 + 32, "<I", 3000), "has section alignment 3000"),
    "headers": (pe(24 + 60, "<I", 1 << 20), "has headers of 1048576 bytes"),
    "directories": (pe(24 + 108, "<I", 16), "says it has 16 data directories"),
    "signature outside": (pe(24 + 112 + 32, "<II", 0x10000, 8), "signature lies outside the file"),
}


@pytest.mark.parametrize("name", DISKS)
def test_broken_disk(good, tmp_path, name):
    change, sentence = DISKS[name]
    image = copy(good["raw"], tmp_path / "x.img")
    with Edit(image) as disk:
        change(disk)
    report = lint(image)
    assert any(re.search(sentence, wrong) for wrong in report.wrong_), report
    assert report.status == 1


GDISK = lambda keys: lambda image: subprocess.run(["gdisk", image], input="\n".join(keys) + "\ny\n", text=True,
                                                  check=True, capture_output=True)


def sgdisk(*words):
    return lambda image: subprocess.run(["sgdisk", *words, image], check=True, capture_output=True)


def fsck(option, answers=""):
    """fsck.vfat wants the file system alone; it says 1 when it repaired something."""
    def repair(image):
        with Edit(image) as disk:
            esp = image.with_name("esp")
            esp.write_bytes(disk[ESP:ESP + 40 * MIB])
            done = subprocess.run(["fsck.vfat", option, esp], input=answers, text=True, capture_output=True)
            assert done.returncode == 1, done.stdout
            disk[ESP:ESP + 40 * MIB] = esp.read_bytes()
    return repair


REMEDIES = {
    "no MBR signature": GDISK("w"), "no protective entry": GDISK("2xnw"), "hybrid MBR": GDISK("xnw"),
    "protective entry from 63": GDISK("xnw"), "no primary": GDISK("rbw"), "primary CRC": GDISK("rbw"),
    "entries CRC": GDISK("rcyw"), "backup CRC": GDISK("rdw"), "backup entries": GDISK("reyw"),
    "no backup": sgdisk("-e"),
    "grown": sgdisk("-e"), "same GUID": sgdisk("-u", "2:R"), "no GUID": sgdisk("-u", "2:R"),
    "no disk GUID": sgdisk("-U", "R"), "FSInfo": fsck("-a"), "FATs differ": fsck("-a"), "dirty": fsck("-a"),
    "backup boot sector": fsck("-r", "1\n1\n"),
}


@pytest.mark.parametrize("name", REMEDIES)
def test_remedy(good, tmp_path, name):
    """Who does as the sentence says has nothing to fix any more."""
    image = copy(good["raw"], tmp_path / "x.img")
    with Edit(image) as disk:
        DISKS[name][0](disk)
    assert lint(image).status == 1
    REMEDIES[name](image)
    assert lint(image).wrong_ == []


NOTES = {
    "not at a MiB": ("raw", entry(2, 32, "<Q", 83968 + 8), "does not begin at a whole MiB"),
    "EE's length": ("raw", put(458, "<I", 4711), "covers 4711 sectors"),
    "EE active": ("raw", put(446, "B", 0x80), "marked active"),
    "hidden sectors": ("raw", lambda disk: [disk.put(ESP + sector * SECTOR + 28, "<I", 63) for sector in (0, 6)],
                       "63 sectors lie before it"),
    "no backup boot sector": ("raw", put(ESP + 50, "<H", 0), "no backup of its boot sector"),
    "writable code": ("raw", pe(24 + 160 + 36, "<I", 0xe0000020), "writable and executable"),
    "small alignment": ("raw", pe(24 + 32, "<I", 512), "aligns sections to 512 bytes"),
    "not signed": ("raw", put(0, "<H", 0), "not signed"),
    "no vmos.conf": ("raw", lambda disk: first_entry(b"VMOS~1  CON", b"VMAS~1  CON")(disk), r"no .vmos.vmos.conf"),
    "no initrd": ("raw", lambda disk: first_entry(b"INITRD  IMG", b"INITRD  OLD")(disk), r"no .vmos.initrd.img"),
    "two ESPs": ("raw", lambda disk: disk.entry(3, 0, "<16s16sQQ", gpt.ESP.bytes_le, b"x" * 16, 131040 - 8, 131038 - 8),
                 "2 EFI system partitions"),
    "VHD without identity": ("vhd", lambda disk: footer(68, "16s", bytes(16))(disk), "identity is zero"),
    "VHD's creator": ("vhd", lambda disk: footer(28, "4s", b"vpc ")(disk), "whose size QEMU believes"),
    "VHD resized": ("vhd", lambda disk: footer(40, ">Q", MIB)(disk), "VHD was resized: from 1 MiB"),
    "VHD's geometry": ("vhd", lambda disk: footer(56, ">H", 7)(disk), "geometry is 7/"),
    "VMDK not closed": ("vmdk", put(72, "B", 1), "not closed cleanly"),
    "small for EBS": ("qemu.vmdk", put(0, "4s", b"KDMV"), "EBS volume has a whole number of GiB"),
}


@pytest.mark.parametrize("name", NOTES)
def test_notes(good, tmp_path, name):
    """What is worth knowing keeps nobody from importing."""
    source, change, sentence = NOTES[name]
    image = copy(good[source], tmp_path / Path(good[source]).name)
    with Edit(image) as disk:
        change(disk)
    report = lint(image)
    assert any(re.search(sentence, note) for note in report.notes), report
    assert report.status == (1 if name == "two ESPs" else 0), report


@pytest.mark.parametrize("name,size,sentence", [
    ("gcp", 3 << 40, "up to 2 TiB and this one has 3 TiB"), ("aws", 17 << 40, "up to 16 TiB and this one has 17 TiB"),
    ("azure", 4096 << 30, "at most 4095 GiB and this one has 4 TiB"), ("azure", 19 * MIB, "at least 20 MiB"),
    ("azure", 20 * MIB + SECTOR, "whole number of MiB"), ("gcp", GIB + SECTOR, "whole number of GiB"),
])
def test_sizes(name, size, sentence):
    report = Report()
    cloud.CHECK[name](Image({"gcp": "tar.gz", "aws": "raw", "azure": "vhd-fixed"}[name], FileDisk(None, 0, size)),
                      report)
    assert len(report.wrong_) == 1 and sentence in report.wrong_[0]


# ---- Broken wrappings ------------------------------------------------------------------------------------------------

def archive(folder, members, form=tarfile.GNU_FORMAT, compress=True):
    """members: [(name, file or bytes)]"""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=form) as tar:
        for name, content in members:
            content = content if isinstance(content, bytes) else Path(content).read_bytes()
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(content), 1.5 if form == tarfile.PAX_FORMAT else 1
            tar.addfile(info, io.BytesIO(content))
    path = folder / "x.tar.gz"
    path.write_bytes(gzip.compress(data.getvalue(), 1) if compress else data.getvalue())
    return path


def edited(source, *changes):
    def build(good, folder):
        image = copy(good[source], folder / Path(good[source]).name)
        with Edit(image) as disk:
            for change in changes:
                change(disk)
        return image
    return build


def named(source, name):
    return lambda good, folder: copy(good[source], folder / name)


def text(name, data):
    def build(good, folder):
        (folder / name).write_bytes(data)
        return folder / name
    return build


def packed(*members, **options):
    return lambda good, folder: archive(folder, [(name, good["raw"] if data is None else data) for name,
                                                 data in members],
                                        **options)


def footer(at, form, *values, seal=True):
    """Changes the VHD's footer, and makes its checksum right again."""
    def change(disk):
        start = disk.size - SECTOR
        disk.put(start + at, form, *values)
        if seal:
            disk.put(start + 64, ">I", 0)
            disk.put(start + 64, ">I", ~sum(disk[start:start + SECTOR]) & 0xffffffff)
    return change


def renamed_footer(disk):
    disk[disk.size - SECTOR:disk.size - SECTOR + 8] = b"connecti"


def grain_damaged(disk):
    """The first grain lies at sector 128; its data begins 12 bytes on."""
    disk[128 * SECTOR + 12:128 * SECTOR + 40] = bytes(28)


def header(at, form, *values):
    """Changes a dynamic VHD's header, and makes its checksum right again."""
    def change(disk):
        disk.put(SECTOR + at, form, *values)
        disk.put(SECTOR + 36, ">I", 0)
        disk.put(SECTOR + 36, ">I", ~sum(disk[SECTOR:SECTOR + 1024]) & 0xffffffff)
    return change


def streamed_directory(at, form, *values):
    """Changes the grain directory of the stream-optimised disk, which the footer names; at: "table" or "grain"."""
    def change(disk):
        place = disk.get(disk.size - 2 * SECTOR + 56, "<Q")[0] * SECTOR
        if at == "grain":
            place = disk.get(place, "<I")[0] * SECTOR
        disk.put(place, form, *values)
    return change


def after_the_end(data):
    """A good archive with something behind it, inside the gzip data."""
    def build(good, folder):
        tar = gzip.decompress(good["gcp"].read_bytes())
        tar = tar.rstrip(b"\0") if data is None else tar + data
        (folder / "x.tar.gz").write_bytes(gzip.compress(tar + bytes(-len(tar) % SECTOR), 1))
        return folder / "x.tar.gz"
    return build


def broken_map(at, data):
    """The archive's header with other bytes, and its checksum right again."""
    def build(good, folder):
        tar = bytearray(gzip.decompress(good["gcp"].read_bytes()))
        tar[at:at + len(data)] = data
        tar[148:156] = b" " * 8
        tar[148:156] = b"%06o\0 " % sum(tar[:SECTOR])
        (folder / "x.tar.gz").write_bytes(gzip.compress(tar, 1))
        return folder / "x.tar.gz"
    return build


def odd_disk(size):
    def build(good, folder):
        image = copy(good["raw"], folder / "odd.img")
        os.truncate(image, size)
        subprocess.run(["sgdisk", "-e", image], check=size >= 64 * MIB, capture_output=True)
        return image
    return build


def odd_archive(good, folder):
    return archive(folder, [("disk.raw", odd_disk(65 * MIB)(good, folder))])


def odd_vhd(good, folder):
    """A fixed VHD as qemu-img makes it without force_size: rounded to cylinders."""
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "vpc", "-o", "subformat=fixed", good["raw"],
                    folder / "x.vhd"],
                   check=True)
    return folder / "x.vhd"


FLAT = b'# Disk DescriptorFile\nversion=1\ncreateType="monolithicFlat"\nRW 131072 FLAT "x-flat.vmdk" 0\n'
WRAPPINGS = {
    "tar: pax": (packed(("disk.raw", None), form=tarfile.PAX_FORMAT), [], "pax headers; Compute Engine asks for old "
                                                                          "GNU"),
    "tar: ustar": (packed(("disk.raw", None), form=tarfile.USTAR_FORMAT), [], "tar format is ustar or pax"),
    "tar: another name": (packed(("image.raw", None)), [], r"called 'image.raw'; it must be exactly disk.raw"),
    "tar: in a folder": (packed(("./disk.raw", None)), [], r"called './disk.raw'; it must be exactly disk.raw"),
    "tar: more files": (packed(("disk.raw", None), ("README", b"x")), [], "holds 'README', too"),
    "tar: no disk.raw but a link": (broken_map(156, b"2"), [], "disk.raw is no file in this archive"),
    "tar: map": (broken_map(386, b"9" * 11), [], "sparse file's map is damaged"),
    "tar: map beyond the file": (broken_map(483, b"00000001000\0"), [], "map is not in order or reaches beyond the "
                                                                        "file"),
    "tar: map's sum": (broken_map(124, b"00000001000\0"), [], "map holds other than the archive says"),
    "tar: too large": (broken_map(483, b"\x80" + (1 << 50).to_bytes(11, "big")), [], "more than any cloud's disk"),
    "tar: many files": (packed(*[(f"f{i}", b"") for i in range(21)]), [], "more than 20 files"),
    "tar: no disk": (packed(("README", b"x")), [], "holds no disk.raw"),
    "tar: not whole GiB": (odd_archive, [], "whole number of GiB and this one has 65 MiB"),
    "tar: cut": (edited("gcp", resize(-100)), [], "gzip data ends in the middle"),
    "tar: damaged": (edited("gcp", lambda disk: disk.put(disk.size // 2, "8s", b"\xff" * 8)), [],
                     "gzip data is damaged"),
    "tar: not compressed": (lambda good, folder: archive(folder, [("disk.raw", b"x")], compress=False), [],
                            "name says tar.gz but the file is not compressed"),
    "tar: no tar in it": (text("x.tar.gz", gzip.compress(b"x" * 5000)), [], "no tar archive in the gzip file"),
    "tar: for AWS": (lambda good, folder: good["gcp"], ["aws"], "not a tar.gz: unpack it first"),
    "gz without tar": (text("disk.raw.gz", gzip.compress(b"x")), [], "gzip without a tar around it"),
    "raw for Compute Engine": (lambda good, folder: good["raw"], ["gcp"], "disk.raw in an old-GNU tar.gz, not a raw "
                                                                          "disk"),
    "raw for Azure": (lambda good, folder: good["raw"], ["azure"], "Azure imports a fixed VHD, not a raw disk"),
    "vhd: checksum": (edited("vhd", footer(64, ">I", 5, seal=False)), [], "VHD footer's checksum is 0x00000005"),
    "vhd: cookie": (edited("vhd", renamed_footer), [], "last 512 bytes are no VHD footer"),
    "vhd: cut": (edited("vhd", resize(-SECTOR)), [], "last 512 bytes are no VHD footer"),
    "vhd: 511 bytes": (edited("vhd", resize(-1)), [], "VHD's footer has 511 bytes"),
    "vhd: version": (edited("vhd", footer(12, ">I", 0x20000)), [], "footer's version is 0x20000"),
    "vhd: features": (edited("vhd", footer(8, ">I", 0)), [], "features lack the reserved bit"),
    "vhd: size": (edited("vhd", footer(48, ">Q", 63 * MIB)), [], "footer says 63 MiB and the file holds 64 MiB"),
    "vhd: type": (edited("vhd", footer(60, ">I", 9)), [], "names disk type 9"),
    "vhd: differencing": (edited("vhd", footer(60, ">I", 4)), [], "differencing VHD holds only what differs"),
    "vhd: data offset": (edited("vhd", footer(16, ">Q", 512)), [], "has all ones as its data offset"),
    "vhd: saved state": (edited("vhd", footer(84, "B", 1)), [], "in saved state"),
    "vhd: dynamic": (lambda good, folder: good["dynamic.vhd"], [], "Azure imports fixed VHDs only"),
    "vhd: dynamic, cut": (edited("dynamic.vhd", resize(-SECTOR)), [], "VHD has no footer at its end"),
    "vhd: copies differ": (edited("dynamic.vhd", footer(24, ">I", 5)), [], "footer and its copy at the start differ"),
    "vhd: header's place": (edited("dynamic.vhd", put(16, ">Q", 1 << 40)), [], "header is not where the footer says"),
    "vhd: header's checksum": (edited("dynamic.vhd", put(SECTOR + 36, ">I", 1)), [], "header's checksum is wrong"),
    "vhd: blocks": (edited("dynamic.vhd", header(32, ">I", 1000)), [], "blocks have 1000 bytes"),
    "vhd: few blocks": (edited("dynamic.vhd", header(28, ">I", 1)), [], "table has 1 blocks, too few"),
    "vhd: table": (edited("dynamic.vhd", header(16, ">Q", 1 << 40)), [], "table of blocks lies outside the file"),
    "vhd: differencing, with header": (edited("dynamic.vhd", put(60, ">I", 4)), [], "only what differs"),
    "vhd: not whole MiB": (odd_vhd, [], "whole number of MiB and this one has 65552 KiB"),
    "vhd: 10 MiB": (lambda good, folder: pack("vhd", odd_disk(10 * MIB)(good, folder), folder / "x.vhd"), [],
                    "at least 20 MiB"),
    "vmdk: sparse": (lambda good, folder: good["mono.vmdk"], [], "AWS imports only the stream-optimised"),
    "vmdk: cut": (edited("vmdk", resize(-SECTOR)), [], "does not end with a footer and an end-of-stream"),
    "vmdk: grain": (edited("vmdk", grain_damaged), [], "grain 0 cannot be decompressed"),
    "vmdk: grain's place": (edited("vmdk", put(128 * SECTOR, "<Q", 99)), [], "grain 0 is not where its table says"),
    "vmdk: as text": (edited("vmdk", put(73, "4s", b"\n  \n")), [], "copied as text"),
    "vmdk: header": (edited("vmdk", put(20, "<Q", 3)), [], "header makes no sense"),
    "vmdk: capacity": (edited("vmdk", put(12, "<Q", 131072)), [], "descriptor says 2097152 sectors and its header "
                                                                  "131072"),
    "vmdk: child": (edited("vmdk", lambda disk: first_entry(b"parentCID=ffffffff", b"parentCID=12345678")(disk)
                           if disk.size > 3 * MIB else disk.put(disk.find(b"parentCID=ffff", 0, 4096) + 10, "8s",
                                                                b"12345678")),
                    [], "child of another disk"),
    "vmdk: version": (edited("vmdk", put(4, "<I", 9)), [], "VMDK's version is 9"),
    "vmdk: method": (edited("vmdk", put(77, "<H", 2)), [], "compressed by method 2"),
    "vmdk: no createType": (edited("vmdk", lambda disk: disk.put(disk.find(b"createType", 0, 4096), "B", 35)), [],
                            "no descriptor with a"),
    "vmdk: createType": (edited("vmdk", lambda disk: disk.put(disk.find(b'"streamOptimized"', 0, 4096) + 1, "15s",
                                                              b"monolithicSpar1")), [], "is compressed but its "
                                                                                        "descriptor"),
    "vmdk: directory": (edited("vmdk", lambda disk: disk.put(disk.size - 2 * SECTOR + 56, "<Q", 1 << 30)), [],
                        "grain directory lies outside"),
    "vmdk: footer": (edited("vmdk", lambda disk: disk.put(disk.size - 2 * SECTOR + 12, "<Q", 7)), [],
                     "footer contradicts its header"),
    "vmdk: table": (edited("vmdk", streamed_directory("table", "<I", 1 << 30)), [], "grain table 0 lies outside"),
    "vmdk: grain outside": (edited("vmdk", streamed_directory("grain", "<I", 1 << 30)), [], "grain 0 lies outside"),
    "vmdk: descriptor": (text("x.vmdk", FLAT), [], r"only the text that describes a disk \(monolithicFlat\)"),
    "vmdk: by name only": (text("x.vmdk", b"\1" * 9000), [], "does not begin like one"),
    "vmdk: for Azure": (lambda good, folder: good["vmdk"], ["azure"], "fixed VHD, not a stream-optimised VMDK"),
    "qcow2": (lambda good, folder: good["x.qcow2"], [], "it is a qcow2 image"),
    "vhdx": (lambda good, folder: good["x.vhdx"], [], "it is a VHDX"),
    "vdi": (lambda good, folder: good["x.vdi"], [], "it is a VirtualBox VDI"),
    "xz": (text("x.img.xz", b"\xfd7zXZ\0" + bytes(99)), [], "compressed by xz; unpack it first"),
    "zip": (text("x.zip", b"PK\3\4" + bytes(99)), [], "a zip archive; unpack it first"),
    "ISO": (text("x.iso", bytes(0x8001) + b"CD001" + bytes(9999)), [], "CD image"),
    "empty": (text("x.img", b""), [], "the file is empty"),
    "short": (text("x.img", b"hello"), [], "too few for any disk"),
}


@pytest.mark.parametrize("name", WRAPPINGS)
def test_broken_wrapping(good, tmp_path, name):
    build, clouds, sentence = WRAPPINGS[name]
    report = lint(build(good, tmp_path), clouds)
    assert any(re.search(sentence, found) for found in report.wrong_ + report.unchecked), report
    assert report.status == (2 if report.unchecked else 1)


def test_archive_ends(good, tmp_path):
    for data, sentence in (b"junk", "something follows the archive's end"), (None, "lacks the two blocks of zeros"):
        report = lint(after_the_end(data)(good, tmp_path))
        assert report.status == 0 and any(sentence in note for note in report.notes), report


# ---- Other people's images -------------------------------------------------------------------------------------------

def debian_like(folder, fat_bits="16", boot_file=True, size="256M"):
    """As Debian's cloud images are: numbers 14 (BIOS boot) and 15 (ESP), a root behind them, shim's folder."""
    image, esp = folder / "debian.raw", folder / "esp"
    with open(image, "wb") as file:
        file.truncate(int(size[:-1]) * MIB)
    subprocess.run(["sgdisk", "-n", "14:2048:+3M", "-t", "14:EF02", "-n", "15:0:+64M", "-t", "15:EF00", "-n", "1:0:0",
                    "-t", "1:8304", image], check=True, capture_output=True)
    with open(esp, "wb") as file:
        file.truncate(64 * MIB)
    subprocess.run(["mkfs.vfat", "-F", fat_bits, *(["-s", "1"] if fat_bits == "32" else []), "-h", "8192", esp],
                   check=True,
                   capture_output=True)
    (folder / "prog").write_bytes(program())
    subprocess.run(["mmd", "-i", esp, "::/EFI", "::/EFI/boot", "::/EFI/debian"], check=True)
    subprocess.run(["mcopy", "-i", esp, folder / "prog",
                    "::/EFI/" + ("boot/bootx64.efi" if boot_file else "debian/a.efi")],
                   check=True)
    subprocess.run(["dd", f"if={esp}", f"of={image}", "bs=1M", "seek=4", "conv=notrunc,sparse", "status=none"],
                   check=True)
    with Edit(image) as disk:
        disk.put(0, "16s", b"\xeb\x63\x90GRUB boot co")
    return image


@pytest.mark.parametrize("bits", ["16", "32"])
def test_foreign(tmp_path, bits):
    report = lint(debian_like(tmp_path, bits))
    assert report.status == 0 and "UEFI x64" in report.facts and "vmos" not in report.facts, report
    assert any("FAT16" in note for note in report.notes) == (bits == "16")


def test_foreign_without_boot_path(tmp_path):
    """A distribution's own loader is found through boot entries that a new machine does not have."""
    report = lint(debian_like(tmp_path, boot_file=False))
    assert any("would start by itself" in wrong for wrong in report.wrong_), report
    assert lint(tmp_path / "debian.raw", allow_bios=True).status == 0


def test_allow_bios(good, tmp_path):
    image = copy(good["raw"], tmp_path / "x.img")
    with Edit(image) as disk:
        as_mbr(disk)
    assert lint(image).status == 1
    report = lint(image, allow_bios=True)
    assert report.status == 0 and any("BIOS only" in note for note in report.notes), report


def test_mbr_with_esp(good, tmp_path):
    """UEFI boots from an MBR, too; Azure's generation 2 does not."""
    image = copy(good["raw"], tmp_path / "x.img")
    with Edit(image) as disk:
        as_mbr(disk)
        disk.put(450, "B", 0xef)
    assert not any("BIOS" in wrong for wrong in lint(image).wrong_)
    assert any("generation 2" in wrong for wrong in lint(pack("vhd", image, tmp_path / "x.vhd")).wrong_)


def test_arch(good):
    assert lint(good["raw"], arch="x64").status == 0
    assert any("has no \\EFI\\BOOT\\BOOTAA64.EFI; it has BOOTX64.EFI" in wrong
               for wrong in lint(good["raw"], arch="arm64").wrong_)


# ---- The command -----------------------------------------------------------------------------------------------------

def test_command(good, tmp_path):
    done = tool("lint-image", good["raw"], good["vhd"])
    assert done.returncode == 0 and done.stdout.count("nothing to fix") == 2 and done.stderr == ""
    done = tool("lint-image", good["raw"], tmp_path / "absent", good["dynamic.vhd"])
    assert done.returncode == 2 and "unchecked: it cannot be read: No such file" in done.stdout
    assert re.search(r"dynamic.vhd: dynamic VHD.*for Azure: 1 to fix", done.stdout)
    assert tool("lint-image", "--quiet", good["raw"]).stdout == ""
    for wrong in [], ["--cloud", "moon", "x"], ["--arch", "vax", "x"], ["--nonsense"]:
        done = tool("lint-image", *wrong)
        assert done.returncode == 2 and "lint-image" in done.stderr and "Traceback" not in done.stderr
    assert tool("lint-image", "--help").returncode == 0
    os.mkfifo(tmp_path / "fifo")
    for odd in tmp_path, tmp_path / "fifo", "/dev/null":
        assert "neither a file nor a block device" in (done := tool("lint-image", odd)).stdout and done.returncode == 2
    assert not list((Path(__file__).parents[2] / "tools").rglob("__pycache__"))


def test_names_cannot_move_the_cursor(good, tmp_path):
    image = copy(good["raw"], tmp_path / "x.img")
    with Edit(image) as disk:
        disk.entry(2, 56, "<4H", 0x1b, ord("["), ord("2"), ord("J"))
        disk.entry(2, 40, "<Q", 99)
    assert "\x1b" not in tool("lint-image", image).stdout


def test_large_and_fast(tmp_path):
    """A terabyte that is a hole costs no more than what is in it."""
    image = make(tmp_path, size="1T")
    assert lint(image, ["aws"]).status == 0


# ---- Noise -----------------------------------------------------------------------------------------------------------

HOT = {  # where the structures lie (0: anywhere); what lies between is zero or data
    "raw": [(0, 40 * SECTOR), (ESP, 60 * SECTOR), (ESP + 1292 * SECTOR, 40 * SECTOR), (-40 * SECTOR, 40 * SECTOR)],
    "vhd": [(0, 40 * SECTOR), (ESP, 60 * SECTOR), (-SECTOR, SECTOR)],
    "dynamic.vhd": [(0, 6 * SECTOR), (-SECTOR, SECTOR)], "vmdk": [(0, 2 * SECTOR), (-20000, 20000)],
    "mono.vmdk": [(0, 4 * SECTOR), (21 * SECTOR, 100 * SECTOR)], "gcp": [(0, 0)],
}
VALUES = (0, 1, 2, 3, 0x7f, 0x80, 0xfe, 0xff)


@pytest.mark.parametrize("name", HOT)
def test_noise(good, tmp_path, name):
    """Seeded changes: always a report, never an exception, and never long. A quarter has CRCs that hold."""
    chance = random.Random(f"noise {name}")
    image = copy(good[name], tmp_path / Path(good[name]).name)
    found = {0: 0, 1: 0, 2: 0}
    with Edit(image) as disk:
        size = disk.size
        for turn in range(2000 if LONG else 120):
            kept = []
            for _ in range(chance.choice((1, 1, 2, 8))):
                start, length = chance.choice(HOT[name])
                at = (start if start >= 0 else size + start) + chance.randrange(length or size)
                count = chance.choice((1, 1, 2, 4, 8))
                kept.append((at, disk[at:at + count]))
                disk[at:at + len(kept[-1][1])] = bytes(chance.choice(VALUES) if chance.random() < 0.7 else
                                                       chance.randrange(256) for _ in kept[-1][1])
            if turn % 4 == 0 and name in ("raw", "vhd"):
                kept.append((SECTOR, disk[SECTOR:2 * SECTOR]))
                disk.put(SECTOR + 88, "<I", zlib.crc32(disk[1024:1024 + 128 * 128]))
                disk.seal(SECTOR)
            disk.file.flush()
            report = lint(image)
            found[report.status] += 1
            assert all(isinstance(s, str) and s for s in report.wrong_ + report.notes + report.unchecked)
            for at, data in reversed(kept):
                disk[at:at + len(data)] = data
        disk.file.flush()
    assert lint(image).status == lint(good[name]).status, "the file was not put back"
    assert found[1] + found[2] > 30, f"the noise hit nothing: {found}"


@pytest.mark.parametrize("name", ["raw", "vhd", "dynamic.vhd", "vmdk", "gcp"])
def test_cut_anywhere(good, tmp_path, name):
    """Never taken for whole. (The last bytes of a tar.gz may be padding.)"""
    chance = random.Random(f"cut {name}")
    size = os.path.getsize(good[name])
    for turn in range(12):
        image = copy(good[name], tmp_path / Path(good[name]).name)
        os.truncate(image, chance.randrange(size) if turn else size - 1)
        assert lint(image).status in (1, 2)
