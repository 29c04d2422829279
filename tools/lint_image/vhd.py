"""VHD: the footer, and dynamic disks. [Microsoft, Virtual Hard Disk Image Format Specification 1.0]"""
import struct

from .disk import BlockDisk, FileDisk, SECTOR
from .report import size_text

FOOTER = struct.Struct(">8sIIQI4sI4sQQHBBII16sB")
FIXED, DYNAMIC, DIFFERENCING = 2, 3, 4
NO_DATA = (1 << 64) - 1
LARGEST = 64 << 40
# Programs that mean the size as it stands; of others QEMU believes the geometry, which is often smaller.
TRUSTED_CREATORS = (b"win ", b"qem2", b"d2v ", b"tap\0", b"CTXS", b"wa\0\0")
LARGEST_GEOMETRY = (65535, 16, 255)  # QEMU's way of saying: look at the size
TO_FIXED = "qemu-img convert -O vpc -o subformat=fixed,force_size=on"


def is_footer(data):
    return data[:8] == b"conectix"


def checksum(data, at):
    """One's complement of the sum of all bytes but the checksum's own four."""
    return ~(sum(data) - sum(data[at:at + 4])) & 0xffffffff


def geometry(sectors):
    """[appendix "CHS Calculation"]"""
    sectors = min(sectors, 65535 * 16 * 255)
    if sectors >= 65535 * 16 * 63:
        return sectors // 16 // 255, 16, 255
    track, rows = 17, sectors // 17
    heads = max(4, (rows + 1023) // 1024)
    if rows >= heads * 1024 or heads > 16:
        track, heads, rows = 31, 16, sectors // 31
    if rows >= heads * 1024:
        track, heads, rows = 63, 16, sectors // 63
    return rows // heads, heads, track


def check_footer(footer, report):
    (_, features, version, offset, _, creator, _, _, original, current, cylinders, heads, track, kind, stored, identity,
     saved) = FOOTER.unpack(footer[:FOOTER.size])
    if checksum(footer, 64) != stored:
        report.wrong(f"the VHD footer's checksum is {stored:#010x} and should be {checksum(footer, 64):#010x}; write "
                     f"the footer anew: {TO_FIXED}")
    if version != 0x10000:
        report.wrong(f"the VHD footer's version is {version:#x} and should be 0x10000; convert it anew: {TO_FIXED}")
    if not features & 2:
        report.wrong("the VHD footer's features lack the reserved bit 1, which must be set")
    if kind not in (FIXED, DYNAMIC, DIFFERENCING):
        report.wrong(f"the VHD footer names disk type {kind}; 2 is fixed, 3 dynamic, 4 differencing")
    if kind == FIXED and offset != NO_DATA:
        report.wrong(f"the VHD footer of a fixed disk has all ones as its data offset, this one has {offset:#x}")
    if saved:
        report.wrong("the VHD footer says that the machine is in saved state; shut it down and export it again")
    if not any(identity):
        report.note("the VHD footer's unique identity is zero")
    if original != current:
        report.note(f"the VHD was resized: from {size_text(original)} to {size_text(current)}")
    if (cylinders, heads, track) not in (geometry(current // SECTOR), LARGEST_GEOMETRY):
        expected = "/".join(map(str, geometry(current // SECTOR)))
        report.note(f"the VHD footer's geometry is {cylinders}/{heads}/{track}; for this size it should be {expected}")
    if creator not in TRUSTED_CREATORS and cylinders * heads * track * SECTOR != current:
        report.note("the VHD's creator is none of those whose size QEMU believes: it takes the geometry's, "
                    f"{size_text(cylinders * heads * track * SECTOR)}, and cuts the end off")
    return kind, current


def open_fixed(file, size, footer, report):
    kind, current = check_footer(footer, report)
    report.fact({FIXED: "fixed VHD", DIFFERENCING: "differencing VHD"}.get(kind, "VHD"))
    if kind == DIFFERENCING:
        report.wrong("a differencing VHD holds only what differs from another file; merge it into that first")
        return kind, None
    if current != size - SECTOR:
        report.wrong(f"the VHD footer says {size_text(current)} and the file holds {size_text(size - SECTOR)} before "
                     "it; "
                     + ("the file is cut" if current > size - SECTOR else "the footer belongs to another size")
                     + f": convert it anew: {TO_FIXED}")
    return kind, FileDisk(file, 0, size - SECTOR)


def open_dynamic(file, size, report):
    """The copy of the footer at the file's start leads to the header, and that to the table of blocks."""
    whole = FileDisk(file, 0, size)
    head, tail = whole.read(0, SECTOR), whole.read(size - SECTOR, SECTOR)
    if not is_footer(tail):
        report.wrong("the VHD has no footer at its end: the file is cut, copy it again")
    elif tail != head:
        report.wrong("the VHD's footer and its copy at the start differ: the file is damaged")
    kind, current = check_footer(head, report)
    report.fact({DYNAMIC: "dynamic VHD", DIFFERENCING: "differencing VHD"}.get(kind, "VHD"))
    if kind == DIFFERENCING:
        report.wrong("a differencing VHD holds only what differs from another file; merge it into that first")
        return kind, None
    place = struct.unpack(">Q", head[16:24])[0]
    header = whole.read(place, 1024)
    if len(header) < 1024 or header[:8] != b"cxsparse":
        report.wrong(f"the dynamic VHD's header is not where the footer says, at byte {place}: the file is damaged")
        return kind, None
    if checksum(header, 36) != struct.unpack(">I", header[36:40])[0]:
        report.wrong("the dynamic VHD header's checksum is wrong: the file is damaged")
    table, entries, block = struct.unpack(">Q4xII", header[16:36])
    if block < SECTOR or block & (block - 1) or block > 256 << 20:
        report.wrong(f"the dynamic VHD's blocks have {block} bytes, which is no power of two from 512 bytes to 256 MiB")
        return kind, None
    if current > LARGEST or entries * block < current:
        report.wrong(f"the dynamic VHD's table has {entries} blocks, too few for {size_text(current)}")
        return kind, None
    if table + 4 * entries > size:
        report.wrong("the dynamic VHD's table of blocks lies outside the file: the file is cut")
        return kind, None
    step = min(block, 1 << 20)
    bitmap = -(-block // SECTOR // 8 // SECTOR) * SECTOR

    def piece(number):
        offset = number * step
        sector = struct.unpack(">I", whole.read(table + 4 * (offset // block), 4))[0]
        if sector == 0xffffffff:
            return None
        return whole.read(sector * SECTOR + bitmap + offset % block, step)

    return kind, BlockDisk(current, step, piece)
