"""User mode on rv64: what a process may do and what it may not (test/hostile/rv64/umode.c), and what the kernel must leave
to it, read from the kernel that ships: gp, which is saved and loaded at the border alone, and the floating-point and
vector registers, which nothing else may touch."""
import re
import subprocess

import pytest

import user_mode
from guest import ROOT, machine
from user_mode import NOWHERE, SURVIVES

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


PRIVILEGED, CONTROL = "privileged instruction", "access to a control register that is not a user's"
VECTOR = "a vector instruction, and the vector unit is off"
CASES = {
    "read_time": SURVIVES,
    "fetch_anew": SURVIVES,
    "misalign_data": SURVIVES,
    "keep_registers": SURVIVES,
    "lend_bad_pointers": SURVIVES,
    "wait_for_interrupt": PRIVILEGED,
    "return_from_trap": PRIVILEGED,
    "flush_translations": PRIVILEGED,
    "read_status": CONTROL,
    "write_root": CONTROL,
    "read_cycles": CONTROL,
    "read_instructions": CONTROL,
    "read_seed": CONTROL,
    "zero_block": "invalid instruction",
    "set_vector": VECTOR,
    "read_vector_length": VECTOR,
    "breakpoint": "breakpoint",
    "no_instruction": "invalid instruction",
    "read_nothing": "read of an unmapped address 0x10, a null pointer",
    "read_kernel": NOWHERE,
    "write_physmap": NOWHERE,
    "run_kernel": NOWHERE,
    "read_beyond": NOWHERE,
    "write_code": "write to read-only memory",
    "run_stack": "execution of memory that is not executable",
}
WITHOUT_FLOATING_POINT = {**CASES, "keep_registers": "a floating-point instruction that this CPU does not have"}
MACHINES = {
    "vector": (machine("plic-vector", "rv64", "-M virt -cpu rv64,v=true"), 1, CASES),
    "imsic": (machine("imsic", "rv64", "-M virt,aia=aplic-imsic"), 4, CASES),
    "no-fp": (machine("plic-no-fp", "rv64", "-M virt -cpu rv64,g=off,f=off,d=off"), 1, WITHOUT_FLOATING_POINT),
}


@pytest.fixture(scope="module")
def ramdisk(tmp_path_factory):
    return user_mode.ramdisk(tmp_path_factory.mktemp("umode"), "rv64", "umode")


@pytest.mark.parametrize("arch", ["rv64"])
@pytest.mark.parametrize("on", MACHINES)
def test_user_mode(ramdisk, on, arch):
    row, cpus, expected = MACHINES[on]
    user_mode.check(row, cpus, ramdisk, expected)
