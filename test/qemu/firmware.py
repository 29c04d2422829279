"""Boots vmos through firmware: which firmware there is, how QEMU is told to run it, and volumes to boot from.

A Firmware is one row: a machine, and the arguments that take the place of -kernel. `start` gives a Guest; `folder` is the
test's own.
"""
import os
import struct
import subprocess
import uuid
from dataclasses import dataclass
from pathlib import Path

from guest import ROOT, Guest, Machine, machine

APPLICATION = {"x64": "BOOTX64.EFI", "arm64": "BOOTAA64.EFI", "rv64": "BOOTRISCV64.EFI"}
KERNEL = {arch: ROOT / "build" / arch / f"kernel-{arch}.efi" for arch in APPLICATION}
INITRD = {arch: ROOT / "build" / arch / "initrd.img" for arch in APPLICATION}

OVMF = Path("/usr/share/ovmf/OVMF.fd")
OVMF_CODE, OVMF_VARIABLES = Path("/usr/share/OVMF/OVMF_CODE_4M.fd"), Path("/usr/share/OVMF/OVMF_VARS_4M.fd")
OVMF_SECURE_CODE = Path("/usr/share/OVMF/OVMF_CODE_4M.secboot.fd")
# The builds with Secure Boot; whose keys count is in the variables.
AAVMF_SECURE_CODE, AAVMF_SECURE_VARIABLES = (Path(f"/usr/share/AAVMF/AAVMF_{part}.ms.fd") for part in ("CODE", "VARS"))
AAVMF_CODE, AAVMF_VARIABLES = Path("/usr/share/AAVMF/AAVMF_CODE.fd"), Path("/usr/share/AAVMF/AAVMF_VARS.fd")
UBOOT = Path("/usr/lib/u-boot/qemu-riscv64_smode/uboot.elf")
# Debian 12 has neither: VMOS_EDK2_RV64 names a folder with RISCV_VIRT_CODE.fd and RISCV_VIRT_VARS.fd,
# VMOS_UBOOT13 a later U-Boot, VMOS_QEMU10_RV64 a later QEMU.
EDK2_RV64 = Path(os.environ.get("VMOS_EDK2_RV64", "/opt/debian13/usr/share/qemu-efi-riscv64"))
UBOOT13 = Path(os.environ.get("VMOS_UBOOT13", "/opt/debian13/usr/lib/u-boot/qemu-riscv64_smode/uboot.elf"))
QEMU10_RV64 = Path(os.environ.get("VMOS_QEMU10_RV64", "/opt/qemu10/qemu-system-riscv64"))

SECONDS = 90  # to the first line: the slowest firmware takes ten on an idle machine


@dataclass(frozen=True)
class Firmware:
    name: str
    on: Machine
    arguments: object  # function of a folder
    files: tuple  # without which the row cannot run
    qemu: Path = None
    mmio: bool = False  # can boot from virtio-mmio
    nvme: bool = True  # and from NVMe
    scsi: bool = True  # and from virtio-scsi

    @property
    def arch(self):
        return self.on.arch

    @property
    def missing(self):
        """Why the row cannot run here, or nothing."""
        wanted = [*self.files, *([self.qemu] if self.qemu else [])]
        return ", ".join(f"{path} is not here" for path in wanted if not os.access(path, os.R_OK))


def flash(code, variables, folder):
    """Code in the first flash device, variables in the second: what enroll() has made in the folder, or else what comes
    with the firmware, of which QEMU forgets the changes."""
    own = Path(folder) / "variables.fd"
    return ["-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={code}",
            "-drive", f"if=pflash,format=raw,unit=1,snapshot=on,file={own if own.exists() else variables}"]


def ovmf(_folder):
    return ["-bios", OVMF]


def ovmf_flash(folder):
    return flash(OVMF_CODE, OVMF_VARIABLES, folder)


def aavmf(folder):
    """Without the menu's option it waits five seconds for a key."""
    return [*flash(AAVMF_CODE, AAVMF_VARIABLES, folder), "-boot", "menu=on,splash-time=0"]


def uboot(_folder):
    return ["-kernel", UBOOT]


def uboot13(_folder):
    return ["-kernel", UBOOT13]


def edk2_rv64_loaded(folder):
    """QEMU 7.2 starts nothing in flash below OpenSBI: both files are put into memory where flash would be, and a kernel
    of two instructions, `li t0, 0x20000000; jr t0`, goes there."""
    start = Path(folder) / "start.elf"
    code = struct.pack("<II", 0x200002b7, 0x00028067)
    head = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01" + bytes(9), 2, 243, 1, 0x80200000, 64, 0, 0, 64, 56, 1,
                       0, 0, 0)
    load = struct.pack("<IIQQQQQQ", 1, 5, 120, 0x80200000, 0x80200000, len(code), len(code), 8)
    start.write_bytes(head + load + code)
    files = (("CODE", 0x20000000), ("VARS", 0x22000000))
    return ["-kernel", start, *(part for kind, address in files for part in (
        "-device", f"loader,file={EDK2_RV64}/RISCV_VIRT_{kind}.fd,addr={address:#x},force-raw=on"))]


