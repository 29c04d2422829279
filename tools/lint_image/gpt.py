"""The partition table. [UEFI 2.10 §5]"""
import struct
import uuid
import zlib
from dataclasses import dataclass

from .disk import SECTOR
from .report import size_text

HEADER = struct.Struct("<8sIIIIQQQQ16sQIII")
MIB = 1 << 20
ESP = uuid.UUID("c12a7328-f81f-11d2-ba4b-00a0c93ec93b")
BIOS_BOOT = uuid.UUID("21686148-6449-6e6f-744e-656564454649")
# vmos's own, see tools/make-image.
VMOS_DATA = uuid.UUID("48d7f1b5-c0bb-5d62-96f7-fbdb878ce180")
MOST_ENTRIES = 4096
NO_GUID = uuid.UUID(int=0)


@dataclass(frozen=True)
class Partition:
    number: int
    kind: uuid.UUID
    guid: uuid.UUID
    first: int
    last: int
    name: str = ""

    @property
    def start(self):
        return self.first * SECTOR

    @property
    def size(self):
        return max(0, self.last - self.first + 1) * SECTOR

    def __str__(self):
        return f"partition {self.number}" + (f" ({self.name})" if self.name else "")


@dataclass
class Header:
    """One copy of the header, by the standard's names."""

    where: str
    sector: int
    data: bytes

    def __post_init__(self):
        (self.signature, self.revision, self.length, self.crc, _, self.my, self.alternate, self.first, self.last, guid,
         self.entries, self.count, self.entry_size, self.entries_crc) = HEADER.unpack(self.data[:HEADER.size])
        self.guid = uuid.UUID(bytes_le=guid)

    @property
    def present(self):
        return self.signature == b"EFI PART"

    @property
    def array_bytes(self):
        return self.count * self.entry_size

    def fault(self):
        """What is wrong with the header by itself, or None."""
        if not HEADER.size <= self.length <= SECTOR:
            return f"has a length of {self.length} bytes, which should be 92"
        blank = self.data[:16] + bytes(4) + self.data[20:self.length]
        if zlib.crc32(blank) != self.crc:
            return f"has a wrong CRC ({self.crc:#010x}, computed {zlib.crc32(blank):#010x})"
        if self.revision != 0x10000:
            return f"has revision {self.revision:#x}, which should be 0x10000"
        if self.my != self.sector:
            return f"says that it lies in sector {self.my} and lies in {self.sector}"
        if self.entry_size < 128 or self.entry_size & (self.entry_size - 1) or self.entry_size > 4096:
            return f"has entries of {self.entry_size} bytes; 128 is usual, larger powers of two are allowed"
        if not 1 <= self.count <= MOST_ENTRIES:
            return f"has {self.count} entries; 128 is usual"
        return None


def read_header(disk, sector, where):
    return Header(where, sector, disk.read(sector * SECTOR, SECTOR).ljust(SECTOR, b"\0"))


def read_entries(disk, header, report):
    """The array of entries, or None when it cannot be believed."""
    data = disk.read(header.entries * SECTOR, header.array_bytes)
    if len(data) < header.array_bytes:
        report.wrong(f"the {header.where} GPT's entries lie outside the disk: the file is cut")
        return None
    if zlib.crc32(data) != header.entries_crc:
        report.wrong(f"the {header.where} GPT's entries have a wrong CRC; take those of the other copy with "
                     f"gdisk (r, {'c' if header.where == 'primary' else 'e'}, w)")
        return None
    return data


def partitions_of(data, entry_size):
    found = []
    for number, at in enumerate(range(0, len(data), entry_size), 1):
        kind = uuid.UUID(bytes_le=data[at:at + 16])
        if kind != NO_GUID:
            first, last = struct.unpack("<QQ", data[at + 32:at + 48])
            name = data[at + 56:at + 128].decode("utf-16-le", "replace").split("\0")[0]
            name = "".join(c if c.isprintable() else "?" for c in name)
            found.append(Partition(number, kind, uuid.UUID(bytes_le=data[at + 16:at + 32]), first, last, name))
    return found


