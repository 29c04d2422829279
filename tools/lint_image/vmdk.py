"""VMDK: sparse extents, stream-optimised or not. [VMware, Virtual Disk Format 5.0]"""
import re
import struct
import zlib

from .disk import BlockDisk, FileDisk, SECTOR

HEADER = struct.Struct("<4sIIQQQQIQQQB4sH")
AT_END = (1 << 64) - 1
COMPRESSED, MARKERS = 1 << 16, 1 << 17
LARGEST = (64 << 40) // SECTOR
TO_STREAM = "qemu-img convert -O vmdk -o subformat=streamOptimized"


class Extent:
    """The header of a sparse extent, by the format's own names."""

    def __init__(self, data):
        (self.magic, self.version, self.flags, self.capacity, self.grain, self.descriptor, self.descriptor_size,
         self.per_table, _, self.directory, self.overhead, self.unclean, self.line_ends, self.compress
         ) = HEADER.unpack(data[:HEADER.size])

    @property
    def streamed(self):
        return bool(self.flags & COMPRESSED and self.flags & MARKERS)

    @property
    def believable(self):
        return (self.magic == b"KDMV" and 8 <= self.grain <= 8192 and not self.grain & (self.grain - 1)
                and 1 <= self.per_table <= 65536 and 1 <= self.capacity <= LARGEST)


def check_descriptor(whole, extent, report):
    text = whole.read(extent.descriptor * SECTOR, min(extent.descriptor_size, 40) * SECTOR).split(b"\0")[0]
    text = text.decode("ascii", "replace")
    kind = re.search(r'^\s*createType\s*=\s*"(\w*)"', text, re.M)
    if not kind:
        report.wrong(f"the VMDK has no descriptor with a createType; convert it anew: {TO_STREAM}")
        return
    if extent.streamed and kind[1] != "streamOptimized":
        report.wrong(f'the VMDK is compressed but its descriptor says createType="{kind[1]}"; it must say '
                     '"streamOptimized"')
    parent = re.search(r"^\s*parentCID\s*=\s*([0-9a-fA-F]+)", text, re.M)
    if parent and int(parent[1], 16) != 0xffffffff:
        report.wrong("the VMDK is a child of another disk (its parentCID is not ffffffff); merge the snapshots first")
    sectors = sum(int(count[:19]) for count in re.findall(r"^\s*(?:RW|RDONLY)\s+(\d+)\s+SPARSE\b", text, re.M))
    if sectors != extent.capacity:
        report.wrong(f"the VMDK's descriptor says {sectors} sectors and its header {extent.capacity}")


def find_directory(whole, extent, report):
    """The sector of the grain directory. A streamed disk has it at the end, named by the footer."""
    if extent.directory != AT_END:
        return extent.directory
    tail = whole.read(whole.size - 3 * SECTOR, 3 * SECTOR)
    marker, footer, last = tail[:SECTOR], tail[SECTOR:2 * SECTOR], tail[2 * SECTOR:]
    if len(tail) < 3 * SECTOR or any(last[:16]) or struct.unpack("<II", marker[8:16]) != (0,
                                                                                          3) or footer[:4] != b"KDMV":
        report.wrong("the VMDK does not end with a footer and an end-of-stream mark: the file is cut, copy or convert "
                     "it again")
        return None
    end = Extent(footer)
    if (end.capacity, end.grain, end.per_table) != (extent.capacity, extent.grain, extent.per_table):
        report.wrong("the VMDK's footer contradicts its header: the file is damaged")
        return None
    return end.directory


