"""x64's user mode from inside: nothing of the kernel or of another thread comes through, and a fault is the process's
own end, whatever it was. The program is the initial ramdisk's init, which the kernel starts by itself."""
import re
import subprocess

import pytest

from guest import MACHINES, ROOT, Guest

# instruction, what the crash's line says
FAULTS = {
    "breakpoint": ("int3", "breakpoint"),
    "privileged": ("hlt", "privileged instruction"),
    "interrupt": ("int $2", "privileged instruction"),  # an NMI's vector, without the NMI
    "kernel-read": ("mov 0xffffffff80000000, %%rax", "0xffffffff80000000"),
    "kernel-jump": ("mov $0xffffffff80000000, %%rax; jmp *%%rax", "0xffffffff80000000"),
    "not-canonical": ("mov $0x8000000000000000, %%rax; jmp *%%rax", "non-canonical"),
    "stack": ("mov $0x8000000000000000, %%rsp; push %%rax", "non-canonical"),
    "single-step": ("pushfq; orq $0x100, (%%rsp); popfq; nop; nop", "single step"),
    "division": ("xor %%ecx, %%ecx; xor %%edx, %%edx; div %%ecx", "division by zero"),
}
VERDICTS = 10


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    def make(name):
        at = tmp_path_factory.mktemp(name)
        (at / "root/bin").mkdir(parents=True)
        (at / "root/vmos.conf").write_text("# init is all there is\n")
        subprocess.run(["clang-19", "--target=x86_64-unknown-none-elf", "-O1", "-fpie", "-ffreestanding", "-mno-red-zone",
                        "-fno-stack-protector", "-fno-builtin", f"-I{ROOT}/include", f'-DFAULT="{FAULTS[name][0]}"',
                        "-c", ROOT / "test/qemu/x64_user.c", "-o", at / "init.o"], check=True)
        subprocess.run(["ld.lld-19", "-pie", "-static", "--no-dynamic-linker", "-z", "text", "-z", "noexecstack",
                        "-z", "max-page-size=4096", "-z", "rodynamic", "-e", "program_entry", at / "init.o",
                        "-o", at / "root/bin/init"], check=True)
        subprocess.run([ROOT / "tools/make-initrd", at / "root", at / "initrd.img"], check=True)
        return at / "initrd.img"
    return make


@pytest.mark.parametrize("name, row, smp", [(name, "q35-max", 1) for name in FAULTS] +
                         [("breakpoint", "q35", 1), ("breakpoint", "microvm", 4), ("privileged", "q35", 4)])
def test_nothing_comes_through(name, row, smp, build):
    with Guest(MACHINES[row], initrd=build(name), smp=smp, append="then=prompt") as guest:
        guest.wait_for(r"stays away; no process runs", 20)
        text = guest.text.replace("\r", "")
        assert "bad: " not in text, text
        assert text.count("good: ") == 4 * VERDICTS, text
        assert len(re.findall(rf"crash: .*{re.escape(FAULTS[name][1])}", text)) >= 1, text
        assert "panic" not in text
        assert "model: " in guest.command_line("cpu")  # nothing else is disturbed
