"""How much kernel there is, in lines of code (neither blank nor comment) of C and assembly, for each architecture.

Held under 12,000 is `kernel`: what would be there without any device: kernel/, memory/, platform/ and platform/ARCH/, and the
files of lib/ from which the kernel has any function. Beside it are printed, and not held:

    devices   what is there for devices' sake but is no driver of driver/: authority/, the platform's chips and what is read
              from disks (DEVICES)
    boot      BOOT_CODE of the Makefile outside machine/: gone before `ready`
    machine   machine/: firmware's descriptions and PCI, most of it boot code too
    headers   declarations of all of these, and what code is inline in them

Nowhere counted are driver/ and self-tests. Whoever calls all of it the kernel adds the columns up: `all`.
"""
import re
import subprocess
from pathlib import Path

import pytest

import figures

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 12_000
DEVICES = re.compile(r"authority/.*|platform/(ns16550|power)|platform/\w+/(serial|lapic|ioapic|gic|gicv2|gicv3|its|v2m|"
                     r"plic|aplic|imsic|interrupt|timer|calibrate|reference|power|port)|"
                     r"kernel/(partition|iotest|drivers)|lib/(gpt|crc32|block)")
LITERAL_OR_COMMENT = re.compile(r'"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|//[^\n]*|/\*.*?\*/', re.S)


def lines_of_code(path):
    def without_comment(match):
        return match[0] if match[0][0] in "\"'" else "\n" * match[0].count("\n")

    return sum(1 for line in LITERAL_OR_COMMENT.sub(without_comment, path.read_text()).split("\n") if line.strip())


def functions(file):
    listed = subprocess.run(["llvm-nm-19", "--defined-only", file], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return set(re.findall(r" [Tt] (\w+)$", listed, re.M))


def library(arch):
    """Files of lib/ that the kernel links, by the functions that are left in it, and the headers of what it links."""
    linked = functions(f"build/{arch}/kernel-{arch}.elf")
    absent = {path.stem for path in (ROOT / "lib").glob("*.c")
              if not functions(f"build/{arch}/lib/{path.name}.o") & linked}
    return [path for path in files("lib") if path.stem not in absent]


def files(*folders):
    return [path for folder in folders for path in sorted((ROOT / folder).glob("*.[chS]")) if path.stem != "selftest"]


def column(path, boot):
    name = str(path.relative_to(ROOT))
    if path.suffix == ".h":
        return "headers"
    if name.startswith("machine/"):
        return "machine"
    if name in boot:
        return "boot"
    return "devices" if DEVICES.fullmatch(name.rsplit(".", 1)[0]) else "kernel"


def test_counts_what_is_code(tmp_path):
    file = tmp_path / "a.c"
    file.write_text('/* one\n   two */\n\nint a; /* b */\n// c\nchar *d = "/* not a comment"; /* e\n */ int f;\n\'"\' "//";\n')
    assert lines_of_code(file) == 4


@pytest.mark.parametrize("arch", ["x64", "arm64", "rv64"])
def test_lines(arch, capsys):
    subprocess.run(["make", "-s", f"ARCH={arch}"], cwd=ROOT, check=True)
    boot = subprocess.run(["make", "-s", f"ARCH={arch}", "list-boot-code"], cwd=ROOT, check=True, capture_output=True,
                          text=True).stdout.split()
    assert "kernel/discover.c" in boot
    counts = dict.fromkeys(("kernel", "devices", "boot", "machine", "headers"), 0)
    rooms = files("kernel", "kernel/process", "memory", "authority", "platform", f"platform/{arch}", "machine")
    for path in rooms + library(arch):
        counts[column(path, boot)] += lines_of_code(path)
    assert all(count > 400 for count in counts.values()), counts
    figures.record(f"{arch}: lines of kernel code", counts["kernel"], "lines", f"under {LIMIT}")
    figures.record(f"{arch}: lines of kernel code, devices, boot, machine/ and headers", sum(counts.values()), "lines")
    with capsys.disabled():
        print(f"\n{arch}: {', '.join(f'{what} {count}' for what, count in counts.items())}, all {sum(counts.values())}")
    assert counts["kernel"] < LIMIT
