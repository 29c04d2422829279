"""What the product of machines and transports does not hold: other ways to boot, switches of the machines, bridges, wired
interrupts, the command line, the initial ramdisk, the processor's protections."""
import os
import re
import subprocess

import pytest

import evidence
from guest import (PROMPT, MACHINES, QEMU, ROOT, Guest, Machine, blk, machine, make_disk, net, rng, run, transport_globals)
from test_matrix import check_passed

VARIANTS = [machine(*row) for row in (
    ("pc", "x64", "-M pc"),
    ("q35-hpet-off", "x64", "-M q35,hpet=off"),
    ("q35-no-acpi", "x64", "-M q35,acpi=off"),
    ("pc-no-acpi", "x64", "-M pc,acpi=off"),
    ("arm64-el2-v2", "arm64", "-M virt,gic-version=2,virtualization=on -cpu cortex-a72"),
    ("arm64-el2-v3", "arm64", "-M virt,gic-version=3,virtualization=on -cpu max"),
    ("arm64-highmem-off", "arm64", "-M virt,gic-version=3,highmem=off -cpu cortex-a72"),
    ("arm64-smmu", "arm64", "-M virt,gic-version=3,iommu=smmuv3 -cpu max"),
    ("rv64-sstc-off", "rv64", "-M virt -cpu rv64,sstc=off"),
    ("rv64-imsic-sstc-off", "rv64", "-M virt,aia=aplic-imsic -cpu rv64,sstc=off"),
)]


@pytest.mark.parametrize("on", VARIANTS, ids=lambda on: on.name)
def test_variant(on, tmp_path):
    disk, capture = make_disk(tmp_path / "disk"), tmp_path / "net.pcap"
    result = run(on, *net("pci-modern", capture=capture), *blk("pci-modern", disk), *rng("pci-modern"))
    check_passed(on, result)
    evidence.check_disk(disk)
    evidence.check_capture(capture)


@pytest.mark.parametrize("options", ["", ",pit=off", ",ioapic2=off", ",acpi=off", ",pit=off,pic=off,rtc=off"])
def test_microvm_switches(options, tmp_path):
    on = machine("microvm" + options, "x64", "-M microvm" + options)
    disk, capture = make_disk(tmp_path / "disk"), tmp_path / "net.pcap"
    result = run(on, *net("mmio-legacy", capture=capture), *blk("mmio-legacy", disk), *rng("mmio-legacy"))
    check_passed(on, result)
    evidence.check_disk(disk)
    evidence.check_capture(capture)


@pytest.mark.parametrize("name", ["gicv2", "gicv3-max", "plic", "imsic"])
def test_flat_image(name, tmp_path):
    on = MACHINES[name]
    disk = make_disk(tmp_path / "disk")
    result = run(on, *net("pci-modern"), *blk("pci-modern", disk), *rng("pci-modern"), kernel=on.flat)
    check_passed(on, result)
    evidence.check_disk(disk)


@pytest.mark.parametrize("name", ["q35", "microvm-pcie", "gicv2", "gicv3", "plic", "imsic"])
def test_behind_bridges(name, tmp_path):
    """A root port with a disk, and behind another a conventional bridge with a disk and a network card."""
    on = MACHINES[name]
    disks = [make_disk(tmp_path / f"disk{i}") for i in range(2)]
    capture = tmp_path / "net.pcap"
    behind = lambda bus: f",bus={bus}"
    result = run(on, "-device", "pcie-root-port,id=port1,chassis=1,slot=1",
                 "-device", "pcie-root-port,id=port2,chassis=2,slot=2",
                 "-device", "pcie-pci-bridge,id=bridge1,bus=port2",
                 *blk("pci-modern", disks[0], "d0", behind("port1")),
                 *blk("pci-modern", disks[1], "d1", behind("bridge1") + ",addr=1"),
                 *net("pci-modern", capture=capture, options=behind("bridge1") + ",addr=2"), *rng("pci-modern"))
    check_passed(on, result)
    for disk in disks:
        evidence.check_disk(disk)
    evidence.check_capture(capture)


@pytest.mark.parametrize("name,delivery", [("q35", "polled"), ("microvm-pcie", "polled"), ("gicv2", "line"),
                                           ("gicv3", "line"), ("gicv3-noits", "line"), ("plic", "line"),
                                           ("aplic", "line"), ("imsic", "line")])
def test_without_messages(name, delivery, tmp_path):
    """Two functions without MSI-X that share a wire: by line where the device tree routes it, else polled and said."""
    on = MACHINES[name]
    disk, capture = make_disk(tmp_path / "disk"), tmp_path / "net.pcap"
    result = run(on, *net("pci-modern", capture=capture, options=",vectors=0"),
                 *blk("pci-modern", disk, options=",vectors=0"), *rng("pci-modern", options=",vectors=0"))
    check_passed(on, result)
    counts = re.search(r"(\d+) device interrupts by message, (\d+) by line, (\d+) polled",
                       result.selftests()["interrupt"][1])
    assert counts[1] == "0" and int(counts[2 if delivery == "line" else 3]) >= 3, result.explain()
    assert ("cannot be routed" in result.text) == (delivery == "polled"), result.explain()
    evidence.check_disk(disk)
    evidence.check_capture(capture)


