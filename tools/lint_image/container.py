"""What kind of file this is, and the disk in it."""
import os
import re
from dataclasses import dataclass

from . import archive, vhd, vmdk
from .disk import FileDisk, SECTOR
from .report import size_text

# What begins like this is not looked into: what it is, and what to do first.
STRANGERS = (
    (b"QFI\xfb", "a qcow2 image", "no cloud imports it: convert it first: qemu-img convert -O raw IN OUT"),
    (b"vhdxfile", "a VHDX", "Azure and Compute Engine do not take it and what is in it cannot be looked at here: "
     "convert it first: qemu-img convert -O vpc -o subformat=fixed,force_size=on IN OUT (Azure) or -O raw"),
    (b"<<< ", "a VirtualBox VDI", "no cloud imports it: convert it first: qemu-img convert -O raw IN OUT"),
    (b"\xfd7zXZ\0", "compressed by xz", "unpack it first: xz -dk FILE"),
    (b"BZh", "compressed by bzip2", "unpack it first: bzip2 -dk FILE"),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd", "unpack it first: zstd -dk FILE"),
    (b"PK\x03\x04", "a zip archive", "unpack it first: unzip FILE"),
    (b"COWD", "an old ESX sparse VMDK (COWD)", f"convert it first: {vmdk.TO_STREAM}"),
    (b"\x7fELF", "an ELF program", "a disk image is wanted"),
    (b"#!", "a script", "a disk image is wanted"),
)


@dataclass
class Image:
    kind: str  # raw, tar.gz, vmdk-stream, vmdk, vhd-fixed, vhd-dynamic, vhd-differencing
    disk: object = None  # None: what is in it cannot be read


def stranger(head, whole):
    for magic, what, remedy in STRANGERS:
        if head.startswith(magic):
            return what, remedy
    if head[257:262] == b"ustar":
        return "a tar archive that is not compressed", f"Compute Engine asks for gzip: {archive.AS_GCP}"
    if whole.read(0x8001, 5) == b"CD001" and head[510:512] != b"\x55\xaa":
        return "a CD image (ISO 9660)", "clouds import disks: install from it into a disk first"
    return None


def open_vhd(file, size, head, tail, name, report):
    """A VHD, whether it still looks like one at both ends or only at one; None when it is none."""
    if vhd.is_footer(head):
        kind, disk = vhd.open_dynamic(file, size, report)
    elif vhd.is_footer(tail):
        kind, disk = vhd.open_fixed(file, size, tail, report)
    elif name.endswith(".vhd"):
        report.fact("VHD without a footer")
        lost = size % SECTOR == SECTOR - 1 and vhd.is_footer(FileDisk(file, 0, size).read(size - SECTOR + 1, 8))
        report.wrong("the VHD's footer has 511 bytes, as Virtual PC once wrote it" if lost else
                     "the last 512 bytes are no VHD footer (\"conectix\"): the file is cut or raw"
                     + f"; convert it anew: {vhd.TO_FIXED}")
        return Image("vhd-fixed", FileDisk(file, 0, size - SECTOR if size % (1 << 20) else size))
    else:
        return None
    return Image({vhd.DYNAMIC: "vhd-dynamic", vhd.DIFFERENCING: "vhd-differencing"}.get(kind, "vhd-fixed"), disk)


def open_image(file, name, keep, report):
    """The Image in an open file; None when it is something that is not looked into, which the report then says. keep: an
    ExitStack that closes what has to be opened beside the file."""
    size = file.seek(0, os.SEEK_END)
    if not size:
        report.cannot_check("the file is empty")
        return None
    whole = FileDisk(file, 0, size)
    head, tail = whole.read(0, SECTOR), whole.read(size - SECTOR, SECTOR)
    if head[:2] == b"\x1f\x8b":
        if re.search(r"\.vhd\.gz$|\.vmdk\.gz$|\.qcow2\.gz$|\.(raw|img)\.gz$", name):
            report.cannot_check("it is compressed by gzip without a tar around it; unpack it first: gunzip -k FILE")
            return None
        return Image("tar.gz", archive.open_archive(file, keep, report))
    if head[:4] == b"KDMV":
        streamed, disk = vmdk.open_sparse(file, size, report)
        return Image("vmdk-stream" if streamed else "vmdk", disk)
    if re.match(rb"# ?Disk DescriptorFile", head):
        vmdk.describe_text(whole.read(0, 8192), report)
        return Image("vmdk")
    if image := open_vhd(file, size, head, tail, name, report):
        return image
    if name.endswith((".tar.gz", ".tgz")):
        report.cannot_check(f"the name says tar.gz but the file is not compressed by gzip: {archive.AS_GCP}")
        return None
    if name.endswith(".vmdk"):
        report.cannot_check(f"the name says VMDK but the file does not begin like one; make one: {vmdk.TO_STREAM}")
        return None
    if found := stranger(head, whole):
        report.cannot_check(f"it is {found[0]}; {found[1]}")
        return None
    if size < SECTOR * 4:
        report.cannot_check(f"the file has {size} bytes, too few for any disk")
        return None
    report.fact("raw disk")
    if size % SECTOR:
        report.wrong(f"the file has {size_text(size)}, not a whole number of 512-byte sectors: it is cut, or "
                     "something was appended")
    return Image("raw", whole)
