"""The console and the end of the machine, by what ACPI tables, the device tree and PCI say of them.

No isa-debug-exit here: QEMU ends because the machine was switched off, or (with -no-reboot) reset."""
import array
import fcntl
import os
import re
import shutil
import subprocess
import termios
import time
import tty

import pytest

import evidence
from guest import MACHINES, PROMPT, QEMU, Guest, blk, machine, make_disk, net, rng, run

PCI_SERIAL = ("-chardev", "stdio,id=console", "-device", "pci-serial,chardev=console")
LONG = os.environ.get("VMOS_LONG")


def tree_of(on, path, *edits):
    """QEMU's own device tree of the machine, with fdtput's edits in it; for -dtb."""
    if shutil.which("fdtput") is None:
        pytest.skip("no fdtput here: package device-tree-compiler")
    subprocess.run([QEMU[on.arch], *with_option(on, f"dumpdtb={path}"), "-m", "128M", "-nodefaults", "-display", "none"],
                   check=True, capture_output=True, timeout=60)
    for edit in edits:
        subprocess.run(["fdtput", *(str(path) if word == "TREE" else word for word in edit)], check=True, capture_output=True)
    return ("-dtb", str(path))


def with_option(on, option):
    at = on.arguments.index("-M")
    return [*on.arguments[:at + 1], on.arguments[at + 1] + "," + option, *on.arguments[at + 2:]]


def end(on, what, extra=(), timeout=60):
    """What the machine said of its end. It must have ended."""
    result = run(on, append=f"then={what}", timeout=timeout, extra=extra, exit_device=False)
    assert result.status == 0, result.explain()
    return [line.split("power: ", 1)[1] for line in result.lines if "power: " in line], result


# ---- Power off and reset -------------------------------------------------------------------------------

ENDS = [
    ("q35", "x64", "-M q35", r"trying ACPI PM1 control: sleep type 0 to port 0x604",
     r"trying ACPI reset register: 0xf to port 0xcf9"),
    ("pc", "x64", "-M pc", r"trying ACPI PM1 control: sleep type 0 to port 0x604",
     r"trying the keyboard controller's reset"),  # its FADT has no reset register
    ("microvm", "x64", "-M microvm", r"trying ACPI sleep control: 0x34 to address 0xfea00200",
     r"trying ACPI reset register: 0x42 to address 0xfea00202"),
    ("gicv2", "arm64", "-M virt,gic-version=2 -cpu cortex-a72", r"trying PSCI SYSTEM_OFF by HVC",
     r"trying PSCI SYSTEM_RESET by HVC"),
    ("el2", "arm64", "-M virt,gic-version=3,virtualization=on -cpu cortex-a72", r"trying PSCI SYSTEM_OFF by SMC",
     r"trying PSCI SYSTEM_RESET by SMC"),
    ("plic", "rv64", "-M virt", r"trying power-off register: 0x5555 to address 0x100000",
     r"trying reset register: 0x7777 to address 0x100000"),
]


@pytest.mark.parametrize("row", ENDS, ids=lambda row: row[0])
@pytest.mark.parametrize("what", ["poweroff", "reboot"])
def test_the_first_means_ends_it(row, what):
    name, arch, arguments, off, again = row
    said, result = end(machine(name, arch, arguments), what)
    assert len(said) == 2 and re.search(off if what == "poweroff" else again, said[1]), result.explain()


def test_each_reset_of_a_pc_in_turn():
    """A microvm without ACPI has no reset register and no keyboard controller: a fault that nobody handles is left."""
    said, result = end(machine("microvm-no-acpi", "x64", "-M microvm,acpi=off"), "reboot")
    assert said[1:] == ["trying the keyboard controller's reset",
                        "the keyboard controller's reset: asked for, and the machine runs on",
                        "trying the chipset's reset control at port 0xcf9",
                        "the chipset's reset control: written, and the machine runs on",
                        "trying a fault that nobody handles"], result.explain()


def test_the_firmware_ends_it_without_a_register(tmp_path):
    """The device tree says that sifive,test is off; OpenSBI uses it all the same."""
    on = MACHINES["plic"]
    tree = tree_of(on, tmp_path / "tree", ("-t", "s", "TREE", "/soc/test@100000", "status", "disabled"),
                   ("-d", "TREE", "/poweroff", "compatible"), ("-d", "TREE", "/reboot", "compatible"))
    said, result = end(on, "poweroff", tree)
    assert said[1:] == ["trying SBI system reset: shutdown"], result.explain()
    said, result = end(on, "reboot", tree)
    assert said[1:] == ["trying SBI system reset: cold reboot"], result.explain()


@pytest.mark.parametrize("name,what,last", [
    ("microvm", "poweroff", "nothing on this machine switches it off; it stops here and can be turned off from outside"),
    ("plic", "poweroff", "a machine that stands still now can be turned off from outside"),
    ("plic", "reboot", "nothing on this machine restarts it")])
