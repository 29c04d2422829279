"""A disk's bytes. Every disk has `size` and `read(offset, length)`, which gives what lies inside and no more."""
import os

SECTOR = 512
LARGEST_READ = 16 << 20


def clipped(size, offset, length):
    """How much of [offset, offset + length) lies inside a disk of that size."""
    return max(0, min(length, LARGEST_READ, size - offset)) if offset >= 0 else 0


class FileDisk:
    """The bytes [start, start + size) of an open file."""

    def __init__(self, file, start, size):
        self.file, self.start, self.size = file, start, max(0, size)

    def read(self, offset, length):
        length = clipped(self.size, offset, length)
        return os.pread(self.file.fileno(), length, self.start + offset) if length else b""


class BlockDisk:
    """A disk kept in blocks of equal size, any of which may be absent; `block(number)` gives bytes, or None: zero."""

    def __init__(self, size, block_size, block):
        self.size, self.block_size, self.block = size, block_size, block
        self.last = (None, b"")

    def one(self, number):
        if self.last[0] != number:
            self.last = (number, self.block(number))
        return self.last[1]

    def read(self, offset, length):
        length, parts = clipped(self.size, offset, length), []
        while length:
            number, within = divmod(offset, self.block_size)
            take = min(length, self.block_size - within)
            data = (self.one(number) or b"")[within:within + take]
            parts.append(data + bytes(take - len(data)))
            offset, length = offset + take, length - take
        return b"".join(parts)


class Part:
    """A partition of a disk."""

    def __init__(self, disk, start, size):
        self.disk, self.start = disk, start
        self.size = clipped_size(disk.size, start, size)

    def read(self, offset, length):
        return self.disk.read(self.start + offset, clipped(self.size, offset, length)) if offset >= 0 else b""


def clipped_size(size, start, length):
    return max(0, min(length, size - start)) if start >= 0 else 0
