"""Programs that do their worst, test/hostile: each says how it went, a bystander says that it was not disturbed, and the
ledger, asked from outside before and after, says that nothing was left behind."""
import os
import re
import subprocess

import pytest

import figures
from guest import MACHINES, ROOT, Guest, run

SEED = int(os.environ.get("VMOS_SEED", "1"))
PROGRAMS = ROOT / "test/hostile"
CASES = re.findall(r'\.name = "([\w-]+)"', (PROGRAMS / "runner/cases.inc").read_text())
KERNEL_ERROR = re.compile(r"^panic: .*|heap: .*|.*unused for good.*", re.M)


def ramdisk(arch, folder, **parameters):
    """The programs, the runner in init's place, and what the runner is told."""
    (folder / "files").mkdir(exist_ok=True)
    (folder / "files/vmos.conf").write_text((PROGRAMS / "vmos.conf").read_text())
    words = " ".join(f"{key}={value}" for key, value in parameters.items())
    (folder / "files/hostile.conf").write_text(f"{words} \n")
    files = []
    for program in sorted((ROOT / "build" / arch / "test/hostile").glob("*.bin")):
        name = "init" if program.stem == "runner" else program.stem
        files += [f"bin/{name}={program}", f"bin/{name}.sym={program.with_suffix('.sym')}"]
    image = folder / "hostile.img"
    subprocess.run([ROOT / "tools/make-initrd", folder / "files", image, *files], check=True)
    return image


def ledger(guest):
    return re.findall(r"^ledger: .*$", guest.command_line("ledger"), re.M)


def settled_ledger(guest, wanted, tries=10):
    """What has ended is taken apart when the kernel finds the time."""
    for _ in range(tries):
        found = ledger(guest)
        if found == wanted:
            break
    return found


def run_cases(on, smp, folder, timeout, cases=CASES, **parameters):
    kernel = on.flat if on.arch == "arm64" else on.kernel  # QEMU ignores -initrd for an ELF there
    image = ramdisk(on.arch, folder, seed=SEED, start="console", **parameters)
    with Guest(on, kernel=kernel, initrd=image, smp=smp) as guest:
        guest.wait_for(r"^ready")
        guest.wait_for(r"hostile: prepared")
        ledger(guest)  # what the console takes when it is used for the first time
        before = ledger(guest)
        guest.send("spawn cases\r")
        guest.wait_for(r"hostile: \d+ passed, \d+ failed|^panic: ", timeout)
        text = guest.text.replace("\r", "")
        verdicts = dict(re.findall(r"hostile ([\w-]+): (pass|fail)  ", text))
        assert not re.findall(r"hostile [\w-]+: fail .*", text), text
        assert not KERNEL_ERROR.findall(text), text
        assert list(verdicts) == list(cases), text
        after = settled_ledger(guest, before)
        assert after == before, f"{before}\n{after}\n{text}"
    return text


def record(name, smp, text):
    """How much of it there was, where a number says so."""
    for case, number, unit in re.findall(r"hostile ([\w-]+): pass  (\d+) (\w[^(\r\n]*)", text):
        figures.record(f"{name}, {smp} CPUs: hostile process {case}", int(number), unit.strip())


@pytest.mark.takes(30)
@pytest.mark.parametrize("name", ["q35-max", "gicv3-max", "aplic"])
def test_all_on_one_cpu(name, tmp_path):
    run_cases(MACHINES[name], 1, tmp_path, 240, scale=100)


# Not at once: each has twice as many CPUs as the host may have, and its bystander must get its share.
@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.takes(place)) for name, place in (
    ("q35", 40), ("gicv3", 13), ("imsic", 10))])
def test_on_four_cpus(name, tmp_path):
    run_cases(MACHINES[name], 4, tmp_path, 240, scale=10)


@pytest.mark.long
@pytest.mark.parametrize("smp", [1, 4])
@pytest.mark.parametrize("name", ["q35", "microvm", "q35-max", "gicv2", "gicv3-max", "plic", "imsic"])
def test_ten_times_as_much(name, smp, tmp_path):
    record(name, smp, run_cases(MACHINES[name], smp, tmp_path, 3600, scale=1000))


@pytest.mark.parametrize("name, smp", [("q35", 1), ("gicv3", 4), ("plic", 1)])
def test_selftests(name, smp):
    result = run(MACHINES[name], append="selftest=process,ipc then=poweroff", smp=smp)
    assert {test: verdict for test, (verdict, _) in result.selftests().items()} == {"process": "pass", "ipc": "pass"}, \
        result.explain()


def test_selftests_without_init(tmp_path):
    """Without a program that can be init they say so, and nothing fails."""
    (tmp_path / "files").mkdir()
    (tmp_path / "files/vmos.conf").write_text("# nothing\n")
    subprocess.run([ROOT / "tools/make-initrd", tmp_path / "files", tmp_path / "image"], check=True)
    result = run(MACHINES["plic"], append="selftest=process,ipc then=poweroff", initrd=tmp_path / "image")
    assert {test: verdict for test, (verdict, _) in result.selftests().items()} == {"process": "skip", "ipc": "skip"}, \
        result.explain()
