"""vmos as an EFI application: every firmware boots it, files that are missing or damaged are a sentence, what it costs."""
import re
import subprocess
from pathlib import Path

import pytest

import figures
import firmware
from firmware import FIRMWARE, INITRD, KERNEL, disk, run, start, volume
from guest import PROMPT, ROOT, X64_EXIT_PASS

SHORT = ["ovmf", "aavmf-v2-tree", "aavmf-el2-acpi", "uboot-imsic"]
ROWS = [pytest.param(name, marks=[] if name in SHORT else [pytest.mark.long]) for name in FIRMWARE]


def skip_without(row):
    if row.missing:
        pytest.skip(row.missing)


def vmos(result):
    """What the kernel printed; firmware writes to the same serial port."""
    text = result.text.replace("\r", "")
    match = re.search(r"^vmos \S+ \S+ \(\S+\) booted by efi$", text, re.M)
    assert match, result.explain()
    return text[match.start():]


def check(row, result):
    text = vmos(result)
    assert "\nready\n" in text, result.explain()
    assert re.search(r"^selftest: [1-9]\d* passed, 0 failed, \d+ skipped$", text, re.M), result.explain()
    assert result.status == (X64_EXIT_PASS if row.arch == "x64" else 0), result.explain()
    return text


def ramdisk(folder, text):
    files = folder / "files"
    files.mkdir()
    (files / "vmos.conf").write_text(text)
    subprocess.run([ROOT / "tools/make-initrd", files, folder / "initrd.img"], check=True)
    return folder / "initrd.img"


@pytest.mark.parametrize("name", ROWS)
def test_firmware(name, tmp_path):
    """Both files are read, all self-tests pass, on a machine with several CPUs where the firmware picks one."""
    row = FIRMWARE[name]
    skip_without(row)
    esp = volume(tmp_path / "esp", row.arch, "# of the test\ncmdline selftest\ncmdline then=poweroff loglevel=info\n",
                 ramdisk(tmp_path, "driver virtio-blk\nfrobnicate\n"))
    result = run(row, tmp_path, *disk("virtio-blk", esp), smp=1 if name == "edk2-rv64" else 4)
    text = check(row, result)
    assert "device virtio-blk0: " in text
    assert 'manifest: line 2: found "frobnicate"; expected: driver or service' in text
    assert "efi: from entry to ready vmos took " in text


# ---- Files that are missing or damaged: a sentence on the EFI console, the same in the log, and a boot without it -----

BOOTS = "cmdline then=poweroff\n"
LONG_WORDS = " ".join(f"word{i}" for i in range(300))


def end_beyond_file(esp):
    """The directory says that the ramdisk has a MiB, of which the volume has a piece."""
    data = bytearray(esp.read_bytes())
    entry = data.index(b"INITRD  IMG")
    data[entry + 28:entry + 32] = (1 << 20).to_bytes(4, "little")
    esp.write_bytes(data)