@pytest.mark.parametrize("name,feature", [("q35-max", r"protections on: nx smep smap umip"), ("q35", r"protections on: nx"),
                                          ("microvm-pcie", r"smep smap umip"), ("gicv3-max", r"pan")])
def test_protections(name, feature):
    with Guest(MACHINES[name], append="then=prompt") as guest:
        guest.wait_for(PROMPT)
        assert re.search(feature, guest.command_line("cpu"))


@pytest.mark.parametrize("name", ["q35", "microvm", "gicv3", "imsic"])
def test_debug_prints_the_tree(name):
    result = run(MACHINES[name], append="loglevel=debug then=poweroff")
    assert re.search(r"^vmos .* booted by", result.text, re.M)
    assert re.search("described by: ACPI" if name == "q35" else "compatible", result.text), result.explain()


def archive(folder, image, text):
    folder.mkdir()
    (folder / "vmos.conf").write_text(text)
    subprocess.run([ROOT / "tools/make-initrd", folder, image], check=True)
    return image


@pytest.mark.parametrize("name", ["q35", "microvm", "gicv3", "imsic"])
def test_ramdisk_of_the_bootloader(name, tmp_path):
    on = MACHINES[name]
    image = archive(tmp_path / "files", tmp_path / "initrd",
                    "# one driver only\ndriver virtio-rng\nfrobnicate 7\ndriver nvmee\n")
    transport = "mmio-modern" if on.mmio else "pci-modern"
    result = run(on, *transport_globals(transport), *rng(transport), *blk(transport, make_disk(tmp_path / "disk")),
                 initrd=image, kernel=on.flat if on.arch == "arm64" else None)
    check_passed(on, result, skipped=("net", "blk", "process", "ipc"))
    assert 'manifest: line 3: found "frobnicate"; expected: driver or service' in result.text
    assert 'manifest: line 4: found "nvmee"; expected: one of the drivers virtio-net, virtio-blk, ' in result.text
    assert "virtio-blk0: is left alone: the manifest does not name the driver virtio-blk" in result.text


@pytest.mark.parametrize("name", ["q35", "imsic"])
def test_damaged_ramdisk(name, tmp_path):
    (tmp_path / "initrd").write_bytes(b"this is no archive" * 400)
    result = run(MACHINES[name], initrd=tmp_path / "initrd", append="selftest=heap then=poweroff")
    assert "is no cpio archive with a vmos.conf; the embedded one is used" in result.text
    assert "selftest: 1 passed, 0 failed, 0 skipped" in result.lines


def test_read_only_disk(tmp_path):
    disk = make_disk(tmp_path / "disk")
    result = run(MACHINES["q35"], *blk("pci-modern", disk, drive=",readonly=on"), append="selftest=blk then=poweroff")
    assert result.selftests()["blk"][0] == "pass", result.explain()
    assert "read-only" in result.text and not any(disk.read_bytes())


def test_disk_with_data_is_only_read(tmp_path):
    disk = make_disk(tmp_path / "disk")
    with open(disk, "r+b") as file:
        file.write(b"somebody's data")
    before = disk.read_bytes()
    result = run(MACHINES["gicv3"], *blk("pci-modern", disk), append="selftest=blk then=poweroff")
    assert result.selftests()["blk"][0] == "pass", result.explain()
    assert "self-test only read: the disk holds data" in result.text and disk.read_bytes() == before


@pytest.mark.parametrize("name", ["q35", "gicv3", "plic"])
def test_blocks_of_4096(name, tmp_path):
    disk = make_disk(tmp_path / "disk")
    result = run(MACHINES[name], *blk("pci-modern", disk, options=",logical_block_size=4096,physical_block_size=4096"),
                 append="selftest=blk then=poweroff")
    assert result.selftests()["blk"][0] == "pass", result.explain()
    evidence.check_disk(disk, block_size=4096)


QEMU10 = os.environ.get("VMOS_QEMU10", "/opt/qemu10/qemu-system-x86_64")


@pytest.mark.skipif(not os.access(QEMU10, os.X_OK), reason="no QEMU 10 here: VMOS_QEMU10 names its qemu-system-x86_64")
@pytest.mark.parametrize("kind", ["q35", "microvm"])
def test_x2apic(kind, tmp_path, monkeypatch):
    """QEMU 7.2 has no x2APIC under TCG; 10 has."""
    monkeypatch.setitem(QEMU, "x64", QEMU10)
    on = machine(kind + "-x2apic", "x64", f"-M {kind} -cpu max,+x2apic")
    transport = "pci-modern" if kind == "q35" else "mmio-modern"
    result = run(on, *transport_globals(transport), *net(transport), *blk(transport, make_disk(tmp_path / "disk")),
                 *rng(transport))
    check_passed(on, result)
    with Guest(on, append="then=prompt") as guest:
        guest.wait_for(PROMPT)
        assert "x2apic" in guest.command_line("irq")
