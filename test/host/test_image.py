"""tools/make-image and tools/pack-image: what others say of their output, and the same bytes for the same input."""
import os
import re
import shutil
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "support"))
from disks import ESP, GIB, MIB, ROOT, SECTOR, Edit, copy, make, pack, program, tool  # noqa: E402

pytestmark = pytest.mark.skipif(any(not shutil.which(name) for name in ("sgdisk", "mformat", "qemu-img", "fsck.vfat")),
                                reason="gdisk, mtools, dosfstools or qemu-utils are not installed")


def said(*command):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def disk(tmp_path_factory):
    return make(tmp_path_factory.mktemp("disk"))


@pytest.fixture(scope="module")
def cloud_disk(tmp_path_factory):
    return make(tmp_path_factory.mktemp("cloud"), size="1G")


@pytest.mark.parametrize("arch,boot", [("x64", "BOOTX64"), ("arm64", "BOOTAA64"), ("rv64", "BOOTRISCV64")])
def test_others_agree(tmp_path, arch, boot):
    image = make(tmp_path, arch)
    assert "No problems found" in (text := said("sgdisk", "-v", image)) and "Caution" not in text, text
    first, second = said("sgdisk", "-i", 1, image), said("sgdisk", "-i", 2, image)
    assert "EFI system partition" in first and "First sector: 2048 " in first and "81920 sectors" in first
    assert "48D7F1B5-C0BB-5D62-96F7-FBDB878CE180" in second and "'vmos-data'" in second and "(at 41.0 MiB)" in second
    esp = tmp_path / "esp"
    with Edit(image) as whole:
        esp.write_bytes(whole[ESP:ESP + 40 * MIB])
    said("fsck.vfat", "-n", esp)
    assert "FAT (32 bit)" in said("minfo", "-i", esp, "::") or "FAT32" in said("minfo", "-i", esp, "::")
    for name, content in (f"EFI/BOOT/{boot}.EFI", program(arch)), ("vmos/initrd.img", bytes(512)):
        assert subprocess.run(["mtype", "-i", esp, f"::/{name}"], capture_output=True).stdout == content
    conf = said("mtype", "-i", esp, "::/vmos/vmos.conf")
    assert "cmdline" in conf and all(line.startswith("#") for line in conf.splitlines())


def test_conf(tmp_path):
    make(tmp_path)
    (tmp_path / "own.conf").write_text("cmdline selftest then=poweroff\n")
    done = tool("make-image", "--conf", tmp_path / "own.conf", "x64", tmp_path / "kernel-x64.efi",
                tmp_path / "initrd.img",
                tmp_path / "own.img", "64M")
    assert done.returncode == 0, done.stderr
    assert said("mtype", "-i", f"{tmp_path / 'own.img'}@@1M", "::/vmos/vmos.conf") == "cmdline selftest then=poweroff\n"


def test_time(disk):
    """The time that was asked for (2023-11-14 22:13:20 UTC), wherever the machine thinks it is."""
    assert re.search(r"BOOTX64 +EFI +\d+ 2023-11-14 +22:13", said("mdir", "-i", f"{disk}@@1M", "::/EFI/BOOT"))


def test_reproducible(disk, tmp_path):
    """Another folder, time zone, mask, home and age of the files: the same disk; another commit's time: another."""
    folder, home = tmp_path / "elsewhere, far", tmp_path / "home"
    folder.mkdir()
    home.mkdir()
    (home / ".mtoolsrc").write_text("mtools_lower_case=1\ndrive c: file=\"/nowhere\"\n")
    shutil.copy(disk.parent / "kernel-x64.efi", folder / "k")
    shutil.copy(disk.parent / "initrd.img", folder / "i")
    os.utime(folder / "k", (0, 0))
    os.chmod(folder / "k", 0o600)
    mask = os.umask(0o077)
    try:
        environment = {**os.environ, "TZ": "Asia/Kathmandu", "HOME": str(home), "LC_ALL": "C.UTF-8"}
        done = tool("make-image", "x64", "k", "i", "x.img", cwd=folder, env={**environment,
                                                                             "SOURCE_DATE_EPOCH": "1700000000"})
        assert done.returncode == 0, done.stderr
        assert (folder / "x.img").read_bytes() == disk.read_bytes()
        done = tool("make-image", "x64", "k", "i", "x.img", cwd=folder, env={**environment,
                                                                             "SOURCE_DATE_EPOCH": "1700086400"})
        assert done.returncode == 0 and (folder / "x.img").read_bytes() != disk.read_bytes()
    finally:
        os.umask(mask)
    assert sorted(path.name for path in folder.iterdir()) == ["i", "k", "x.img"]


def test_architectures_differ(disk, tmp_path):
    """No two disks share a GUID or a serial number."""
    other = make(tmp_path, "arm64")
    with Edit(disk) as a, Edit(other) as b:
        for at, length in (SECTOR + 56, 16), (1024 + 16, 16), (1024 + 144, 16), (ESP + 67, 4):
            assert a[at:at + length] != b[at:at + length]