def test_nothing_ends_it(name, what, last, tmp_path):
    """Then the last line says so, and the machine stands still."""
    if name == "microvm":
        on, extra = machine("microvm-no-acpi", "x64", "-M microvm,acpi=off"), ()
    else:
        on = MACHINES[name]
        extra = tree_of(on, tmp_path / "tree", ("-t", "s", "TREE", "/soc/test@100000", "compatible", "nothing"),
                        ("-d", "TREE", "/poweroff", "compatible"), ("-d", "TREE", "/reboot", "compatible"))
    with Guest(on, append=f"then={what}", extra=extra, exit_device=False) as guest:
        guest.wait_for(last)
        assert guest.process.poll() is None


def test_a_panic_ends_it_too():
    with Guest(MACHINES["q35"], append="then=prompt", exit_device=False) as guest:
        guest.wait_for(PROMPT)
        guest.send("panic\r")
        result = guest.finish(30)
    assert "trying ACPI PM1 control" in result.text and result.status == 0, result.explain()


# ---- The console on PCI --------------------------------------------------------------------------------

def without_uart(name, tmp_path):
    """The machine and what takes its own serial port out of it. On a PC no port is made, where the tests make none."""
    if name == "gicv3":
        on = MACHINES[name]
        return on, tree_of(on, tmp_path / "tree", ("-t", "s", "TREE", "/pl011@9000000", "status", "disabled"),
                           ("-d", "TREE", "/chosen", "stdout-path"))
    if name in ("plic", "imsic"):
        on = MACHINES[name]
        uart = "serial@10000000"
        return on, tree_of(on, tmp_path / "tree", ("-t", "s", "TREE", "/soc/" + uart, "status", "disabled"),
                           ("-d", "TREE", "/chosen", "stdout-path"))
    return MACHINES.get(name) or machine("pc", "x64", "-M pc"), ()


@pytest.mark.parametrize("name", ["q35", "gicv3", "imsic"] + (["pc", "plic"] if LONG else []))
def test_the_log_is_whole_on_pci(name, tmp_path):
    """The only serial port is a PCI function: what was logged before it was found is on it, from the first line on; and it
    can be typed at."""
    on, extra = without_uart(name, tmp_path)
    disk = make_disk(tmp_path / "disk")
    with Guest(on, *blk("pci-modern", disk), append="selftest=console,blk then=prompt", extra=extra,
               serial=PCI_SERIAL) as guest:
        guest.wait_for(PROMPT)
        lines = guest.text.replace("\r", "").split("\n")
        at = next(i for i, line in enumerate(lines) if line.startswith("vmos "))
        assert " booted by " in lines[at] and not any("lost before" in line for line in lines), guest.text
        assert len([line for line in lines if line.startswith("vmos ")]) == 1
        ordered = [next(i for i, line in enumerate(lines) if word in line)
                   for word in (" booted by ", "clock: ", "1b36:0002", "serial: the console is", "ready after", "ready")]
        assert ordered == sorted(ordered), guest.text
        assert "poweroff" in guest.command_line("help")
        guest.send("poweroff\r")
        result = guest.finish(60)
    assert result.selftests()["console"][0] == "pass" and result.selftests()["blk"][0] == "pass", result.explain()
    evidence.check_disk(disk)


def test_the_port_of_the_machine_goes_first():
    """A PCI serial port beside the one that the machine has anyway is left alone."""
    result = run(MACHINES["q35"], "-device", "pci-serial", append="then=poweroff")
    assert "1b36:0002" in result.text and "the console is" not in result.text, result.explain()


def test_no_port_at_all():
    """H12: nothing answers at 0x3f8 and nowhere else: the machine goes on and ends."""
    result = run(MACHINES["q35"], append="then=poweroff", serial=(), exit_device=False, timeout=60)
    assert result.status == 0, result.explain()


QEMU10 = os.environ.get("VMOS_QEMU10_RV64", "/opt/qemu10/qemu-system-riscv64")


@pytest.mark.parametrize("calls", ["legacy", "debug console"])
def test_firmware_console(calls, tmp_path, monkeypatch):
    """The device tree spoils the UART for vmos and not for OpenSBI: then its console is used. OpenSBI 1.1 has only the
    legacy calls, of which nobody knows whether they lead anywhere: a port on PCI takes their place. That of QEMU 10 has the
    debug console, which is there only with a port behind it, and stays."""
    if calls == "debug console":
        if not os.access(QEMU10, os.X_OK):
            pytest.skip("no QEMU 10 here: VMOS_QEMU10_RV64 names its qemu-system-riscv64")
        monkeypatch.setitem(QEMU, "rv64", QEMU10)
    on = MACHINES["plic"]
    tree = tree_of(on, tmp_path / "tree", ("-t", "x", "TREE", "/soc/serial@10000000", "reg", "0", "10000000", "0", "4"))
    with Guest(on, append="then=prompt", extra=tree) as guest:
        guest.wait_for(PROMPT)
        assert "booted by fdt" in guest.text and "poweroff" in guest.command_line("help")
        guest.send("poweroff\r")
        assert guest.finish(30).status == 0
    uart = tmp_path / "uart"
    with Guest(on, append="then=poweroff", extra=tree,
               serial=("-serial", f"file:{uart}", *PCI_SERIAL)) as guest:
        result = guest.finish(30)
    assert ("booted by fdt" in result.text and "\nready" in result.text) == (calls == "legacy"), result.explain()
    assert ("\nready" in uart.read_text(errors="replace")) == (calls != "legacy"), result.explain()


