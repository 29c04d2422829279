"""PCI Express as clouds have it: several host bridges, switches, bridges behind bridges, slots that devices leave from,
configuration space that a table promises and nobody has."""
import json
import re
import shutil
import socket
import subprocess
import time

import pytest

import evidence
from guest import MACHINES, PROMPT, QEMU, Guest, blk, make_disk, net, rng, run
from test_matrix import check_passed

NATIVE = {"q35": ("-global", "ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off")}  # else QEMU asks ACPI, not the slot


class Control:
    """QEMU's QMP, for what the serial port cannot show: that QEMU itself has let the device go."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(30)
        self.socket.connect(str(path))
        self.lines = self.socket.makefile()
        self.lines.readline()
        self.command("qmp_capabilities")

    def command(self, name, **arguments):
        self.socket.sendall(json.dumps({"execute": name, "arguments": arguments}).encode())
        while "return" not in (answer := json.loads(self.lines.readline())):
            assert "error" not in answer, answer

    def deleted(self, device):
        """Waits until QEMU says that it is; parts of it without a name of their own go first."""
        while (answer := json.loads(self.lines.readline())).get("event") != "DEVICE_DELETED" or \
                answer["data"].get("device") != device:
            pass

    def close(self):
        self.lines.close()
        self.socket.close()


def switch(bus):
    """A root port, a switch below it, and below the switch a port and two conventional bridges, one behind the other."""
    return ["-device", f"pcie-root-port,id=rp,bus={bus},chassis=5,slot=5",
            "-device", "x3130-upstream,id=up,bus=rp",
            "-device", "xio3130-downstream,id=down0,bus=up,chassis=6,slot=6",
            "-device", "xio3130-downstream,id=down1,bus=up,chassis=7,slot=7",
            "-device", "pcie-pci-bridge,id=bridge0,bus=down1",
            "-device", "pci-bridge,id=bridge1,bus=bridge0,chassis_nr=9,addr=1"]


def three_disks(tmp_path):
    disks = [make_disk(tmp_path / f"disk{i}") for i in range(3)]
    return disks, [*blk("pci-modern", disks[0], "d0", ",bus=down0"),
                   *blk("pci-modern", disks[1], "d1", ",bus=bridge1,addr=2"),
                   *blk("pci-modern", disks[2], "d2", ",bus=pcie.0"),
                   *rng("pci-modern", options=",bus=pcie.0")]


@pytest.mark.parametrize("name", ["q35", "gicv3"])
def test_several_host_bridges(name, tmp_path):
    """Two host bridges; on q35 firmware has numbered and placed everything, on arm64 nobody has."""
    disks, devices = three_disks(tmp_path)
    result = run(MACHINES[name], "-device", "pxb-pcie,id=root1,bus=pcie.0,bus_nr=0x40",
                 "-device", "pxb-pcie,id=root2,bus=pcie.0,bus_nr=0x80", *switch("root1"),
                 "-device", "pcie-root-port,id=rp2,bus=root2,chassis=8,slot=8", *devices,
                 *net("pci-modern", options=",bus=rp2"))
    check_passed(MACHINES[name], result)
    found = "\n".join(line for line in result.lines if line.startswith("device "))
    for where in ("40:00.0", "41:00.0", "80:00.0", "81:00.0"):
        assert f"at 0000:{where}" in found, found
    for disk in disks:
        evidence.check_disk(disk)


@pytest.mark.parametrize("name", ["microvm-pcie", "plic", "imsic"])
def test_switch_and_bridges(name, tmp_path):
    disks, devices = three_disks(tmp_path)
    result = run(MACHINES[name], *switch("pcie.0"), *devices, *net("pci-modern", options=",bus=pcie.0"))
    check_passed(MACHINES[name], result)
    for disk in disks:
        evidence.check_disk(disk)


@pytest.mark.parametrize("name", ["q35", "gicv3", "imsic"])
def test_unplugged_in_mid_io(name, tmp_path):
    """device_del while a disk works: what it still owes ends with an error, its function is reset, its slot switched
    off, its memory freed; the disk beside it does not notice."""
    on = MACHINES[name]
    disks = [make_disk(tmp_path / f"disk{i}") for i in range(2)]
    with Guest(on, "-device", "pcie-root-port,id=port1,chassis=1,slot=1",
               *blk("pci-modern", disks[0], "d0", ",bus=port1,id=victim", ",throttling.iops-total=4"),
               *blk("pci-modern", disks[1], "d1"), append="loglevel=debug then=prompt",
               extra=(*NATIVE.get(name, ()), "-qmp", f"unix:{tmp_path}/qmp,server=on,wait=off")) as guest:
        guest.wait_for(PROMPT)
        report = guest.command_line("devices virtio-blk1")
        assert re.search(r"^link: 2.5 GT/s x1 of at most", report, re.M) and "errors: none" in report, report
        start = len(guest.text)
        control = Control(tmp_path / "qmp")
        try:
            guest.send("selftest blk\r")
            time.sleep(0.5)
            control.command("device_del", id="victim")
            control.deleted("victim")
        finally:
            control.close()
        guest.wait_for(r"selftest blk: fail  virtio-blk1: \w+", start=start)
        guest.wait_for(r"\r\nvmos> $", start=start)
        said = guest.text[start:]
        for part in ("the button of its slot was pressed", "its function was reset and has its configuration again",
                     "virtio-blk1: has left the machine; it is not started again"):
            assert part in said, said
        assert "quarantine" not in said and "panic" not in said, said
        row = re.search(r"^virtio-blk1 +gone .*$", guest.command_line("devices"), re.M)
        assert row and row[0].split()[-1] == "0", guest.text[start:]
        assert "dma-lent: 0 bytes in 0 loans" in guest.command_line("devices virtio-blk1")
        assert "selftest blk: pass  1 disks" in guest.command_line("selftest blk")
        assert "1 gone; no errors recorded" in guest.command_line("selftest pci")
    evidence.check_disk(disks[1])


def test_firmware_leaves_disks_running(tmp_path):
    """SeaBIOS has driven both disks, with rings in memory that is ours now: they are reset before they reach it again."""
    disks = [make_disk(tmp_path / f"disk{i}") for i in range(2)]
    result = run(MACHINES["q35"], *blk("pci-modern", disks[0], "d0", ",bootindex=5"),
                 *blk("pci-transitional", disks[1], "d1", ",bootindex=6"),
                 append="loglevel=debug selftest=pci,blk then=poweroff")
    for name in ("virtio-blk0", "virtio-blk1"):
        assert f"{name}: was left running by firmware and is reset" in result.text, result.explain()
    assert result.selftests()["pci"][0] == result.selftests()["blk"][0] == "pass", result.explain()


@pytest.mark.parametrize("name", ["q35", "gicv3", "imsic"])
def test_errors_are_reported(name, tmp_path):
    """QEMU injects errors into a function's Advanced Error Reporting; they are named, and taken out of its registers."""
    with Guest(MACHINES[name], "-device", "pcie-root-port,id=port1,chassis=1,slot=1",
               *blk("pci-modern", make_disk(tmp_path / "disk"), options=",bus=port1,id=victim,aer=on"),
               append="then=prompt", extra=("-monitor", f"unix:{tmp_path}/monitor,server=on,wait=off")) as guest:
        guest.wait_for(PROMPT)
        assert "\nerrors: none" in guest.command_line("devices virtio-blk0")
        guest.monitor("pcie_aer_inject_error -c victim RCVR")
        report = guest.command_line("devices virtio-blk0")
        assert "virtio-blk0: has recorded errors: correctable error, receiver error" in report, report
        assert re.search(r"^errors: correctable error, receiver error$", report, re.M), report
        guest.monitor("pcie_aer_inject_error victim COMP_TIME")
        assert "completion timeout" in guest.command_line("devices virtio-blk0")
        assert "selftest pci: fail  virtio-blk0: has recorded" in guest.command_line("selftest pci")
        assert "selftest blk: pass" in guest.command_line("selftest blk")


