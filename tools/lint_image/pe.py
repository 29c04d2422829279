"""The program that firmware starts: PE32+ with EFI's subsystem. [Microsoft, PE Format; UEFI 2.10 §2.1.1, §3.5.1.1]"""
import struct

# By removable-media name [UEFI 2.10 table 3.3]: machine type, and what vmos calls the architecture.
BOOT_FILES = {
    "BOOTX64.EFI": (0x8664, "x64"), "BOOTAA64.EFI": (0xaa64, "arm64"), "BOOTRISCV64.EFI": (0x5064, "rv64"),
    "BOOTIA32.EFI": (0x014c, "ia32"), "BOOTARM.EFI": (0x01c2, "arm32"), "BOOTLOONGARCH64.EFI": (0x6264, "loongarch64"),
}
MACHINES = {machine: arch for machine, arch in BOOT_FILES.values()}
ENOUGH = 1 << 16  # all headers lie in here
APPLICATION = 10
RELOCS_STRIPPED, EXECUTABLE = 0x0001, 0x0002
WRITE, EXECUTE = 0x80000000, 0x20000000
MOST_SECTIONS = 96


def power_of_two(value):
    return value > 0 and not value & (value - 1)


def check_program(name, data, size, report):
    """data: the file's first bytes, up to ENOUGH. Says whether the file is a program at all."""
    machine, _ = BOOT_FILES[name.upper()]
    if data[:2] != b"MZ":
        report.wrong(f"{name} is no PE program (it does not begin with MZ): firmware does not start it")
        return False
    at = struct.unpack("<I", data[60:64].ljust(4, b"\0"))[0]
    if data[at:at + 4] != b"PE\0\0":
        report.wrong(f"{name} has no PE header where it says, at byte {at}: firmware does not start it")
        return False
    coff = data[at + 4:at + 24]
    optional = data[at + 24:]
    if len(coff) < 20 or len(optional) < 112:
        report.wrong(f"{name} ends in its PE header: the file is cut")
        return False
    found, sections, _, _, _, optional_size, characteristics = struct.unpack("<HHIIIHH", coff)
    if found != machine:
        what = MACHINES.get(found, "an unknown machine")
        report.wrong(f"{name} is a program for {what} (machine {found:#06x}) and by its name should be for "
                     f"{MACHINES[machine]} ({machine:#06x})")
    magic = struct.unpack("<H", optional[:2])[0]
    if magic != (0x10b if machine in (0x014c, 0x01c2) else 0x20b):
        report.wrong(f"{name} has an optional header of type {magic:#x}; a 64-bit program has 0x20b (PE32+)")
        return True
    if not characteristics & EXECUTABLE:
        report.wrong(f"{name} is not marked executable (characteristics {characteristics:#x}): firmware does not "
                     "start it")
    if characteristics & RELOCS_STRIPPED:
        report.wrong(f"{name} is marked RELOCS_STRIPPED: firmware starts it only at its own address, which is usually "
                     "taken; clear bit 0 of the characteristics and link it position-independent")
    check_optional(name, optional, optional_size, size, report)
    check_sections(name, data, at + 24 + optional_size, sections, optional, size, report)
    return True


def check_optional(name, optional, optional_size, size, report):
    section_align, file_align = struct.unpack("<II", optional[32:40])
    image_size, headers_size, _, subsystem = struct.unpack("<IIIH", optional[56:70])
    if subsystem != APPLICATION:
        report.wrong(f"{name} has subsystem {subsystem}; an EFI application has 10")
    if not power_of_two(section_align) or not power_of_two(file_align) or file_align > section_align:
        report.wrong(f"{name} has section alignment {section_align} and file alignment {file_align}; both are powers "
                     "of two and the first is not the smaller one")
    elif section_align < 4096:
        report.note(f"{name} aligns sections to {section_align} bytes: firmware that protects memory by the page may "
                    "refuse it; 4096 is safe")
    if headers_size > size or headers_size > image_size:
        report.wrong(f"{name} has headers of {headers_size} bytes, more than the file ({size}) or the image "
                     f"({image_size})")
    start = 112 if optional[:2] == b"\x0b\x02" else 96  # of the data directories; their number stands before
    directories = struct.unpack("<I", optional[start - 4:start])[0]
    signature = optional[start + 32:start + 40].ljust(8, b"\0")
    if optional_size < start + 8 * min(directories, 16):
        report.wrong(f"{name} says it has {directories} data directories, more than its optional header of "
                     f"{optional_size} bytes holds")
    elif directories < 5 or signature == bytes(8):
        report.note(f"{name} is not signed: it does not start where Secure Boot is on")
    else:
        place, length = struct.unpack("<II", signature)
        if place + length > size:
            report.wrong(f"{name}'s signature lies outside the file: the file is cut")


def check_sections(name, data, table, count, optional, size, report):
    entry = struct.unpack("<I", optional[16:20])[0]
    image_size = struct.unpack("<I", optional[56:60])[0]
    if not 1 <= count <= MOST_SECTIONS or table + 40 * count > min(len(data), size):
        report.wrong(f"{name} says it has {count} sections; their table does not lie in the file's first "
                     f"{min(len(data), size)} bytes")
        return
    inside = False
    for at in range(table, table + 40 * count, 40):
        label = data[at:at + 8].split(b"\0")[0].decode("latin-1")
        virtual, address, raw, place = struct.unpack("<IIII", data[at + 8:at + 24])
        flags = struct.unpack("<I", data[at + 36:at + 40])[0]
        if raw and place + raw > size:
            report.wrong(f"{name}: section {label!r} ends at byte {place + raw} of a file of {size}: the file is cut")
        if address + max(virtual, 1) > image_size:
            report.wrong(f"{name}: section {label!r} ends beyond the size of the loaded image ({image_size})")
        if flags & WRITE and flags & EXECUTE:
            report.note(f"{name}: section {label!r} is writable and executable: firmware that enforces one or the "
                        "other refuses it")
        inside = inside or address <= entry < address + max(virtual, raw)
    if not inside:
        report.wrong(f"{name}'s entry point ({entry:#x}) lies in none of its sections")
