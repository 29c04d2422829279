"""What the guest's `iotest` leaves on a disk, computed from its arguments alone: kernel/iotest.c tells how. And what it
printed."""
import re
from array import array

MASK = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15


def mix(x):
    x = (x + GOLDEN) & MASK
    x = ((x ^ x >> 30) * 0xBF58476D1CE4E5B9) & MASK
    x = ((x ^ x >> 27) * 0x94D049BB133111EB) & MASK
    return x ^ x >> 31


def operation(mode, kind):
    """One of read, write, flush, zero, discard."""
    if mode in ("read", "write"):
        return mode
    ends = (("read", 7), ("write", 15), ("flush", 16)) if mode == "mixed" else \
           (("read", 6), ("write", 13), ("flush", 14), ("zero", 15), ("discard", 16))
    return next(name for name, end in ends if kind < end)


def number(value):
    """As short as the console takes it."""
    for unit, letter in ((30, "G"), (20, "M"), (10, "K")):
        if value and value % (1 << unit) == 0:
            return f"{value >> unit}{letter}"
    return str(value)


class Load:
    """One run of iotest; `image` is what the disk holds, from its first byte on."""

    def __init__(self, mode, count=1000, depth=32, size=4096, span=4 << 20, first=0, seed=1, skew=0):
        self.mode, self.count, self.depth, self.size, self.span = mode, count, depth, size, span
        self.first, self.seed, self.skew = first, seed, skew

    def command(self, disk):
        short = {"count": self.count, "depth": self.depth, "size": self.size, "span": self.span, "seed": self.seed,
                 "first": self.first, "skew": self.skew}
        usual = {"count": 1000, "depth": 32, "size": 4096, "span": 4 << 20, "seed": 1, "first": 0, "skew": 0}
        line = " ".join(["iotest", disk, self.mode] + [f"{k}={number(v)}" for k, v in short.items() if v != usual[k]])
        assert len(line) <= 72, "longer than the console's line"
        return line

    def last(self):
        """{piece: (what happened to it last, the number of that request)}"""
        found, pieces = {}, self.span // self.size
        for i in range(self.count):
            r = mix((self.seed << 32) + i & MASK)
            what = operation(self.mode, r >> 60)
            if what in ("write", "zero", "discard"):
                found[r % pieces] = what, i
        return found

    def contents(self, piece, request):
        word = mix((mix(self.seed) + (piece << 32) + request + 1) & MASK)
        return array("Q", [(word + k * GOLDEN) & MASK for k in range(self.size // 8)]).tobytes()

    def check(self, path, block_size=512, may_differ=(), at=0):
        """Every byte of the span on the image, and the bytes beside it, which nobody wrote: zeros. `at` is the byte that
        the disk or partition begins with."""
        base, last = at + self.first * block_size, self.last()
        with open(path, "rb") as image:
            for piece in range(self.span // self.size):
                image.seek(base + piece * self.size)
                found = image.read(self.size)
                what, request = last.get(piece, ("zero", 0))
                if what == "discard" or piece in may_differ:
                    continue
                wanted = self.contents(piece, request) if what == "write" else bytes(self.size)
                assert found == wanted, f"piece {piece} at byte {base + piece * self.size} is not what request {request} wrote"
            image.seek(base + self.span)
            assert not any(image.read(64 << 10)), "something was written behind the span"
        return len(last)


def run(guest, disk, load, timeout=120, failed=0, wrong=0):
    """Types the command, looks at what it says, and gives it; `failed` None: any number."""
    text = guest.command_line(load.command(disk), timeout)
    said = re.search(rf"^iotest {disk}: (\d+) failed, (\d+) wrong", text, re.M)
    assert said and int(said[2]) == wrong and (failed is None or int(said[1]) == failed), text + guest.text
    return text