def edk2_rv64(folder):
    return flash(EDK2_RV64 / "RISCV_VIRT_CODE.fd", EDK2_RV64 / "RISCV_VIRT_VARS.fd", folder)


def ovmf_secure(folder):
    """The build that keeps its variables from everybody but itself; Secure Boot is on when enroll() put keys there."""
    return ["-global", "driver=cfi.pflash01,property=secure,value=on",
            *flash(OVMF_SECURE_CODE, OVMF_VARIABLES, folder)]


def aavmf_secure(folder):
    return [*flash(AAVMF_SECURE_CODE, AAVMF_SECURE_VARIABLES, folder), "-boot", "menu=on,splash-time=0"]


def row(name, arch, arguments, start, files, **options):
    return Firmware(name, machine(name, arch, arguments), start, files, **options)


AARCH = (AAVMF_CODE, AAVMF_VARIABLES)
EDK2 = (EDK2_RV64 / "RISCV_VIRT_CODE.fd",)
FIRMWARE = {row.name: row for row in (
    row("ovmf", "x64", "-M q35", ovmf, (OVMF,)),
    row("ovmf-flash", "x64", "-M q35 -cpu max", ovmf_flash, (OVMF_CODE, OVMF_VARIABLES)),
    row("ovmf-pc", "x64", "-M pc", ovmf, (OVMF,)),
    row("ovmf-smm-off", "x64", "-M q35,smm=off", ovmf, (OVMF,)),
    row("aavmf-v2-tree", "arm64", "-M virt,gic-version=2,acpi=off -cpu cortex-a72", aavmf, AARCH, mmio=True),
    row("aavmf-v2-acpi", "arm64", "-M virt,gic-version=2,acpi=on -cpu cortex-a72", aavmf, AARCH, mmio=True),
    row("aavmf-v3-tree", "arm64", "-M virt,gic-version=3,acpi=off -cpu max", aavmf, AARCH, mmio=True),
    row("aavmf-v3-acpi", "arm64", "-M virt,gic-version=3,acpi=on -cpu max", aavmf, AARCH, mmio=True),
    row("aavmf-el2-tree", "arm64", "-M virt,gic-version=2,virtualization=on,acpi=off -cpu cortex-a72", aavmf, AARCH,
        mmio=True),
    row("aavmf-el2-acpi", "arm64", "-M virt,gic-version=3,virtualization=on,acpi=on -cpu max", aavmf, AARCH, mmio=True),
    row("aavmf-highmem-off", "arm64", "-M virt,gic-version=3,highmem=off -cpu max", aavmf, AARCH, mmio=True),
    row("uboot-plic", "rv64", "-M virt", uboot, (UBOOT,), mmio=True, nvme=False, scsi=False),
    row("uboot-imsic", "rv64", "-M virt,aia=aplic-imsic", uboot, (UBOOT,), mmio=True, nvme=False, scsi=False),
    row("uboot13-imsic", "rv64", "-M virt,aia=aplic-imsic", uboot13, (UBOOT13,), mmio=True, scsi=False),
    row("edk2-rv64", "rv64", "-M virt", edk2_rv64_loaded, EDK2, mmio=True),
    row("edk2-rv64-qemu10", "rv64", "-M virt,aia=aplic-imsic", edk2_rv64, EDK2, mmio=True, qemu=QEMU10_RV64),
    row("edk2-rv64-qemu10-tree", "rv64", "-M virt,acpi=off", edk2_rv64, EDK2, mmio=True, qemu=QEMU10_RV64),
)}


SECURE = {row.name: row for row in (
    row("ovmf-secure", "x64", "-M q35,smm=on", ovmf_secure, (OVMF_SECURE_CODE, OVMF_VARIABLES)),
    row("aavmf-secure", "arm64", "-M virt,gic-version=3 -cpu cortex-a72", aavmf_secure,
        (AAVMF_SECURE_CODE, AAVMF_SECURE_VARIABLES)),
)}


def start(firmware, folder, *devices, memory="256M", smp=1, extra=(), exit_device=True):
    """A Guest that begins with the firmware. `devices` has the disk to boot from, made by disk()."""
    return Guest(firmware.on, *devices, boot=firmware.arguments(folder), memory=memory, smp=smp, qemu=firmware.qemu,
                 extra=extra, exit_device=exit_device)


def run(firmware, folder, *devices, timeout=150, **options):
    """From power-on to the end of QEMU."""
    with start(firmware, folder, *devices, **options) as guest:
        return guest.finish(timeout)


