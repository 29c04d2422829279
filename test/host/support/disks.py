"""Disk images for the tests of tools/: small ones that are right, and ways to break them."""
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
TOOLS = ROOT / "tools"
MIB, GIB, SECTOR = 1 << 20, 1 << 30, 512
ESP = MIB  # where make-image puts it
MACHINE = {"x64": 0x8664, "arm64": 0xaa64, "rv64": 0x5064}
BOOT_NAME = {"x64": b"BOOTX64 EFI", "arm64": b"BOOTAA64EFI"}
PE = 0x40

sys.dont_write_bytecode = True
sys.path.insert(0, str(TOOLS))


def program(arch="x64"):
    """A small EFI application: headers of 4 KiB, .text and .data, as vmos's own kernel has them."""
    head = bytearray(0x1000)
    head[0:2], head[60:64] = b"MZ", struct.pack("<I", PE)
    struct.pack_into("<4sHHIIIHH", head, PE, b"PE\0\0", MACHINE[arch], 2, 0, 0, 0, 112 + 48, 0x206)
    struct.pack_into("<HBBIIIIIQIIHHHHHHIIIIHH", head, PE + 24, 0x20b, 0, 0, 0x1000, 0x1000, 0, 0x1000, 0x1000,
                     0, 0x1000, 0x200, 0, 0, 0, 0, 0, 0, 0, 0x4000, 0x1000, 0, 10, 0)
    struct.pack_into("<I", head, PE + 24 + 108, 6)
    at = PE + 24 + 112 + 48
    struct.pack_into("<8sIIIIIIHHI", head, at, b".text", 0x1000, 0x1000, 0x1000, 0x1000, 0, 0, 0, 0, 0x60000020)
    struct.pack_into("<8sIIIIIIHHI", head, at + 40, b".data", 0x2000, 0x2000, 0x1000, 0x2000, 0, 0, 0, 0, 0xc0000040)
    return bytes(head) + bytes(range(256)) * 32


def tool(name, *arguments, **options):
    options.setdefault("env", {**os.environ, "SOURCE_DATE_EPOCH": "1700000000"})
    return subprocess.run([TOOLS / name, *map(str, arguments)], capture_output=True, text=True, timeout=120, **options)


def make(folder, arch="x64", size="64M", name=None):
    """A good image, by make-image."""
    kernel, initrd = folder / f"kernel-{arch}.efi", folder / "initrd.img"
    image = folder / (name or f"{arch}-{size}.img")
    kernel.write_bytes(program(arch))
    initrd.write_bytes(b"\0" * 512)
    done = tool("make-image", arch, kernel, initrd, image, size)
    assert done.returncode == 0, done.stderr
    return image


def pack(kind, disk, output):
    done = tool("pack-image", kind, disk, output)
    assert done.returncode == 0, done.stderr
    return output


def copy(source, target):
    subprocess.run(["cp", "--sparse=always", source, target], check=True)
    return target


class Edit:
    """A file that is open for change: edit[offset:offset + n] = bytes. Sizes of disks and offsets are in bytes."""

    def __init__(self, path):
        self.path, self.file = path, open(path, "r+b")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()

    @property
    def size(self):
        return self.file.seek(0, os.SEEK_END)

    def __getitem__(self, where):
        self.file.seek(where.start)
        return self.file.read(where.stop - where.start)

    def __setitem__(self, where, data):
        assert len(data) == where.stop - where.start
        self.file.seek(where.start)
        self.file.write(data)

    def put(self, offset, form, *values):
        data = struct.pack(form, *values)
        self[offset:offset + len(data)] = data

    def get(self, offset, form):
        return struct.unpack(form, self[offset:offset + struct.calcsize(form)])

    # ---- GPT: both copies, with CRCs that hold again afterwards

    def entry(self, number, at, form, *values):
        """Changes a field of a partition's entry in both copies."""
        for header in SECTOR, self.size - SECTOR:
            start = self.get(header + 72, "<Q")[0] * SECTOR
            self.put(start + 128 * (number - 1) + at, form, *values)
            self.put(header + 88, "<I", zlib.crc32(self[start:start + 128 * 128]))
            self.seal(header)

    def seal(self, header):
        self.put(header + 16, "<I", 0)
        self.put(header + 16, "<I", zlib.crc32(self[header:header + 92]))

    # ---- FAT32

    def fat(self, copy_=0):
        reserved, = self.get(ESP + 14, "<H")
        sectors, = self.get(ESP + 36, "<I")
        return ESP + (reserved + copy_ * sectors) * SECTOR

    def cluster(self, number):
        """make-image's clusters have one sector."""
        reserved, = self.get(ESP + 14, "<H")
        sectors, = self.get(ESP + 36, "<I")
        return ESP + (reserved + 2 * sectors + number - 2) * SECTOR

    def find(self, what, start=ESP, length=2 * MIB):
        place = self[start:start + length].find(what)
        assert place >= 0, what
        return start + place

    def boot_file(self, arch="x64"):
        """Where the program's first byte lies; make-image's files are in one piece."""
        entry = self.find(BOOT_NAME[arch])
        high, low = self.get(entry + 20, "<H")[0], self.get(entry + 26, "<H")[0]
        return self.cluster(high << 16 | low)

    def pe(self, at, form, *values, arch="x64"):
        self.put(self.boot_file(arch) + PE + at, form, *values)
