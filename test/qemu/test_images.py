"""Images as `make image` and its sisters make them boot through each architecture's firmware, in each wrapping."""
import os
import subprocess

import pytest

from guest import QEMU, ROOT

TOOLS = ROOT / "tools"
FIRMWARE = {  # as tools/image.mk has it
    "x64": ("/usr/share/ovmf/OVMF.fd", ["-M", "q35", "-bios"]),
    "arm64": ("/usr/share/qemu-efi-aarch64/QEMU_EFI.fd", ["-M", "virt,gic-version=3", "-cpu", "cortex-a72", "-boot",
                                                          "menu=on,splash-time=0", "-bios"]),
    "rv64": ("/usr/lib/u-boot/qemu-riscv64_smode/uboot.elf", ["-M", "virt,aia=aplic-imsic", "-kernel"]),
}
DISK = {
    "nvme": ["-device", "nvme,serial=vmos,drive=disk,bootindex=0"],
    "virtio-blk": ["-device", "virtio-blk-pci,drive=disk,bootindex=0"],
    "virtio-scsi": ["-device", "virtio-scsi-pci", "-device", "scsi-hd,drive=disk,bootindex=0"],
}
WRAPPING = {"raw": ("raw", None), "vmdk": ("vmdk", "vmdk"), "vhd": ("vpc", "vhd")}  # QEMU's name, pack-image's
# Debian 12's U-Boot reads virtio-blk only.
ROWS = [(arch, disk, wrapping) for arch in FIRMWARE for disk in DISK for wrapping in WRAPPING
        if arch != "rv64" or disk == "virtio-blk"]
SHORT = {("x64", "nvme", "vmdk"), ("arm64", "nvme", "vhd"), ("rv64", "virtio-blk", "raw")}


@pytest.fixture(scope="module")
def disks(tmp_path_factory):
    """arch -> a disk whose vmos.conf says what to do; made when it is first asked for."""
    folder, made = tmp_path_factory.mktemp("disks"), {}

    def disk(arch):
        if arch not in made:
            conf = folder / "vmos.conf"
            conf.write_text("# from the test\ncmdline selftest=console,memory\ncmdline then=poweroff\n")
            made[arch] = folder / f"{arch}.img"
            build = ROOT / "build" / arch
            subprocess.run([TOOLS / "make-image", "--conf", conf, arch, build / f"kernel-{arch}.efi",
                            build / "initrd.img", made[arch]], check=True, timeout=60)
        return made[arch]
    return disk


@pytest.mark.parametrize("arch,disk,wrapping", [
    pytest.param(*row, marks=[] if row in SHORT else pytest.mark.long, id="-".join(row)) for row in ROWS])
def test_boots(disks, tmp_path, arch, disk, wrapping):
    kernel = ROOT / "build" / arch / f"kernel-{arch}.efi"
    firmware, machine = FIRMWARE[arch]
    if not os.path.exists(firmware):
        pytest.skip(f"{firmware} is not here")
    if not kernel.exists() or kernel.read_bytes()[:2] != b"MZ":
        pytest.skip(f"{kernel} is not an EFI application")
    image, (form, pack) = disks(arch), WRAPPING[wrapping]
    if pack:
        subprocess.run([TOOLS / "pack-image", pack, image, tmp_path / "packed"], check=True, timeout=60)
        image = tmp_path / "packed"
    command = [QEMU[arch], *machine, firmware, "-accel", "tcg", "-nodefaults", "-display", "none", "-serial", "stdio",
               "-m", "256M", "-no-reboot", "-drive", f"if=none,id=disk,format={form},file={image},snapshot=on",
               *DISK[disk]]
    if arch == "rv64":  # NVMe as a disk that firmware does not know
        with open(tmp_path / "data", "wb") as file:
            file.truncate(16 << 20)
        command += ["-drive", f"if=none,id=data,format=raw,file={tmp_path / 'data'}",
                    "-device", "nvme,serial=d,drive=data"]
    # A guest that hangs is killed, and what it said is shown.
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT) as process:
        try:
            said, _ = process.communicate(timeout=120)
        except subprocess.TimeoutExpired:
            process.kill()
            said, _ = process.communicate()
            raise AssertionError(f"still running:\n{said.decode('latin-1')}") from None
    text = said.decode("latin-1").replace("\r", "")
    assert f" {arch} (" in text and "booted by efi\n" in text and "\nready\n" in text, text
    assert "selftest: 2 passed, 0 failed, 0 skipped" in text, text