def load_tables(whole, extent, directory, report):
    """{number of a grain: its sector}, or None."""
    count = -(-extent.capacity // (extent.grain * extent.per_table))
    if directory * SECTOR + 4 * count > whole.size or count > 4 << 20:
        report.wrong("the VMDK's grain directory lies outside the file: the file is cut or damaged")
        return None
    tables = struct.unpack(f"<{count}I", whole.read(directory * SECTOR, 4 * count))
    grains, limit, seen = {}, -(-extent.capacity // extent.grain), set()
    for number, sector in enumerate(tables):
        if not sector:
            continue
        data = whole.read(sector * SECTOR, 4 * extent.per_table)
        if len(data) < 4 * extent.per_table or sector in seen:
            report.wrong(f"the VMDK's grain table {number} lies outside the file or is another's: the file is damaged")
            return None
        seen.add(sector)
        for index, place in enumerate(struct.unpack(f"<{extent.per_table}I", data)):
            if place > 1 and number * extent.per_table + index < limit:
                grains[number * extent.per_table + index] = place
    return grains


def check_grains(whole, extent, grains, report):
    """Each grain lies in the file and, when streamed, says itself where it belongs."""
    for number, place in grains.items():
        head = whole.read(place * SECTOR, 12)
        if len(head) < 12:
            report.wrong(f"the VMDK's grain {number} lies outside the file: the file is cut")
            return
        if extent.streamed:
            sector, size = struct.unpack("<QI", head)
            if sector != number * extent.grain or not size or place * SECTOR + 12 + size > whole.size:
                report.wrong(f"the VMDK's grain {number} is not where its table says: the file is damaged")
                return


def open_sparse(file, size, report):
    whole = FileDisk(file, 0, size)
    extent = Extent(whole.read(0, SECTOR).ljust(SECTOR, b"\0"))
    report.fact("stream-optimised VMDK" if extent.streamed else "sparse VMDK, not stream-optimised")
    if extent.version not in (1, 2, 3):
        report.wrong(f"the VMDK's version is {extent.version}; 1 to 3 are known: convert it anew: {TO_STREAM}")
    if not extent.believable:
        report.wrong(f"the VMDK's header makes no sense (grains of {extent.grain} sectors, {extent.per_table} to a "
                     f"table, {extent.capacity} sectors in all): the file is damaged")
        return extent.streamed, None
    if extent.line_ends != b"\n \r\n":
        report.wrong("the VMDK's line ends were changed: the file was copied as text, copy it in binary")
    if extent.unclean:
        report.note("the VMDK was not closed cleanly")
    if extent.streamed and extent.compress != 1:
        report.wrong(f"the VMDK is compressed by method {extent.compress}; only 1, deflate, is known")
        return True, None
    check_descriptor(whole, extent, report)
    directory = find_directory(whole, extent, report)
    grains = None if directory is None else load_tables(whole, extent, directory, report)
    if grains is None:
        return extent.streamed, None
    check_grains(whole, extent, grains, report)
    grain_bytes = extent.grain * SECTOR

    def grain(number):
        place = grains.get(number)
        if place is None:
            return None
        if not extent.flags & COMPRESSED:
            return whole.read(place * SECTOR, grain_bytes)
        head = 12 if extent.flags & MARKERS else 4
        length = int.from_bytes(whole.read(place * SECTOR + head - 4, 4), "little")
        try:
            return zlib.decompressobj().decompress(whole.read(place * SECTOR + head, min(length,
                                                                                         2 * grain_bytes + 4096)),
                                                   grain_bytes)
        except zlib.error:
            report.wrong(f"the VMDK's grain {number} cannot be decompressed: the file is damaged")
            return None

    return extent.streamed, BlockDisk(extent.capacity * SECTOR, grain_bytes, grain)


def describe_text(data, report):
    """A descriptor that stands alone: the disk is in other files."""
    kind = re.search(rb'createType\s*=\s*"(\w*)"', data)
    name = kind[1].decode("ascii", "replace") if kind else "unknown"
    report.fact(f"VMDK descriptor ({name})")
    report.wrong(f"this VMDK is only the text that describes a disk ({name}); its data is in other files: make one of "
                 f"them all: {TO_STREAM}")