DAMAGED = {
    # name: (vmos.conf, ramdisk, what is done to the volume, what must be said)
    "no-ramdisk": (BOOTS, None, None, [r"\\vmos\\initrd\.img is not there; booting without it"]),
    "ramdisk-a-folder": (BOOTS, "folder", None, [r"\\vmos\\initrd\.img is a directory; booting without it"]),
    "ramdisk-empty": (BOOTS, b"", None, [r"\\vmos\\initrd\.img is empty; booting without it"]),
    "ramdisk-garbage": (BOOTS, b"no archive" * 999, None, [r"is no cpio archive with a vmos\.conf; the embedded one is used"]),
    "ramdisk-cut": (BOOTS, b"x" * 9000, end_beyond_file,
                    [r"\\vmos\\initrd\.img (cannot be read \(EFI error \d+\)|is shorter than its directory says); booting"]),
    "configuration-junk": ("\ufeff# a comment\r\n\r\ncmdline=then=poweroff\r\ncmdlineX\r\n\x01\x02 \xff\r\n", None, None,
                           [r'vmos\.conf line 4: "cmdlineX" is not understood; expected: cmdline WORDS',
                            r'vmos\.conf line 5: "\?\?" is not understood']),
    "configuration-long": (f"cmdline then=poweroff {LONG_WORDS}\n", None, None,
                           [r"the command line would be longer than 1023 bytes; what does not fit of vmos\.conf is left"]),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_damaged(case, tmp_path):
    row = FIRMWARE["aavmf-v3-tree"]
    configuration, initrd, damage, sentences = DAMAGED[case]
    if isinstance(initrd, bytes):
        (tmp_path / "initrd.img").write_bytes(initrd)
        initrd = tmp_path / "initrd.img"
    more = [("vmos/initrd.img", None)] if initrd == "folder" else []
    esp = volume(tmp_path / "esp", row.arch, configuration, None if more else initrd, more=more)
    if damage:
        damage(esp)
    result = run(row, tmp_path, *disk("virtio-blk", esp))
    assert "\nready\n" in vmos(result) and result.status == 0, result.explain()
    for sentence in sentences:
        assert re.search(r"^\[ *\d+\.\d+\] \w+: .*" + sentence, vmos(result), re.M), result.explain()
        if sentence.startswith("\\\\vmos"):
            assert re.search("^vmos: " + sentence, result.text, re.M), result.explain()


@pytest.mark.parametrize("name,configuration,said", [
    ("ovmf", None, "is not there"), ("uboot-imsic", None, "is not there"), ("aavmf-v2-acpi", "folder", "is a directory"),
    ("aavmf-v2-acpi", b"", "is empty"), ("aavmf-v2-acpi", b"#" * 65537, "is too large")])
def test_without_configuration(name, configuration, said, tmp_path):
    """No command line: the prompt."""
    row = FIRMWARE[name]
    more = [("vmos/vmos.conf", None)] if configuration == "folder" else []
    esp = volume(tmp_path / "esp", row.arch, None if more else configuration, more=more)
    with start(row, tmp_path, *disk("virtio-blk", esp)) as guest:
        guest.wait_for(r"^vmos: \\vmos\\vmos\.conf " + said + "; booting without it", firmware.SECONDS)
        guest.wait_for(PROMPT, firmware.SECONDS)
        guest.send("poweroff\r")
        guest.finish()


SHIFT = 3


@pytest.mark.parametrize("name", ["ovmf", "aavmf-v3-acpi", "uboot-plic"])
def test_budget(name, tmp_path, capsys):
    """One instruction is eight nanoseconds, so that firmware which waits for a time need not run so many; the
    firmware's own calls are counted apart."""
    row = FIRMWARE[name]
    skip_without(row)
    esp = volume(tmp_path / "esp", row.arch, "cmdline then=poweroff\n", INITRD[row.arch])
    result = run(row, tmp_path, *disk("virtio-blk", esp), extra=("-icount", f"shift={SHIFT},sleep=off"), timeout=300)
    cost = re.search(r"efi: from entry to ready vmos took (\d+) us and (\d+) calls of the firmware took (\d+) us",
                     vmos(result))
    assert cost, result.explain()
    ours, calls, theirs = int(cost[1]) / 1000 / 2**SHIFT, int(cost[2]), int(cost[3]) / 1000 / 2**SHIFT
    figures.record(f"{name}: instructions from EFI entry to ready", ours, "million", "under 30")
    figures.record(f"{name}: of the firmware, in {calls} calls", theirs, "million")
    with capsys.disabled():
        print(f"\n{name}: {ours:.2f} million instructions from EFI entry to ready, and {theirs:.2f} million in {calls} "
              "calls of the firmware")
    assert 0 < ours < 30 and theirs > 0, result.explain()
    assert "the kernel takes" in vmos(result)


# ---- Secure Boot ----------------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def key(tmp_path_factory):
    """A key of the test's own: key.pem, cert.pem, cert.der."""
    folder = tmp_path_factory.mktemp("key")
    subprocess.run(["openssl", "req", "-new", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3650", "-subj",
                    "/CN=of a test of vmos/", "-keyout", "key.pem", "-out", "cert.pem"], cwd=folder, check=True,
                   capture_output=True)
    subprocess.run(["openssl", "x509", "-in", "cert.pem", "-outform", "der", "-out", "cert.der"], cwd=folder, check=True)
    return folder


def sign(key, source, target):
    done = subprocess.run(["sbsign", "--key", key / "key.pem", "--cert", key / "cert.pem", "--output", target, source],
                          check=True, capture_output=True, text=True)
    assert "warning" not in done.stderr.lower(), done.stderr
    return target


@pytest.mark.parametrize("arch", KERNEL)
def test_can_be_signed(arch, key, tmp_path):
    signed = sign(key, KERNEL[arch], tmp_path / "signed")
    done = subprocess.run(["sbverify", "--cert", key / "cert.pem", signed], capture_output=True, text=True)
    assert done.returncode == 0 and "Signature verification OK" in done.stdout, done.stdout + done.stderr
    damaged = bytearray(signed.read_bytes())
    damaged[0x20000] ^= 1
    signed.write_bytes(damaged)
    assert subprocess.run(["sbverify", "--cert", key / "cert.pem", signed], capture_output=True).returncode != 0


@pytest.mark.parametrize("name", ["ovmf-secure", pytest.param("aavmf-secure", marks=pytest.mark.long)])
def test_secure_boot(name, key, tmp_path):
    """With the test's key in it, firmware refuses the kernel as it is and boots the same when signed."""
    row = firmware.SECURE[name]
    skip_without(row)
    for signed in (False, True):
        folder = tmp_path / ("signed" if signed else "unsigned")
        folder.mkdir()
        firmware.enroll(row, (key / "cert.der").read_bytes(), folder)
        kernel = sign(key, KERNEL[row.arch], folder / "kernel.efi") if signed else None
        esp = volume(folder / "esp", row.arch, "cmdline selftest=memory then=poweroff\n", kernel=kernel)
        with start(row, folder, *disk("virtio-blk", esp)) as guest:
            if signed:
                assert "Access Denied" not in check(row, guest.finish(firmware.SECONDS))
            else:
                guest.wait_for(r"Access Denied|Security Violation", firmware.SECONDS)
                assert "booted by efi" not in guest.text


# ---- Other loaders --------------------------------------------------------------------------------------------------

GRUB = {"ovmf": ("x86_64-efi", Path("/usr/lib/grub/x86_64-efi")),
        "aavmf-v2-tree": ("arm64-efi", ROOT / "build/grub/arm64-efi")}  # test/qemu/fetch-grub, part of make test-long


@pytest.mark.parametrize("name", GRUB)
def test_chainloaded_by_grub(name, tmp_path):
    """GRUB's `chainloader` with words of its own, which count after those of vmos.conf."""
    row = FIRMWARE[name]
    form, modules = GRUB[name]
    if not modules.is_dir():
        pytest.skip(f"no GRUB for EFI in {modules}")
    (tmp_path / "grub.cfg").write_text("search --file --set=root /vmos/kernel.efi\n"
                                       "chainloader /vmos/kernel.efi selftest=discovery then=poweroff\nboot\n")
    subprocess.run(["grub-mkimage", "-O", form, "-d", modules, "-p", "/none", "-c", tmp_path / "grub.cfg", "-o",
                    tmp_path / "grub.efi", "fat", "search", "search_fs_file", "chain", "boot", "normal"], check=True)
    esp = volume(tmp_path / "esp", row.arch, "cmdline then=prompt\n", INITRD[row.arch], kernel=tmp_path / "grub.efi",
                 more=[("vmos/kernel.efi", KERNEL[row.arch])])
    text = check(row, run(row, tmp_path, *disk("virtio-blk", esp)))
    assert "discovery: command line: then=prompt selftest=discovery then=poweroff\n" in text
    assert re.search(r"discovery: initrd 0: ", text)


@pytest.mark.parametrize("name", ["aavmf-v3-acpi", pytest.param("ovmf", marks=pytest.mark.long)])
def test_started_by_the_shell(name, tmp_path):
    """The firmware's own shell gives the program's name as the first word."""
    row = FIRMWARE[name]
    (tmp_path / "startup.nsh").write_text("fs0:\r\nvmos\\kernel.efi selftest=discovery then=poweroff\r\n")
    esp = volume(tmp_path / "esp", row.arch, None, kernel=None,
                 more=[("vmos/kernel.efi", KERNEL[row.arch]), ("startup.nsh", tmp_path / "startup.nsh")], boots=False)
    text = check(row, run(row, tmp_path, *disk("virtio-blk", esp)))
    assert "discovery: command line: selftest=discovery then=poweroff\n" in text


def test_five_levels(tmp_path):
    """Firmware that runs on five levels of page tables, which a loader cannot switch off again."""
    row = FIRMWARE["ovmf-flash"]
    subprocess.run(["clang", "--target=x86_64-unknown-windows", "-c", ROOT / "test/qemu/five_levels.S", "-o",
                    tmp_path / "five.obj"], check=True)
    subprocess.run(["lld-link", "/subsystem:efi_application", "/entry:efi_main", "/nodefaultlib", "/align:4096",
                    f"/out:{tmp_path}/five.efi", tmp_path / "five.obj"], check=True, capture_output=True)
    (tmp_path / "startup.nsh").write_text("fs0:\r\nfive.efi\r\nvmos\\kernel.efi selftest=memory,heap,timer\r\n")
    esp = volume(tmp_path / "esp", row.arch, None, boots=False,
                 more=[("five.efi", tmp_path / "five.efi"), ("vmos/kernel.efi", KERNEL["x64"]),
                       ("startup.nsh", tmp_path / "startup.nsh")])
    monitor = ("-monitor", f"unix:{tmp_path}/monitor,server=on,wait=off")
    with start(row, tmp_path, *disk("virtio-blk", esp), extra=monitor) as guest:
        guest.wait_for(r"^selftest: 3 passed, 0 failed, 0 skipped", firmware.SECONDS)
        guest.wait_for(PROMPT, firmware.SECONDS)
        assert re.search(r"CR4=[0-9a-f]*1[0-9a-f]{3}\b", guest.monitor("info registers"))


def test_loaded_above_4_gib(tmp_path):
    row = FIRMWARE["aavmf-v3-tree"]
    esp = volume(tmp_path / "esp", row.arch, "cmdline then=prompt\n")
    with start(row, tmp_path, *disk("virtio-blk", esp), memory="6G") as guest:
        guest.wait_for(PROMPT, firmware.SECONDS)
        place = re.search(r"^image: \d+ KiB at 0x([0-9a-f]+)$", guest.command_line("mem"), re.M)
        assert int(place[1], 16) >= 1 << 32
