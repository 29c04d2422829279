"""What the kernel must leave to user mode on rv64, read from the kernel that ships: gp, which is saved and loaded at the
border alone, and the floating-point and vector registers, which nothing else may touch."""
import re
import subprocess

import pytest

from guest import ROOT

KERNEL = ROOT / "build" / "rv64" / "kernel-rv64.elf"
BORDER = {"enter", "user_entry", "save"}
EXTENDED = {"user_save_extended": 32, "user_load_extended": 32}


@pytest.fixture(scope="module")
def functions():
    """{name: [instruction, ...]}"""
    text = subprocess.run(["llvm-objdump-19", "-d", "--no-show-raw-insn", "--mattr=+d,+zcd,+v", KERNEL], check=True,
                          capture_output=True, text=True).stdout
    found, name = {}, None
    for line in text.splitlines():
        if match := re.match(r"[0-9a-f]+ <(.+)>:", line):
            name = name if match[1].startswith(".L") else match[1]
        elif match := re.match(r"[0-9a-f]+:\s+(\S.*)", line.strip()):
            found.setdefault(name, []).append(match[1])
    del found["image_entry"]  # the header that firmware reads: data
    assert sum(map(len, found.values())) > 20000, "the disassembly is not the kernel's"
    return found


def test_kernel_has_no_use_for_gp(functions):
    users = {name for name, code in functions.items() if any(re.search(r"\bgp\b", each) for each in code)}
    assert users == BORDER


def test_floating_point_is_saved_and_loaded_and_nothing_else(functions):
    counts = {name: sum(bool(re.match(r"f[ls][wdq]\s|c\.f", each)) for each in code) for name, code in functions.items()}
    assert {name: count for name, count in counts.items() if count} == EXTENDED
    others = [each for name, code in functions.items() if name not in EXTENDED
              for each in code if re.match(r"(f(?!ence)|v)[a-z0-9]+(\.[a-z0-9]+)*\s", each)]
    assert [each.split()[0] for each in others] == ["fmv.d.x"], "only the question whether the CPU has it"