def waiting(terminal):
    """Bytes that lie in the terminal unread."""
    count = array.array("i", [0])
    fcntl.ioctl(terminal, termios.FIONREAD, count)
    return count[0]


@pytest.mark.parametrize("name", ["q35", "plic"])  # QEMU 7.2's PL011 waits itself, and with it the whole machine
def test_a_port_that_stops_sending(name):
    """H12: a terminal that nobody reads takes some 70 KiB and then no more. The machine goes on, hears what is typed, and
    ends. Without a bound on the wait it would stand still in the middle of a report."""
    with Guest(MACHINES[name], append="then=prompt",
               serial=("-serial", "pty", "-S"), extra=("-monitor", "stdio"), exit_device=False) as guest:
        path = guest.wait_for(r"redirected to (/dev/pts/\d+)")[1]
        terminal = os.open(path, os.O_RDWR | os.O_NOCTTY)
        try:
            tty.setraw(terminal)
            time.sleep(1.2)  # QEMU looks once a second whether somebody has opened the other end
            guest.send("cont\n")
            deadline = time.monotonic() + 60
            while waiting(terminal) < 500:  # the prompt, and some lines in front of it
                assert time.monotonic() < deadline
                time.sleep(0.1)
            time.sleep(0.5)
            for _ in range(60):
                os.write(terminal, b"machine\r")
                time.sleep(0.03)
            while guest.process.poll() is None and time.monotonic() < deadline:
                os.write(terminal, b"\x03poweroff\r")
                time.sleep(0.5)
            result = guest.finish(30)
        finally:
            os.close(terminal)
    assert result.status == 0, result.explain()


# ---- Machines that have nothing but ACPI tables, booted by UEFI firmware -----------------------------------

def boot(name, folder, *devices, append, **options):
    """A Guest that begins with firmware, no isa-debug-exit, a virtio disk to boot from."""
    firmware = pytest.importorskip("firmware")
    row = firmware.FIRMWARE[name]
    if row.missing:
        pytest.skip(row.missing)
    on = options.pop("on", row.on)
    volume = firmware.volume(folder / "volume", row.arch, f"cmdline {append}\n")
    return Guest(on, *firmware.disk("virtio-blk", volume), *devices, boot=row.arguments(folder), memory="256M",
                 qemu=row.qemu, exit_device=False, **options)


SLOT = ("-global", "virtio-mmio.force-legacy=false", *rng("mmio-modern"))


@pytest.mark.parametrize("name,slot,windows,last", [
    ("aavmf-v3-acpi", "0xa003e00", 3, "trying PSCI SYSTEM_OFF by HVC"),
    ("aavmf-el2-acpi", "0xa003e00", 3, "trying PSCI SYSTEM_OFF by SMC"),
    ("edk2-rv64-qemu10", "0x10008000", 3, "trying SBI system reset: shutdown"),
    ("ovmf", None, 0, "trying ACPI PM1 control: sleep type 0 to port 0x604")])
def test_tables_alone(name, slot, windows, last, tmp_path):
    """SPCR's console, a slot that only the DSDT has, BARs where firmware has put them, and the end by the tables."""
    with boot(name, tmp_path, *net("pci-modern"), *(SLOT if slot else ()),
              append="selftest=discovery,net,blk then=poweroff") as guest:
        result = guest.finish(150)
    assert result.status == 0, result.explain()
    lines = result.lines
    assert any(line.endswith("described by: ACPI") for line in lines), result.explain()
    assert len({line for line in lines if re.search(r": window \d+: bridge", line)}) == windows, result.explain()
    if slot:
        assert any(f"virtio entropy device (4) at {slot}" in line for line in lines), result.explain()
    assert "it is moved" not in result.text and "selftest: 3 passed, 0 failed" in result.text, result.explain()
    assert result.text.rstrip().endswith(last), result.explain()


def test_a_pc_without_mcfg(tmp_path):
    """As Google's x64 machines are: configuration space by ports, also where UEFI has started us."""
    with boot("ovmf", tmp_path, *net("pci-modern"), append="selftest=net,blk then=reboot",
              on=machine("ovmf-pc", "x64", "-M pc")) as guest:
        result = guest.finish(150)
    assert "selftest: 2 passed, 0 failed" in result.text and result.status == 0, result.explain()


def test_the_log_is_whole_on_pci_under_uefi(tmp_path):
    with boot("ovmf", tmp_path, append="then=poweroff", serial=PCI_SERIAL) as guest:
        result = guest.finish(150)
    start = result.text.index("vmos ")
    assert re.match(r"vmos \S+ x64 \(\S+\) booted by efi", result.text[start:]), result.explain()
    assert "serial: the console is" in result.text and result.status == 0, result.explain()