@pytest.mark.parametrize("name,missing", [("gicv3", "0x30 0x0 0x0 0x10000000"), ("imsic", "0x8 0x0 0x0 0x10000000")])
def test_configuration_space_that_is_not_there(name, missing, tmp_path):
    """The device tree names an ECAM where nothing answers: each access aborts, and the machine goes on without PCI."""
    if shutil.which("fdtput") is None:
        pytest.skip("fdtput (device-tree-compiler) is not installed")
    on = MACHINES[name]
    tree = tmp_path / "tree.dtb"
    subprocess.run([QEMU[on.arch], "-M", f"{on.arguments[1]},dumpdtb={tree}", *on.arguments[2:], "-m", "128M", "-smp",
                    "1", "-nodefaults", "-display", "none"], check=True, capture_output=True)
    listed = subprocess.run(["fdtget", "-l", tree, "/soc" if on.arch == "rv64" else "/"], check=True,
                            capture_output=True, text=True).stdout
    node = ("/soc/" if on.arch == "rv64" else "/") + re.search(r"^pcie?@\w+$", listed, re.M)[0]
    subprocess.run(["fdtput", "-t", "x", tree, node, "reg", *missing.split()], check=True)
    result = run(on, "-dtb", tree, *rng("pci-modern"), append="selftest=discovery,pci then=poweroff", kernel=on.flat)
    assert result.selftests()["pci"] == ("skip", "this machine has no PCI functions"), result.explain()
    assert result.selftests()["discovery"][0] == "pass" and "panic" not in result.text, result.explain()
    assert "1 host bridges" in result.selftests()["discovery"][1], result.explain()
