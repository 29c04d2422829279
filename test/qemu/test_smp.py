"""Several CPUs: they start, reach each other, share memory and take devices' messages, on every machine, with QEMU's
CPUs as threads and in turn; those that cannot be started are said and left."""
import os
import re
import subprocess

import pytest

import evidence
from guest import MACHINES, PROMPT, QEMU, Guest, blk, machine, make_disk, net, rng, run, transport_globals
from test_machines import QEMU10
from test_matrix import check_passed

LONG = bool(os.environ.get("VMOS_LONG"))
COUNTS = [2, 4, 8] if LONG else [4]


def smp_of(result):
    verdict, detail = result.selftests()["smp"]
    assert verdict == "pass", result.explain()
    return detail


def small(on, count, *devices, **options):
    transport = "pci-modern" if on.pci else "mmio-modern"
    return run(on, *transport_globals(transport), *rng(transport), *devices, smp=count,
               append="selftest=smp then=poweroff", **options)


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("name", MACHINES)
def test_smp(name, count):
    on = MACHINES[name]
    result = small(on, count)
    assert f"cpu: {count} CPUs run" in result.text, result.explain()
    reached = count if on.messages and on.pci else 0
    assert smp_of(result).startswith(f"{count} CPUs: interrupts between all {count * (count - 1) // 2} pairs"), result.text
    assert f"; {reached} CPUs took a device's messages" in smp_of(result), result.explain()


@pytest.mark.parametrize("name,count", [("q35", 4), ("gicv2", 2), ("gicv3", 4), ("plic", 2), ("imsic", 4)])
def test_everything(name, count, tmp_path):
    """All self-tests, with devices, while the other CPUs are there."""
    on = MACHINES[name]
    disk, capture = make_disk(tmp_path / "disk"), tmp_path / "net.pcap"
    result = run(on, *net("pci-modern", capture=capture), *blk("pci-modern", disk), *rng("pci-modern"), smp=count)
    check_passed(on, result)
    evidence.check_disk(disk)
    evidence.check_capture(capture)


@pytest.mark.parametrize("name", ["q35", "gicv2", "gicv3", "plic", "imsic"])
def test_cpus_in_turn(name):
    smp_of(small(MACHINES[name], 4, extra=("-accel", "tcg,thread=single")))


@pytest.mark.parametrize("row", [("el2-v2", "arm64", "-M virt,gic-version=2,virtualization=on -cpu cortex-a72"),
                                 ("el2-v3", "arm64", "-M virt,gic-version=3,virtualization=on -cpu max"),
                                 ("pc", "x64", "-M pc"), ("q35-max", "x64", "-M q35 -cpu max"),
                                 ("sstc-off", "rv64", "-M virt -cpu rv64,sstc=off")], ids=lambda row: row[0])
def test_variants(row):
    smp_of(small(machine(*row), 3))


@pytest.mark.skipif(not os.access(QEMU10, os.X_OK), reason="no QEMU 10 here: VMOS_QEMU10 names its qemu-system-x86_64")
@pytest.mark.parametrize("row", [("x2apic", "x64", "-M q35 -cpu max,+x2apic"),
                                 ("gicv3-10", "arm64", "-M virt,gic-version=3 -cpu max"),
                                 ("imsic-10", "rv64", "-M virt,aia=aplic-imsic")], ids=lambda row: row[0])
def test_qemu10(row, monkeypatch):
    binary = QEMU10.replace("x86_64", {"x64": "x86_64", "arm64": "aarch64", "rv64": "riscv64"}[row[1]])
    if not os.access(binary, os.X_OK):
        pytest.skip(f"no {binary} here")
    monkeypatch.setitem(QEMU, row[1], binary)
    smp_of(small(machine(*row), 4))


@pytest.mark.skipif(not os.access(QEMU10, os.X_OK), reason="no QEMU 10 here: VMOS_QEMU10 names its qemu-system-x86_64")
def test_apic_id_beyond_255(monkeypatch):
    """By x2APIC that CPU is started and interrupted; messages have eight bits, and stay where they were."""
    monkeypatch.setitem(QEMU, "x64", QEMU10)
    on = machine("x2apic-300", "x64", "-M q35 -cpu max,+x2apic")
    result = small(on, "2,sockets=301,maxcpus=301", "-device", "max-x86_64-cpu,socket-id=300,core-id=0,thread-id=0")
    assert "cpu: 3 CPUs run" in result.text, result.explain()
    assert smp_of(result).endswith("; 2 CPUs took a device's messages")


