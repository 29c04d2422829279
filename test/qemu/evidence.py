"""What a guest did, as seen from outside: bytes on a disk, frames in a capture."""
import re
import struct

PATTERN_BLOCKS = 64
MULTIPLIER, OFFSET = 0x9E3779B97F4A7C15, 0x766D6F732D626C6B


def pattern(offset, size):
    first = offset // 8
    return b"".join(struct.pack("<Q", ((first + i) * MULTIPLIER + OFFSET) % (1 << 64)) for i in range(size // 8))


def check_disk(path, block_size=512):
    """The self-test's pattern at the start and in the last block, and zeros between them."""
    size = path.stat().st_size
    with open(path, "rb") as disk:
        start = disk.read(PATTERN_BLOCKS * block_size)
        assert start == pattern(0, len(start)), "the first blocks do not hold the pattern"
        between = disk.read(64 * 1024)
        assert not any(between), "something was written behind the pattern"
        disk.seek(size - block_size)
        assert disk.read() == pattern(size - block_size, block_size), "the last block does not hold the pattern"
        disk.seek(size - block_size - 64 * 1024)
        assert not any(disk.read(64 * 1024)), "something was written before the last block"


def frames(path):
    """The frames of a pcap file, as filter-dump writes it."""
    data = path.read_bytes()
    magic, = struct.unpack_from("<I", data)
    assert magic == 0xA1B2C3D4, "not a pcap file"
    at, found = 24, []
    while at + 16 <= len(data):
        length, = struct.unpack_from("<I", data, at + 8)
        found.append(data[at + 16:at + 16 + length])
        at += 16 + length
    return found


def internet_checksum(data):
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def check_capture(path):
    """ARP request and reply, three ICMP echo requests with right checksums, each answered."""
    arp, asked, answered = set(), set(), set()
    for frame in frames(path):
        kind, = struct.unpack_from(">H", frame, 12)
        if kind == 0x0806:
            arp.add(struct.unpack_from(">H", frame, 20)[0])
        if kind == 0x0800 and frame[23] == 1:
            header, length = frame[14:34], struct.unpack_from(">H", frame, 16)[0]
            icmp = frame[34:14 + length]
            assert internet_checksum(header) == 0xFFFF and internet_checksum(icmp) == 0xFFFF
            sequence, = struct.unpack_from(">H", icmp, 6)
            (asked if icmp[0] == 8 else answered).add(sequence)
    assert {1, 2} <= arp, f"ARP operations seen: {arp}"
    assert asked == answered == {1, 2, 3}, f"echoes asked {asked}, answered {answered}"


def memory_taken(detail):
    """Bytes from "took and returned all of 123 MiB; ..."."""
    match = re.search(r"all of (\d+) (B|KiB|MiB|GiB);", detail)
    return int(match[1]) << {"B": 0, "KiB": 10, "MiB": 20, "GiB": 30}[match[2]]
