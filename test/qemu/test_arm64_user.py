"""What user mode may do on arm64 and what it may not: test/hostile/arm64/el0.c, entered at EL1 and at EL2, on CPUs with
and without PAN, SVE, SME and pointer authentication."""
import pytest

import user_mode
from guest import machine
from user_mode import NOWHERE, SURVIVES

KERNELS = "system register or instruction that only the kernel may use"
NOTHING = "invalid instruction"
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
    return user_mode.ramdisk(tmp_path_factory.mktemp("el0"), "arm64", "el0")


@pytest.mark.parametrize("arch", ["arm64"])
@pytest.mark.parametrize("on", MACHINES)
def test_user_mode(ramdisk, on, arch):
    row, cpus, expected = MACHINES[on]
    user_mode.check(row, cpus, ramdisk, expected)