@pytest.mark.long
@pytest.mark.parametrize("name,count", [("q35", 64), ("gicv3", 64), ("plic", 64), ("imsic", 64), ("gicv3", 80)])
def test_many(name, count):
    result = small(MACHINES[name], count, memory="512M", timeout=600)
    assert "cpu: 64 CPUs run" in result.text, result.explain()
    if count > 64:
        assert "cpu: vmos runs on 64 CPUs at most; 16 more stay off" in result.text
    smp_of(result)


@pytest.mark.parametrize("name,node,why", [
    ("gicv3", "cpu@1", "CPU 0x9 cannot be started: the firmware does not know that CPU"),
    ("plic", "cpu@1", "CPU 0x9 was started and has not come in time; it stays off")])
def test_cpu_that_is_not_there(name, node, why, tmp_path):
    """The tree names a CPU that the machine does not have. PSCI says so; OpenSBI starts it, and it never comes. The others
    run all the same."""
    on = MACHINES[name]
    blob, text = tmp_path / "tree.dtb", tmp_path / "tree.dts"
    arguments = list(on.arguments)
    arguments[1] += f",dumpdtb={blob}"
    subprocess.run([QEMU[on.arch], *arguments, "-smp", "3", "-m", "128M", "-display", "none"], check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    tree = subprocess.run(["dtc", "-q", "-I", "dtb", "-O", "dts", blob], check=True, capture_output=True, text=True).stdout
    changed = re.sub(re.escape(node) + r" {(.*?)reg = <(0x0+ )?0x0*1>;",
                     lambda m: m[0].replace("cpu@1", "cpu@9").replace("0x01>", "0x09>"), tree, count=1, flags=re.S)
    assert changed != tree
    text.write_text(changed)
    subprocess.run(["dtc", "-q", "-I", "dts", "-O", "dtb", "-o", blob, text], check=True)
    result = small(on, 3, extra=("-dtb", blob), kernel=on.flat if on.arch == "arm64" else None)
    assert why in result.text, result.explain()
    assert "cpu: 2 CPUs run" in result.text
    assert smp_of(result).startswith("2 CPUs: interrupts between all 1 pairs")


def cpu_rows(guest):
    """Number, hardware's number, state, how often it slept, ..."""
    return re.findall(r"^(\d+) +0x([0-9a-f]+) +(\w+) +(\d+) +(\d+) +(\d+)$", guest.command_line("cpu"), re.M)


@pytest.mark.parametrize("name", ["q35", "gicv3", "imsic"])
def test_console(name):
    """All but this CPU sleep, and are listed; once processes have come to rest, nothing wakes them for nothing."""
    with Guest(MACHINES[name], append="then=prompt", smp=4) as guest:
        guest.wait_for(PROMPT)
        rows = cpu_rows(guest)
        assert [row[0] for row in rows] == ["0", "1", "2", "3"]
        assert len({row[1] for row in rows}) == 4
        assert [row[2] for row in rows] == ["awake", "asleep", "asleep", "asleep"]
        for _ in range(5):
            before, rows = rows, cpu_rows(guest)
            if [row[3] for row in rows[1:]] == [row[3] for row in before[1:]]:
                break
        else:
            raise AssertionError(f"CPUs wake all the time: {before}, {rows}")


@pytest.mark.parametrize("name", ["q35", "gicv3", "plic"])
def test_panic_of_another_cpu(name):
    """It stops the others, is told in one piece, and ends the machine."""
    with Guest(MACHINES[name], append="then=prompt", smp=4) as guest:
        guest.wait_for(PROMPT)
        guest.send("panic cpu\r")
        text = guest.finish().text.replace("\r", "")
    told = text[text.index("\npanic: "):]
    assert told.startswith("\npanic: asked for at the console, of another CPU\non CPU 3 of 4\nbacktrace:\n  by "), text
    assert "panic_here" in told and "smp_arrive" in told and "last log lines:" in told and told.count("panic: ") == 1