def sown(source, target):
    """The same disk, with zeros written where the other has holes."""
    copy(source, target)
    with open(target, "r+b") as file:
        for at in 43 * MIB, 50 * MIB + 4096:
            file.seek(at)
            file.write(bytes(4 * MIB))
    return target


@pytest.mark.parametrize("kind,name", [("vmdk", "x.vmdk"), ("vhd", "x.vhd"), ("gcp", "x.tar.gz")])
def test_packed(disk, cloud_disk, tmp_path, kind, name):
    """qemu-img and tar read the same disk out of it; holes or written zeros, another folder: the same file."""
    source = disk if kind == "vhd" else cloud_disk
    packed = pack(kind, source, tmp_path / name)
    again = tmp_path / "again"
    again.mkdir()
    sown(source, again / "other name.img")
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "1700000000", "TZ": "Asia/Kathmandu"}
    assert tool("pack-image", kind, "other name.img", name, cwd=again, env=environment).returncode == 0
    assert (again / name).read_bytes() == packed.read_bytes()
    assert os.stat(packed).st_blocks * 512 < 4 * MIB, "what is zero takes room"
    if kind == "gcp":
        assert re.fullmatch(r"-rw-r--r-- 0/0 +1073741824 2023-11-14 \S+ disk.raw\n",
                            said("env", "TZ=UTC", "tar", "--numeric-owner", "-tvzf", packed))
        said("tar", "-xSzf", packed, "-C", tmp_path)
        assert "identical" in said("qemu-img", "compare", "-f", "raw", "-F", "raw", source, tmp_path / "disk.raw")
        header = subprocess.run(["gzip", "-dc", packed], capture_output=True).stdout[:512]
        assert header[156:157] == b"S" and header[257:265] == b"ustar  \0", "not old GNU, or not sparse"
        assert packed.read_bytes()[3:8] == bytes(5), "gzip's header has a name or a time"
    else:
        form = {"vmdk": "vmdk", "vhd": "vpc"}[kind]
        assert "Images are identical." in said("qemu-img", "compare", "-f", "raw", "-F", form, source, packed)
    if kind == "vmdk":
        assert "No errors" in said("qemu-img", "check", packed)
        assert "create type: streamOptimized" in said("qemu-img", "info", packed)


def test_vhd_is_as_qemus(disk, tmp_path):
    """But for time, creator, identity, geometry and checksum, the footer is the one that qemu-img writes."""
    packed = pack("vhd", disk, tmp_path / "x.vhd")
    said("qemu-img", "convert", "-f", "raw", "-O", "vpc", "-o", "subformat=fixed,force_size=on", disk,
         tmp_path / "q.vhd")
    ours, theirs = (bytearray(path.read_bytes()[-512:]) for path in (packed, tmp_path / "q.vhd"))
    assert os.path.getsize(packed) == 64 * MIB + 512
    for footer in ours, theirs:
        for start, end in (24, 40), (56, 60), (64, 84):
            footer[start:end] = bytes(end - start)
    assert ours == theirs


