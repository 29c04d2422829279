"""The EFI system partition's file system. [Microsoft, FAT specification; UEFI 2.10 §13.3]"""
import struct
from dataclasses import dataclass

from .report import size_text

MOST_ENTRIES = 65536  # in a directory, 32 bytes each
COMPARE_STEP = 1 << 20
DIRECTORY, VOLUME, LONG_NAME = 0x10, 0x08, 0x0f


class Volume:
    """A FAT file system, by the specification's names. `fault` says why it is none."""

    def __init__(self, part):
        self.part = part
        boot = part.read(0, 512).ljust(512, b"\0")
        self.boot, self.fault = boot, None
        (self.sector, self.per_cluster, self.reserved, self.copies, self.root_entries, total16, self.media, fat16, _, _,
         self.hidden, total32) = struct.unpack("<HBHBHHBHHHII", boot[11:36])
        self.total, self.fat_sectors = total16 or total32, fat16 or struct.unpack("<I", boot[36:40])[0]
        self.is32 = not fat16
        self.fault = self._fault()
        if self.fault:
            return
        self.root_sectors = -(-self.root_entries * 32 // self.sector)
        self.data_start = self.reserved + self.copies * self.fat_sectors + self.root_sectors
        self.clusters = max(0, self.total - self.data_start) // self.per_cluster
        self.cluster_bytes = self.sector * self.per_cluster
        self.bits = 12 if self.clusters < 4085 else 16 if self.clusters < 65525 else 32
        if self.is32:
            self.bits = 32
        self.fat_window = (None, b"")

    def _fault(self):
        if self.boot[510:512] != b"\x55\xaa":
            return "has no boot signature (55 AA)"
        if self.boot[3:11] in (b"NTFS    ", b"EXFAT   "):
            return f"is {self.boot[3:8].decode().strip()}"
        if self.sector not in (512, 1024, 2048, 4096):
            return f"has sectors of {self.sector} bytes"
        if not self.per_cluster or self.per_cluster & (self.per_cluster - 1):
            return f"has clusters of {self.per_cluster} sectors, which is no power of two"
        if not self.reserved or not self.copies or not self.fat_sectors or not self.total:
            return "has zero reserved sectors, FATs, sectors of FAT or sectors in all"
        if self.copies > 2:
            return f"has {self.copies} FATs"
        return None

    def fat_offset(self, copy=0):
        return (self.reserved + copy * self.fat_sectors) * self.sector

    def next(self, cluster):
        """What the FAT says for a cluster: a number, or None at the end of a chain or where there is none."""
        at = cluster * self.bits // 8
        if at + 4 > self.fat_sectors * self.sector + 2:
            return None
        window = at >> 16
        if self.fat_window[0] != window:
            self.fat_window = (window, self.part.read(self.fat_offset() + (window << 16), (1 << 16) + 4))
        raw = self.fat_window[1][at - (window << 16):][:4].ljust(4, b"\0")
        if self.bits == 12:
            value = struct.unpack("<H", raw[:2])[0] >> (4 if cluster & 1 else 0) & 0xfff
        elif self.bits == 16:
            value = struct.unpack("<H", raw[:2])[0]
        else:
            value = struct.unpack("<I", raw)[0] & 0x0fffffff
        return value if 2 <= value < self.clusters + 2 else None

    def chain(self, first, most):
        """The clusters of a file in order, at most that many; ends where the chain does or comes back on itself."""
        cluster, seen = first, set()
        while cluster is not None and 2 <= cluster < self.clusters + 2 and cluster not in seen and len(seen) < most:
            seen.add(cluster)
            yield cluster
            cluster = self.next(cluster)

    def cluster_offset(self, cluster):
        return (self.data_start + (cluster - 2) * self.per_cluster) * self.sector

    def root(self):
        if self.is32:
            return self.clusters_data(struct.unpack("<I", self.boot[44:48])[0], MOST_ENTRIES * 32)
        start = (self.reserved + self.copies * self.fat_sectors) * self.sector
        return self.part.read(start, min(self.root_entries, MOST_ENTRIES) * 32)

    def clusters_data(self, first, limit):
        parts, length = [], 0
        for cluster in self.chain(first, -(-limit // self.cluster_bytes)):
            parts.append(self.part.read(self.cluster_offset(cluster), self.cluster_bytes))
            length += len(parts[-1])
            if length >= limit:
                break
        return b"".join(parts)[:limit]


@dataclass(frozen=True)
class Entry:
    name: str
    short: str
    directory: bool
    cluster: int
    size: int


def short_name(raw, case):
    """8.3 as it is shown; two bits say that the name or the extension was written in small letters."""
    base, extension = raw[:8].decode("latin-1").rstrip(), raw[8:].decode("latin-1").rstrip()
    base, extension = base.lower() if case & 8 else base, extension.lower() if case & 16 else extension
    return base + ("." + extension if extension else "")


def entries_of(data, wide=True):
    """wide: FAT32, whose entries have the upper half of the first cluster's number where others keep something else."""
    found, long, check = [], {}, None
    for at in range(0, len(data) - 31, 32):
        raw = data[at:at + 32]
        if not raw[0]:
            break
        if raw[0] == 0xe5:
            long = {}
            continue
        if raw[11] & 0x3f == LONG_NAME:
            if raw[0] & 0x40:
                long, check = {}, raw[13]
            if raw[13] == check:
                long[raw[0] & 0x3f] = raw[1:11] + raw[14:26] + raw[28:32]
            continue
        if not raw[11] & VOLUME:
            short = short_name(raw[:11], raw[12])
            total = 0
            for byte in raw[:11]:
                total = ((total & 1) << 7 | total >> 1) + byte & 0xff
            name = short
            if long and check == total and sorted(long) == list(range(1, len(long) + 1)):
                units = b"".join(long[i] for i in sorted(long))
                name = units.decode("utf-16-le", "replace").split("\0")[0]
            high, low, size = struct.unpack("<H4xHI", raw[20:32])
            found.append(Entry(name, short, bool(raw[11] & DIRECTORY), (high << 16 if wide else 0) | low, size))
        long, check = {}, None
    return found


def listing(volume, path):
    """The entries of the folder of that path, or None; names are compared without regard to case, as firmware does."""
    data = volume.root()
    for word in path:
        found = next((entry for entry in entries_of(data, volume.is32)
                      if entry.directory and word.upper() in (entry.name.upper(), entry.short.upper())), None)
        if found is None:
            return None
        data = volume.clusters_data(found.cluster, MOST_ENTRIES * 32)
    return entries_of(data, volume.is32)


# ---- Checks ----------------------------------------------------------------------------------------------------------

REMAKE = "make the file system anew: mkfs.vfat -F 32"


def check_numbers(volume, where, report):
    sectors = volume.part.size // volume.sector
    if volume.sector != 512:
        report.wrong(f"{where} has sectors of {volume.sector} bytes and cloud disks have 512: firmware does not read "
                     f"it; {REMAKE}")
    if volume.total > sectors:
        report.wrong(f"{where} says it has {volume.total} sectors, more than its partition ({sectors}); {REMAKE}")
    if volume.data_start >= volume.total:
        report.wrong(f"{where} has no room for data behind its FATs; {REMAKE}")
    if volume.fat_sectors * volume.sector * 8 < (volume.clusters + 2) * volume.bits:
        report.wrong(f"{where} has {volume.clusters} clusters, more than its FATs ({volume.fat_sectors} sectors each) "
                     f"name; {REMAKE}")
    if volume.boot[0] not in (0xeb, 0xe9):
        report.wrong(f"{where} does not begin with a jump (EB or E9): firmware does not take it for FAT; {REMAKE}")
    if not volume.is32:
        report.note(f"{where} is FAT{volume.bits}; UEFI asks for FAT32 on a system partition, though all known "
                    "firmware reads FAT16")
    elif volume.clusters < 65525:
        report.wrong(f"{where} is laid out as FAT32 but has {volume.clusters} clusters, fewer than the 65525 that "
                     "make a FAT32: firmware takes it for FAT16; make the partition at least 36 MiB, or clusters "
                     "smaller: mkfs.vfat -F 32 -s 1")


def check_32(volume, where, report):
    version, root, info, backup = struct.unpack("<HIHH", volume.boot[42:52])
    if volume.root_entries or volume.boot[22:24] != b"\0\0":
        report.wrong(f"{where} is FAT32 and has a fixed root directory; {REMAKE}")
    if version:
        report.wrong(f"{where} has FAT32 version {version:#x}; only 0 is known; {REMAKE}")
    if not 2 <= root < volume.clusters + 2:
        report.wrong(f"{where} has its root directory in cluster {root}, which does not exist; {REMAKE}")
    data = volume.part.read(info * 512, 512) if 0 < info < volume.reserved else b""
    if len(data) < 512 or data[:4] != b"RRaA" or data[484:488] != b"rrAa" or data[508:512] != b"\0\0\x55\xaa":
        report.wrong(f"{where} has no FSInfo sector (sector {info}); repair it: fsck.vfat -a")
    else:
        free, following = struct.unpack("<II", data[488:496])
        if not (free <= volume.clusters or free == 0xffffffff) or not (
                following < volume.clusters + 2 or following == 0xffffffff):
            report.wrong(f"{where}'s FSInfo says {free} clusters are free (next {following}) and there are "
                         f"{volume.clusters}; repair it: fsck.vfat -a")
    if not 0 < backup < volume.reserved:
        report.note(f"{where} has no backup of its boot sector")
    elif volume.part.read(backup * 512, 90) != volume.boot[:90]:
        report.wrong(f"{where}'s boot sector and its backup (sector {backup}) differ; copy the right one over the "
                     "other: fsck.vfat -r")


def check_fats(volume, where, report):
    first = volume.part.read(volume.fat_offset(), 8).ljust(8, b"\0")
    if first[0] != volume.media:
        report.wrong(f"{where}'s FAT begins with media {first[0]:#04x} and the boot sector says {volume.media:#04x}; "
                     "repair it: fsck.vfat -a")
    mark = {32: int.from_bytes(first[4:8], "little") >> 26, 16: int.from_bytes(first[2:4], "little") >> 14, 12: 3}
    if not mark[volume.bits] & 2 or volume.boot[65 if volume.is32 else 37] & 1:
        report.wrong(f"{where} is marked dirty: it was not unmounted; repair it: fsck.vfat -a")
    elif not mark[volume.bits] & 1:
        report.wrong(f"{where} is marked as having had read errors; repair it: fsck.vfat -a")
    length = volume.fat_sectors * volume.sector
    mirrored = not volume.is32 or not volume.boot[40] & 0x80
    for at in range(0, min(length, 1 << 28) if volume.copies == 2 and mirrored else 0, COMPARE_STEP):
        take = min(COMPARE_STEP, length - at)
        one, two = (volume.part.read(volume.fat_offset(copy) + at, take) for copy in (0, 1))
        if len(one) < take or len(two) < take:
            report.wrong(f"{where}'s FATs reach beyond the disk: the file is cut")
            break
        if one != two:
            byte = next(i for i, (a, b) in enumerate(zip(one, two)) if a != b)
            report.wrong(f"{where}'s two FATs differ, first at byte {at + byte}; repair it: fsck.vfat -a")
            break


def check_volume(part, where, start, report):
    """The Volume, or None when there is none to look into."""
    volume = Volume(part)
    if volume.fault:
        report.wrong(f"{where} holds no FAT file system: it {volume.fault}; {REMAKE}")
        return None
    check_numbers(volume, where, report)
    if volume.hidden != start // 512:
        report.note(f"{where} says that {volume.hidden} sectors lie before it, and {start // 512} do")
    if volume.is32:
        check_32(volume, where, report)
    check_fats(volume, where, report)
    return volume


def read_file(volume, entry, limit, where, report):
    """The first bytes of a file, whose whole chain is looked at; None when the chain is broken."""
    need = -(-entry.size // volume.cluster_bytes)
    if need > volume.clusters:
        report.wrong(f"{where} has {size_text(entry.size)}, more than its file system")
        return None
    have = sum(1 for _ in volume.chain(entry.cluster, need + 1))
    if have != need:
        report.wrong(f"{where} has {entry.size} bytes, which take {need} clusters, but its chain in the FAT has "
                     + ("more" if have > need else f"{have}") + ": copy it there again, or fsck.vfat -a")
        return None
    return volume.clusters_data(entry.cluster, min(limit, entry.size)) if entry.size else b""
