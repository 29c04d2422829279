"""disk.raw in a .tar.gz, as Compute Engine imports it.

The archive is unpacked once, into a sparse temporary file: what is zero takes no room, and whether the rest has room
is looked at on the way. Headers: [GNU tar manual, "Basic Tar Format"], old-GNU sparse files as struct oldgnu_header.
"""
import shutil
import struct
import tempfile
import zlib

from .disk import FileDisk
from .report import size_text

BLOCK, CHUNK = 512, 1 << 18
LARGEST = 64 << 40
MOST_MEMBERS, MOST_EXTENTS = 20, 1 << 20
AS_GCP = "tar --format=oldgnu -Sczf IMAGE.tar.gz disk.raw"


class Broken(Exception):
    """A sentence: the archive cannot be read on."""


class Gunzip:
    """The bytes inside a gzip file, in order. Files of several gzip members are one stream."""

    def __init__(self, file):
        self.file, self.ready, self.inflate, self.ended = file, bytearray(), None, False

    def _more(self):
        pending = self.inflate.unconsumed_tail if self.inflate and not self.inflate.eof else b""
        if self.inflate and self.inflate.eof:
            pending = self.inflate.unused_data
            self.inflate = None
        if not pending:
            pending = self.file.read(CHUNK)
        if not pending:
            if self.inflate:
                raise Broken("the gzip data ends in the middle: the file is cut, copy it again")
            self.ended = True
            return
        if self.inflate is None:
            if not pending.strip(b"\0"):  # padding after the last member
                return
            self.inflate = zlib.decompressobj(31)
        try:
            self.ready += self.inflate.decompress(pending, 4 * CHUNK)
        except zlib.error as error:
            raise Broken(f"the gzip data is damaged ({str(error).split(': ')[-1]}): copy the file again") from error

    def read(self, length):
        """As many bytes as asked for, or fewer at the end."""
        while len(self.ready) < length and not self.ended:
            self._more()
        data = bytes(self.ready[:length])
        del self.ready[:length]
        return data


def number(data):
    """An octal number, or a binary one whose first byte is 0x80; None when it is neither."""
    if data[:1] == b"\x80":
        return int.from_bytes(data[1:], "big")
    text = data.split(b"\0")[0].strip()
    try:
        return int(text or b"0", 8) if text[:1] not in b"+-" or not text else None
    except ValueError:
        return None


class Member:
    """One tar header."""

    def __init__(self, header):
        self.name = header[:100].split(b"\0")[0].decode("utf-8", "replace")
        self.size, self.type = number(header[124:136]), header[156:157]
        self.magic, self.header = header[257:265], header
        blank = header[:148] + b" " * 8 + header[156:]
        self.sound = number(header[148:156]) in (sum(blank), sum(struct.unpack("512b", blank)))
        prefix = header[345:500].split(b"\0")[0]
        if self.magic[:6] == b"ustar\0" and prefix:
            self.name = prefix.decode("utf-8", "replace") + "/" + self.name


def sparse_map(member, stream):
    """[(offset, length)] and the file's real size, from an old-GNU sparse header and those that continue it."""
    extents, header, at, count = [], member.header, 386, 4
    more, real = header[482], number(header[483:495])
    while True:
        for entry in range(at, at + 24 * count, 24):
            offset, length = number(header[entry:entry + 12]), number(header[entry + 12:entry + 24])
            if offset is None or length is None:
                raise Broken("the sparse file's map is damaged: make the archive again")
            if length:
                extents.append((offset, length))
        if not more:
            break
        header = stream.read(BLOCK)
        if len(header) < BLOCK:
            raise Broken("the archive ends in the sparse file's map: the file is cut")
        if len(extents) > MOST_EXTENTS:
            raise Broken(f"the sparse file's map has more than {MOST_EXTENTS} pieces")
        at, count, more = 0, 21, header[504]
    end = 0
    for offset, length in extents:
        if offset < end or real is None or offset + length > real:
            raise Broken("the sparse file's map is not in order or reaches beyond the file: make the archive again")
        end = offset + length
    if sum(length for _, length in extents) != member.size:
        raise Broken("the sparse file's map holds other than the archive says: make the archive again")
    return extents, real