def test_vmdk_is_a_stream(cloud_disk, tmp_path):
    """Read as VMware's importer reads it, front to back without the tables: grains ascend, tables follow what they
    name, and the end is marked."""
    data = pack("vmdk", cloud_disk, tmp_path / "x.vmdk").read_bytes()
    at, grains, marks = 128 * SECTOR, {}, []
    while True:
        value, size, kind = struct.unpack("<QII", data[at:at + 16])
        if size:
            assert not grains or value > max(grains)
            grains[value] = at // SECTOR
            assert len(zlib.decompress(data[at + 12:at + 12 + size])) == 65536
            at += -(-(12 + size) // SECTOR) * SECTOR
            continue
        marks.append(kind)
        if kind == 1:
            table = struct.unpack("<512I", data[at + SECTOR:at + SECTOR + 2048])
            assert set(filter(None, table)) <= set(grains.values())
        at += SECTOR * (1 + value)
        if kind == 0:
            break
    assert at == len(data) and marks[-3:] == [2, 3, 0] and len(grains) > 3
    with Edit(cloud_disk) as disk:
        assert all(any(disk[sector * SECTOR:sector * SECTOR + 65536]) for sector in grains)


@pytest.mark.parametrize("arguments,sentence", [
    (["x64", "absent", "i", "o"], "there is no kernel at absent; `make ARCH=x64` builds it"),
    (["x64", "k", "absent", "o"], "there is no initial ramdisk at absent"),
    (["--conf", "absent", "x64", "k", "i", "o"], "there is no vmos.conf at absent"),
    (["x64", "k", "i", "o", "much"], "SIZE is a number with K, M, G or T"),
    (["x64", "k", "i", "o", "40M"], "at least 48M"),
    (["x64", "k", "i", "o", "65537K"], "whole number of MiB"),
    (["vax", "k", "i", "o"], "invalid choice: 'vax'"),
    (["x64", "big", "i", "o"], "do not fit in the EFI system partition"),
])
def test_make_refuses(tmp_path, arguments, sentence):
    (tmp_path / "k").write_bytes(program())
    (tmp_path / "i").write_bytes(b"x")
    with open(tmp_path / "big", "wb") as file:
        file.truncate(41 * MIB)
    done = tool("make-image", *arguments, cwd=tmp_path)
    assert done.returncode and sentence in done.stderr and "Traceback" not in done.stderr, done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["big", "i", "k"], "something was left behind"


@pytest.mark.parametrize("lacking,package", [("sgdisk", "gdisk"), ("mformat", "mtools")])
def test_make_without_its_tools(tmp_path, lacking, package):
    (tmp_path / "bin").mkdir()
    for name in {"git", "sgdisk", "mformat", "mmd", "mcopy"} - {lacking}:
        (tmp_path / "bin" / name).symlink_to(shutil.which(name))
    (tmp_path / "k").write_bytes(program())
    done = tool("make-image", "x64", "k", "k", "o", cwd=tmp_path, env={"PATH": str(tmp_path / "bin")})
    assert f"there is no {lacking}; install Debian's package {package}" in done.stderr, done.stderr


@pytest.mark.parametrize("kind,size,sentence", [("gcp", 65 * MIB, "whole number of GiB"), ("vhd", 65 * MIB + 512,
                                                                                           "whole "
                                                "number of MiB"), ("vmdk", 1000, "whole sectors")])
def test_pack_refuses(tmp_path, kind, size, sentence):
    with open(tmp_path / "d", "wb") as file:
        file.truncate(size)
    done = tool("pack-image", kind, "d", "o", cwd=tmp_path)
    assert done.returncode and sentence in done.stderr and not (tmp_path / "o").exists()
    assert tool("pack-image", kind, "absent", "o", cwd=tmp_path).stderr.startswith("pack-image: there is no disk at "
                                                                                   "absent")
    assert tool("pack-image", "tape", "d", "o", cwd=tmp_path).returncode == 1


@pytest.mark.skipif(not (ROOT / "build/x64/kernel-x64.elf").exists(), reason="needs the kernel: make")
def test_targets():
    """make image and its sisters, twice: made once, and lint-image has nothing to say."""
    targets = ["image", "image-gcp", "image-aws", "image-azure"]
    text = said("make", "-C", ROOT, "-s", "ARCH=x64", *targets)
    names = ["vmos-x64.img", "vmos-x64-gcp.tar.gz", "vmos-x64-aws.raw", "vmos-x64-aws.vmdk", "vmos-x64-azure.vhd"]
    files = [ROOT / "build/x64" / name for name in names]
    assert all(f"build/x64/{name}" in text for name in names)
    before = [path.stat().st_mtime_ns for path in files]
    said("make", "-C", ROOT, "-s", "ARCH=x64", *targets)
    assert before == [path.stat().st_mtime_ns for path in files], "made again without a reason"
    assert os.path.getsize(files[0]) == 64 * MIB and os.path.getsize(files[2]) == GIB
    said("qemu-img", "compare", "-f", "raw", "-F", "vpc", files[2], files[4])
    done = tool("lint-image", "--arch", "x64", *files)
    assert done.returncode == 0, done.stdout


@pytest.mark.skipif(not os.environ.get("VMOS_LONG"), reason="builds the kernel twice: make test-long")
def test_same_commit_same_image(tmp_path):
    """From two clones in two folders, everything from source."""
    images = []
    for folder, zone in ("one", "UTC"), ("the other", "America/St_Johns"):
        clone = tmp_path / folder.replace(" ", "-") / "vmos"
        said("git", "clone", "-q", ROOT, clone)
        subprocess.run(["make", "-s", "-j2", "image"], cwd=clone, check=True, env={**os.environ, "TZ": zone},
                       stdout=subprocess.DEVNULL)
        images.append((clone / "build/x64/vmos-x64.img").read_bytes())
    assert images[0] == images[1]


def test_gcp_ten_gib(tmp_path):
    """The least that a boot disk has on Compute Engine; 12 bytes of octal end at 8 GiB."""
    packed = pack("gcp", make(tmp_path, size="10G"), tmp_path / "x.tar.gz")
    assert " 10737418240 " in said("tar", "-tvzf", packed)
    said("tar", "-xSzf", packed, "-C", tmp_path)
    assert "identical" in said("qemu-img", "compare", "-f", "raw", "-F", "raw", tmp_path / "x64-10G.img",
                               tmp_path / "disk.raw")
    assert tool("lint-image", packed).returncode == 0