def disk(kind, path, image="raw", name="boot", first=True, options=""):
    """QEMU's arguments for a disk; `image` is QEMU's name of its format, `first` that it is to be booted, `options` go
    to the drive."""
    index = ",bootindex=0" if first else ""
    device = {
        "virtio-blk": [f"virtio-blk-pci,drive={name}{index}"],
        "virtio-mmio": [f"virtio-blk-device,drive={name}{index}"],
        "nvme": [f"nvme,drive={name},serial={name}{index}"],
        "virtio-scsi": [f"virtio-scsi-pci,id=bus-{name}", f"scsi-hd,drive={name},bus=bus-{name}.0{index}"],
    }[kind]
    return ["-drive", f"if=none,id={name},format={image},cache=unsafe,file={path}{options}",
            *(part for one in device for part in ("-device", one))]


def volume(path, arch, configuration=None, initrd=None, kernel=None, more=(), boots=True, megabytes=8):
    """A FAT volume without a partition table: the kernel, or what is given for it, as removable media have it if it is to
    boot by itself, vmos.conf (text or bytes), the initial ramdisk (a path), and `more` pairs of place and path."""
    path = Path(path)
    with open(path, "wb") as file:
        file.truncate(megabytes << 20)
    folder = path.with_suffix(".files")
    folder.mkdir(exist_ok=True)
    files = [(f"EFI/BOOT/{APPLICATION[arch]}", kernel or KERNEL[arch])] if boots else []
    files += more
    if configuration is not None:
        text = folder / "vmos.conf"
        text.write_bytes(configuration.encode() if isinstance(configuration, str) else configuration)
        files.append(("vmos/vmos.conf", text))
    if initrd is not None:
        files.append(("vmos/initrd.img", initrd))
    mtools("mformat", "-i", path, "::")
    made = set()
    for place, source in files:
        for parent in reversed(Path(place).parents[:-1]):
            if parent not in made:
                mtools("mmd", "-i", path, f"::{parent}")
                made.add(parent)
        if source is None:  # a folder, where a file is expected
            mtools("mmd", "-i", path, f"::{place}")
        else:
            mtools("mcopy", "-i", path, source, f"::{place}")
    return path


def mtools(*command):
    subprocess.run([str(part) for part in command], check=True, capture_output=True)


# ---- Secure Boot: keys in the firmware's flash ----------------------------------------------------------------------

GLOBAL = uuid.UUID("8be4df61-93ca-11d2-aa0d-00e098032b8c")  # [UEFI 2.10 §3.3]
SECURITY = uuid.UUID("d719b2cb-3d3a-4596-a3bc-dad00e67656f")  # [UEFI 2.10 §32.6.1]
ENABLE = uuid.UUID("f0a30bc7-af08-4556-99c4-001009c93a44")  # EDK2's own: SecureBootEnable
X509 = uuid.UUID("a5c059a1-94e4-4aa7-87b5-ab155c2bf072")
STORE = uuid.UUID("aaf32c78-947b-439a-a180-2e144ec37792")  # EDK2's store of authenticated variables
OWNER = uuid.UUID("11111111-2222-3333-4444-123456789abc")


def signature_list(certificate):
    """EFI_SIGNATURE_LIST with one certificate, in DER [UEFI 2.10 §32.4.1]."""
    entry = OWNER.bytes_le + certificate
    return X509.bytes_le + struct.pack("<III", 28 + len(entry), 0, len(entry)) + entry


def variable(name, vendor, attributes, data):
    """A variable as EDK2 has it in flash: header, name, data."""
    text = name.encode("utf-16le") + b"\0\0"
    time = struct.pack("<HBBBBBBIhBB", 2020, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0)
    head = struct.pack("<HBBIQ16sIII16s", 0x55aa, 0x3f, 0, attributes, 0, time, 0, len(text), len(data), vendor.bytes_le)
    whole = head + text + data
    return whole + b"\xff" * (-len(whole) % 4)


def enroll(firmware, certificate, folder):
    """Flash for a row of SECURE to which this certificate, in DER, is everything: platform key, key exchange key, and the
    one that images are signed with."""
    template = {"x64": OVMF_VARIABLES, "arm64": AAVMF_SECURE_VARIABLES}[firmware.arch]
    with open(template, "rb") as file:
        data = bytearray(file.read(1 << 20))  # the rest of what can be large flash is empty
    volume_size, = struct.unpack_from("<Q", data, 32)
    store, = struct.unpack_from("<H", data, 48)  # the volume's header is so long
    assert data[store:store + 16] == STORE.bytes_le, f"{template} holds no authenticated variables"
    store_size, = struct.unpack_from("<I", data, store + 16)
    keys = signature_list(certificate)
    wanted = b"".join((variable("PK", GLOBAL, 0x27, keys), variable("KEK", GLOBAL, 0x27, keys),
                       variable("db", SECURITY, 0x27, keys), variable("SecureBootEnable", ENABLE, 3, b"\1")))
    data[store + 28:store + store_size] = wanted.ljust(store_size - 28, b"\xff")
    with open(Path(folder) / "variables.fd", "wb") as file:
        file.write(data[:volume_size])
        file.truncate(template.stat().st_size)
