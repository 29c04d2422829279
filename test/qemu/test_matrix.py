"""Every machine, every transport, all three devices: the kernel boots, every self-test passes, and what it did is
seen from outside: the frame in the capture, the bytes on the disk."""
import fcntl
import os
import random

import pytest

import evidence
from guest import (MACHINES, X64_EXIT_PASS, blk, make_disk, net, rng, run, transport_globals, transports_of)

LONG = bool(os.environ.get("VMOS_LONG"))
ROWS = [(name, transport) for name, on in MACHINES.items() for transport in transports_of(on)]
ALL_TESTS = {"console", "memory", "heap", "timer", "interrupt", "discovery", "net", "blk", "rng", "pci", "msi", "smp", "nvme",
             "process", "ipc"}
MAY_SKIP = {"pci", "msi", "nvme"}  # where the machine has no PCI functions, none heard by message, no NVMe


def check_passed(on, result, skipped=()):
    if result.command[result.command.index("-smp") + 1] == "1":
        skipped = (*skipped, "smp")
    tests = result.selftests()
    assert set(tests) == ALL_TESTS, result.explain()
    skipped = {*skipped, *(name for name in MAY_SKIP if tests[name][0] == "skip")}
    wrong = {name: test for name, test in tests.items() if test[0] != ("skip" if name in skipped else "pass")}
    assert not wrong, f"{wrong}\n{result.explain()}"
    assert f"selftest: {len(ALL_TESTS) - len(skipped)} passed, 0 failed, {len(skipped)} skipped" in result.lines
    assert result.status == (X64_EXIT_PASS if on.arch == "x64" else 0), result.explain()
    assert "ready" in result.lines, result.explain()


@pytest.mark.parametrize("name,transport", ROWS, ids=[f"{n}-{t}" for n, t in ROWS])
def test_transport(name, transport, tmp_path):
    on = MACHINES[name]
    disk = make_disk(tmp_path / "disk")
    capture = tmp_path / "net.pcap"
    result = run(on, *transport_globals(transport), *net(transport, capture=capture), *blk(transport, disk),
                 *rng(transport))
    check_passed(on, result)
    assert sorted(d for d in result.devices() if d.startswith("virtio")) == ["virtio-blk0", "virtio-net0", "virtio-rng0"]
    evidence.check_disk(disk)
    evidence.check_capture(capture)


def test_legacy_registers_without_ports(tmp_path):
    """microvm's PCI has no I/O space, where a legacy-only device has its registers: the kernel says so and goes on."""
    result = run(MACHINES["microvm-pcie"], *rng("pci-legacy"))
    check_passed(MACHINES["microvm-pcie"], result, skipped=("net", "blk", "rng"))
    assert "virtio-rng0: is not in use: not supported" in result.text
    assert "has no place" in result.text


@pytest.mark.parametrize("name", MACHINES)
def test_no_device_at_all(name):
    on = MACHINES[name]
    result = run(on)
    check_passed(on, result, skipped=("net", "blk", "rng"))
    assert not [d for d in result.devices() if d.startswith("virtio-")]


@pytest.mark.parametrize("seed", range(20 if LONG else 3))
@pytest.mark.parametrize("name", ["q35", "microvm", "microvm-pcie", "gicv2", "gicv3", "plic", "imsic"])
def test_two_nics_three_disks_shuffled(name, seed, tmp_path):
    on = MACHINES[name]
    dice = random.Random(f"{name} {seed}")
    choices = transports_of(on)
    if on.mmio:  # one version for all slots of a machine
        version = dice.choice(["mmio-legacy", "mmio-modern"])
        choices = [t for t in choices if not t.startswith("mmio") or t == version]
    pick = lambda: dice.choice(choices)
    disks = [make_disk(tmp_path / f"disk{i}", size) for i, size in enumerate((1 << 20, 33 << 20, 5 << 30))]
    captures = [tmp_path / f"net{i}.pcap" for i in range(2)]
    groups = [net(pick(), f"n{i}", captures[i]) for i in range(2)]
    groups += [blk(pick(), disk, f"d{i}") for i, disk in enumerate(disks)]
    groups += [rng(pick())]
    dice.shuffle(groups)
    devices = [part for group in groups for part in group]
    options = transport_globals(version) if on.mmio else []
    result = run(on, *options, *devices)
    check_passed(on, result)
    assert len([d for d in result.devices() if d.startswith("virtio-")]) == 6, result.explain()
    for disk in disks:
        evidence.check_disk(disk)
    for capture in captures:
        evidence.check_capture(capture)


@pytest.fixture
def alone(tmp_path_factory):
    """The host has memory for one of those that use much of it."""
    with open(tmp_path_factory.getbasetemp().parent / "much-memory", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def takes_all(name, memory, folder):
    on = MACHINES[name]
    transport = "pci-modern" if on.pci else "mmio-modern"
    disk = make_disk(folder / "disk")
    result = run(on, *transport_globals(transport), *net(transport), *blk(transport, disk), *rng(transport),
                 memory=memory)
    check_passed(on, result)
    size = {"32M": 32, "64M": 64, "8G": 8192}[memory]
    taken = evidence.memory_taken(result.selftests()["memory"][1])
    assert size - 4 <= taken / (1 << 20) <= size, result.selftests()["memory"]
    evidence.check_disk(disk)


@pytest.mark.parametrize("memory", ["32M", "64M"])
@pytest.mark.parametrize("name", ["q35", "microvm", "gicv2", "gicv3", "plic", "imsic"])
def test_memory_sizes(name, memory, tmp_path):
    takes_all(name, memory, tmp_path)


@pytest.mark.takes(15)
@pytest.mark.parametrize("name", ["q35", "gicv3", "imsic"] + (["microvm", "gicv2", "plic"] if LONG else []))
def test_much_memory(name, alone, tmp_path):
    takes_all(name, "8G", tmp_path)


@pytest.mark.parametrize("smp", [2, 8])
@pytest.mark.parametrize("name", ["q35", "microvm", "gicv2", "gicv3", "plic", "imsic"])
def test_more_processors(name, smp, tmp_path):
    """All self-tests beside the others; the boot CPU may be any of them."""
    on = MACHINES[name]
    transport = "pci-transitional" if on.pci else "mmio-legacy"
    result = run(on, *net(transport), *blk(transport, make_disk(tmp_path / "disk")), *rng(transport), smp=smp)
    check_passed(on, result)
    assert f"{smp} CPUs" in result.selftests()["discovery"][1]