class Spool:
    """The unpacked disk: a temporary file in which what is zero is a hole."""

    def __init__(self, keep):
        self.file = keep.enter_context(tempfile.TemporaryFile(prefix="lint-image-"))
        self.room = 0

    def copy(self, stream, offset, length):
        while length:
            data = stream.read(min(length, CHUNK))
            if not data:
                raise Broken("the archive ends inside disk.raw: the file is cut, copy it again")
            if data.count(0) != len(data):
                self._write(offset, data)
            offset, length = offset + len(data), length - len(data)

    def _write(self, offset, data):
        if self.room < len(data):
            free = shutil.disk_usage(tempfile.gettempdir()).free
            if free < 512 << 20:
                raise OSError(f"{tempfile.gettempdir()} has too little room to unpack the archive; set TMPDIR to a "
                              "folder that has more")
            self.room = free // 4
        self.room -= len(data)
        self.file.seek(offset)
        self.file.write(data)


def check_kind(member, report):
    """Compute Engine's documentation asks for --format=oldgnu [Import a boot disk manually]."""
    if member.magic == b"ustar  \0":
        return
    kind = {b"ustar\0": "ustar or pax"}.get(member.magic[:6], "old Unix (v7)")
    report.wrong(f"the tar format is {kind}; Compute Engine asks for old GNU: {AS_GCP}")


def unpack_member(member, stream, keep):
    """The disk in disk.raw."""
    if member.type == b"S":
        extents, real = sparse_map(member, stream)
    elif member.type in (b"0", b"\0"):
        extents, real = [(0, member.size)], member.size
    else:
        raise Broken(f"disk.raw is no file in this archive (type {member.type.decode('latin-1')!r}): {AS_GCP}")
    if real > LARGEST:
        raise Broken(f"the archive says that disk.raw has {size_text(real)}, more than any cloud's disk")
    spool = Spool(keep)
    for offset, length in extents:
        spool.copy(stream, offset, length)
    stream.read(-member.size % BLOCK)
    try:
        spool.file.truncate(real)
    except OSError as error:
        raise Broken(f"disk.raw of {size_text(real)} is larger than a file may be here ({error.strerror})") from error
    spool.file.flush()
    return FileDisk(spool.file, 0, real)


def skip(stream, length):
    while length > 0:
        data = stream.read(min(length, CHUNK))
        if not data:
            raise Broken("the archive ends inside a file: it is cut, copy it again")
        length -= len(data)


def drain(stream, report):
    """To the end of the gzip data, whose checksum stands there."""
    while data := stream.read(CHUNK):
        if data.count(0) != len(data):
            report.note("something follows the archive's end")
            return


def walk(stream, keep, report):
    """Reads all members; the first disk.raw (or the only image by another name) becomes the disk."""
    disk = None
    for _ in range(MOST_MEMBERS):
        header = stream.read(BLOCK)
        if not header.strip(b"\0"):
            if len(header) < BLOCK:
                report.note("the archive lacks the two blocks of zeros that end it")
            drain(stream, report)
            return disk
        if len(header) < BLOCK:
            raise Broken("the archive ends inside a header: the file is cut, copy it again")
        member = Member(header)
        if not member.sound or member.size is None:
            raise Broken("there is no tar archive in the gzip file, or a header's checksum is wrong: " + AS_GCP)
        if member.size > LARGEST:
            raise Broken(f"the archive says that {member.name[:60]!r} has {size_text(member.size)}")
        if member.type in b"xg":
            report.wrong(f"the archive has pax headers; Compute Engine asks for old GNU: {AS_GCP}")
            skip(stream, member.size + -member.size % BLOCK)
            continue
        if disk is None and member.name.split("/")[-1].endswith(".raw"):
            check_kind(member, report)
            if member.name != "disk.raw":
                report.wrong(f"the disk in the archive is called {member.name[:60]!r}; it must be exactly disk.raw, "
                             "with no folder before it")
            disk = unpack_member(member, stream, keep)
            continue
        report.wrong(f"the archive holds {member.name[:60]!r}, too; disk.raw must be the only file in it")
        skip(stream, member.size + -member.size % BLOCK)
    raise Broken(f"the archive holds more than {MOST_MEMBERS} files; disk.raw must be the only one")


def open_archive(file, keep, report):
    report.fact("tar.gz")
    file.seek(0)
    try:
        disk = walk(Gunzip(file), keep, report)
    except Broken as error:
        report.wrong(str(error))
        return None
    if disk is None:
        report.wrong("the archive holds no disk.raw")
    return disk