def check_place(disk, header, report):
    """Where the primary header says that things lie."""
    end = disk.size // SECTOR - 1
    array_end = header.entries + -(-header.array_bytes // SECTOR)
    if header.alternate > end:
        report.wrong(f"the file is cut: the GPT is that of a disk of {size_text((header.alternate + 1) * SECTOR)} and "
                     f"the disk has {size_text(disk.size)}; copy it again, whole")
    elif header.alternate < end:
        report.wrong(f"the backup GPT is not in the disk's last sector but {end - header.alternate} before it: the "
                     "disk was enlarged or something was appended; move it: sgdisk -e FILE")
    if header.entries < 2 or header.first < array_end or header.last < header.first or header.last > end:
        report.wrong(f"the primary GPT says that partitions may use sectors {header.first} to {header.last}, which "
                     f"does not fit its entries (sectors {header.entries} to {array_end - 1}) or the disk (up to "
                     f"sector {end})")


def check_backup(disk, primary, entries, report):
    """The backup, looked for where the primary says and in the last sector; [(header, partitions)] of a sound one."""
    end = disk.size // SECTOR - 1
    places = [end] if primary is None else [primary.alternate] if primary.alternate == end else [primary.alternate, end]
    backup = next((found for place in places if 1 < place <= end
                   and (found := read_header(disk, place, "backup")).present), None)
    if backup is None:
        if primary is not None and primary.alternate <= end:
            report.wrong("there is no backup GPT where the primary says, in sector "
                         f"{primary.alternate}; write one: sgdisk -e FILE")
        return None
    if fault := backup.fault():
        report.wrong(f"the backup GPT header {fault}; rebuild it from the primary with gdisk (r, d, w)")
        return None
    data = read_entries(disk, backup, report)
    if data is None:
        return None
    if primary is not None:
        if backup.alternate != 1:
            report.wrong(f"the backup GPT says that the primary lies in sector {backup.alternate}; it lies in 1")
        same = lambda header: (header.guid, header.first, header.last, header.count, header.entry_size)
        if same(backup) != same(primary) or data != entries:
            report.wrong("the primary and the backup GPT describe different disks; write both from the right one with "
                         "gdisk (r, then b or d, then w)")
        if backup.entries <= backup.last:
            report.wrong("the backup GPT's entries lie where partitions may lie")
    return backup, data


def check_partitions(disk, header, found, report):
    end = disk.size // SECTOR - 1
    for part in found:
        if part.first > part.last:
            report.wrong(f"{part} ends (sector {part.last}) before it begins (sector {part.first})")
        elif part.first < header.first or part.last > header.last or part.last > end:
            report.wrong(f"{part} lies in sectors {part.first} to {part.last}, outside of what the GPT says may be "
                         f"used ({header.first} to {header.last})")
        if part.first % 8:
            report.wrong(f"{part} does not begin at a multiple of 4 KiB (it begins in sector {part.first}): cloud "
                         "disks of 4 KiB blocks cannot write it whole; begin partitions at a whole MiB")
        elif part.first % (MIB // SECTOR) and part.kind != BIOS_BOOT:
            report.note(f"{part} does not begin at a whole MiB (it begins in sector {part.first})")
        if part.guid == NO_GUID:
            report.wrong(f"{part} has no GUID of its own; give it one: sgdisk -u {part.number}:R FILE")
    ordered = sorted((part for part in found if part.first <= part.last), key=lambda part: part.first)
    for before, after in zip(ordered, ordered[1:]):
        if after.first <= before.last:
            report.wrong(f"{before} and {after} overlap, from sector {after.first} to {min(before.last, after.last)}")
    seen = {}
    for part in found:
        if part.guid in seen and part.guid != NO_GUID:
            report.wrong(f"{seen[part.guid]} and {part} have the same GUID; give one another: sgdisk -u "
                         f"{part.number}:R FILE")
        seen.setdefault(part.guid, part)
    if header.guid == NO_GUID:
        report.wrong("the disk has no GUID; give it one: sgdisk -U R FILE")
    elif header.guid in seen:
        report.wrong("the disk's GUID is also a partition's; give it another: sgdisk -U R FILE")


# ---- The master boot record ------------------------------------------------------------------------------------------

@dataclass(frozen=True)
class MbrEntry:
    number: int
    active: int
    kind: int
    first: int
    count: int


def mbr_entries(mbr):
    found = []
    for index in range(4):
        active, kind, first, count = struct.unpack("<B3xB3xII", mbr[446 + 16 * index:462 + 16 * index])
        if kind or count:
            found.append(MbrEntry(index + 1, active, kind, first, count))
    return found


def check_protective(disk, mbr, report):
    """[§5.2.3]: one entry of type EEh from sector 1 over the whole disk, as far as 32 bits reach."""
    entries = mbr_entries(mbr)
    protective = [entry for entry in entries if entry.kind == 0xee]
    if mbr[510:512] != b"\x55\xaa":
        report.wrong("the first sector has no MBR signature (55 AA): firmware does not look for a GPT; write a "
                     "protective MBR: gdisk FILE, then w")
        return
    if not protective:
        report.wrong("the MBR has no protective entry (type EE): firmware does not look for a GPT; write one: gdisk "
                     "FILE, then x, n, w")
        return
    if len(entries) > 1:
        others = ", ".join(f"{entry.kind:02X}" for entry in entries if entry.kind != 0xee) or "EE twice"
        report.wrong(f"the MBR is a hybrid (beside the protective entry it has types {others}): firmware disagrees on "
                     "such disks; leave only the protective entry: gdisk FILE, then x, n, w")
    whole = min(disk.size // SECTOR - 1, 0xffffffff)
    if protective[0].first != 1:
        report.wrong(f"the protective MBR entry begins in sector {protective[0].first} and must begin in 1: gdisk "
                     "FILE, then x, n, w")
    elif protective[0].count not in (whole, 0xffffffff):
        report.note(f"the protective MBR entry covers {protective[0].count} sectors, and {whole} lie behind sector 0")
    if protective[0].active:
        report.note("the protective MBR entry is marked active; UEFI wants that byte zero")


@dataclass
class Table:
    """What the disk is divided by: gpt, mbr or none."""

    scheme: str
    partitions: list
    bios: bool = False  # there is something for a BIOS to start


def check_table(disk, report):
    mbr = disk.read(0, SECTOR).ljust(SECTOR, b"\0")
    primary, end = read_header(disk, 1, "primary"), disk.size // SECTOR - 1
    if not primary.present:
        if disk.read(4096, 8) == b"EFI PART":
            report.wrong("the GPT is one of 4096-byte sectors; clouds present an imported disk with 512-byte sectors: "
                         "partition it anew with those")
            return Table("gpt", [])
        backup = read_header(disk, end, "backup") if end > 1 else primary
        entries = mbr_entries(mbr) if mbr[510:512] == b"\x55\xaa" else []
        if not backup.present and not any(entry.kind == 0xee for entry in entries):
            return check_mbr(disk, mbr, entries, report)
        report.wrong("there is no primary GPT in sector 1" + ("; the backup is there: rebuild it with gdisk (r, b, w)"
                                                              if backup.present else ": the disk is damaged"))
    check_protective(disk, mbr, report)
    fault, data = primary.fault() if primary.present else "absent", None
    if primary.present and fault:
        report.wrong(f"the primary GPT header {fault}; rebuild it from the backup with gdisk (r, b, w)")
    if not fault:
        check_place(disk, primary, report)
        data = read_entries(disk, primary, report)
    backup = check_backup(disk, None if fault else primary, data, report)
    header = primary if not fault else backup[0] if backup else None
    if data is None:
        data = backup[1] if backup else None
    if header is None or data is None:
        return Table("gpt", [])
    found = partitions_of(data, header.entry_size)
    check_partitions(disk, header, found, report)
    return Table("gpt", found, any(part.kind == BIOS_BOOT for part in found) or any(mbr[:440]))


def check_mbr(disk, mbr, entries, report):
    """A disk without a GPT: UEFI boots it, too, from a partition of type EF [§13.3.1.1]."""
    if not entries:
        report.wrong("there is no partition table, neither a GPT nor an MBR: firmware finds nothing to boot")
        return Table("none", [], any(mbr[:440]) and mbr[510:512] == b"\x55\xaa")
    found = []
    for entry in entries:
        kind = ESP if entry.kind == 0xef else NO_GUID
        found.append(Partition(entry.number, kind, NO_GUID, entry.first, entry.first + entry.count - 1))
        if entry.first + entry.count > disk.size // SECTOR:
            report.wrong(f"partition {entry.number} reaches beyond the disk: the file is cut, copy it again, whole")
    return Table("mbr", found, any(mbr[:440]))
