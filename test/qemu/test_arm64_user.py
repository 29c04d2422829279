"""What user mode may do on arm64 and what it may not: test/hostile/arm64/el0.c, entered at EL1 and at EL2, on CPUs with
and without PAN, SVE, SME and pointer authentication."""
import re
import subprocess

import pytest
from guest import ROOT, Guest, machine

KERNELS = "system register or instruction that only the kernel may use"
NOTHING = "invalid instruction"
SURVIVES, NOWHERE = None, "where no process has memory"
CASES = {
    "read_cache_type": SURVIVES,
    "read_counter": SURVIVES,
    "wait_for_event": SURVIVES,
    "clear_line": SURVIVES,
    "read_scratch": SURVIVES,
    "keep_registers": SURVIVES,
    "wait_for_interrupt": "wfi, which only the kernel may use",
    "mask_interrupts": KERNELS,
    "read_control": NOTHING,
    "read_physical_counter": KERNELS,
    "read_timer": KERNELS,
    "read_cycles": KERNELS,
    "clean_cache": KERNELS,
    "invalidate_code": KERNELS,
    "flush_translations": NOTHING,
    "call_hypervisor": NOTHING,
    "call_firmware": NOTHING,
    "return_from_exception": NOTHING,
    "call_one": "svc with a number: system calls are svc #0",
    "breakpoint": "breakpoint (brk)",
    "no_instruction": NOTHING,
    "use_sve": "SVE instruction, which is switched off",
    "use_sme": "SME instruction, which is switched off",
    "sign": SURVIVES,
    "misalign_code": "misaligned program counter",
    "read_nothing": "read of an unmapped address 0x10, a null pointer",
    "read_kernel": NOWHERE,
    "read_physmap": NOWHERE,
    "run_kernel": NOWHERE,
    "read_beyond": NOWHERE,
    "read_tagged": NOWHERE,
    "write_code": "write to read-only memory",
    "run_stack": "execution of memory that is not executable",
}
PLAIN = {**CASES, "use_sve": NOTHING, "use_sme": NOTHING, "sign": NOTHING}  # a CPU that has none of it
MACHINES = {
    "gicv3-max-el2": (machine("gicv3-max-el2", "arm64", "-M virt,gic-version=3,virtualization=on -cpu max"), 4, CASES),
    "gicv2-a72": (machine("gicv2-a72", "arm64", "-M virt,gic-version=2 -cpu cortex-a72"), 1, PLAIN),
}


@pytest.fixture(scope="module")
def ramdisk(tmp_path_factory):
    folder = tmp_path_factory.mktemp("el0")
    program = "build/arm64/hostile/el0.bin"
    subprocess.run(["make", "-s", "ARCH=arm64", program], cwd=ROOT, check=True)
    (folder / "files").mkdir()
    (folder / "files" / "vmos.conf").write_text("# nothing\n")
    subprocess.run([ROOT / "tools/make-initrd", folder / "files", folder / "initrd.img", f"bin/init={ROOT / program}"],
                   check=True)
    return folder / "initrd.img"


@pytest.mark.parametrize("arch", ["arm64"])
@pytest.mark.parametrize("on", MACHINES)
def test_user_mode(ramdisk, on, arch):
    row, cpus, expected = MACHINES[on]
    with Guest(row, kernel=row.flat, initrd=ramdisk, smp=cpus) as guest:
        guest.wait_for(r"all cases done", 60)
        text = guest.text.replace("\r", "")
    ends = {}
    parts = re.split(r"init\[\d+\]: case (\w+): (.*)", text)
    for said, name, end in zip(parts[::3], parts[1::3], parts[2::3]):
        crash = re.search(r"crash: (.*)", said)
        ends[name] = (end.split()[0], end.split()[-1], crash and crash[1])
    assert list(ends) == list(expected), text
    for name, what in expected.items():
        how, code, crash = ends[name]
        if what is SURVIVES:
            assert (how, code, crash) == ("ended", "7", None), f"{name}: {ends[name]}\n{text}"
        else:
            assert how == "crashed" and what in crash, f"{name}: {ends[name]}\n{text}"
    assert "panic" not in text
