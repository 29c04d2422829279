"""The PCI finder against others' opinions.

QEMU's devices are found and placed over QEMU's own test protocol, without a guest; what QEMU then says of its
devices (query-pci) must be what the finder says. Their configuration spaces, written as `lspci -xxxx` does, are
decoded by vmos-inspect and by Debian's lspci, which must agree.
"""
import contextlib
import json
import re
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
INSPECT = ROOT / "build/host/vmos-inspect"
FINDER = ROOT / "build/host/pci_qtest"

# A root port, a bus behind a PCI Express to PCI bridge, one behind that, and one of conventional PCI at the root.
DEVICES = """-device pcie-root-port,id=r1,chassis=1 -device nvme,serial=a,bus=r1 -device pcie-root-port,id=r2,chassis=2
 -device virtio-net-pci,bus=r2 -device pcie-pci-bridge,id=b1 -device virtio-rng-pci,bus=b1,addr=3
 -device pci-bridge,id=b2,bus=b1,chassis_nr=3,addr=5 -device e1000,bus=b2,addr=7 -device virtio-rng-pci,bus=b2,addr=8
 -device pci-bridge,id=b3,chassis_nr=4 -device virtio-rng-pci,bus=b3,addr=2 -device edu
 -device virtio-rng-pci,multifunction=on,addr=0x1e.0 -device nvme,serial=b,addr=0x1e.1""".split()

VIRT = ["0x4010000000", "io:0:0x3eff0000:0x10000", "m32:0x10000000:0x10000000:0x2eff0000",
        "m64:0x8000000000:0x8000000000:0x8000000000"]
RV64 = ["0x30000000", "io:0:0x3000000:0x10000", "m32:0x40000000:0x40000000:0x40000000",
        "m64:0x400000000:0x400000000:0x400000000"]
MACHINES = {
    "arm64": (["qemu-system-aarch64", "-M", "virt", "-cpu", "cortex-a72"], VIRT),
    "rv64": (["qemu-system-riscv64", "-M", "virt"], RV64),
    "microvm": (["qemu-system-x86_64", "-M", "microvm,pcie=on"],
                ["0xe0000000", "m32:0xc0000000:0xc0000000:0x20000000", "m64:0xc000000000:0xc000000000:0x4000000000"]),
    "q35": (["qemu-system-x86_64", "-M", "q35"], ["ports", "keep"]),
}


class Qmp:
    def __init__(self, path):
        self.stream = connect(path).makefile("rw")
        self.stream.readline()
        self.ask("qmp_capabilities")

    def ask(self, command):
        self.stream.write(json.dumps({"execute": command}) + "\n")
        self.stream.flush()
        while True:
            answer = json.loads(self.stream.readline())
            if "return" in answer or "error" in answer:
                return answer["return"]


def connect(path):
    end = time.monotonic() + 20
    while True:
        try:
            connection = socket.socket(socket.AF_UNIX)
            connection.connect(str(path))
            return connection
        except OSError:
            assert time.monotonic() < end
            time.sleep(0.02)


@contextlib.contextmanager
def machine(name, directory):
    """QEMU with the devices: halted, but for q35, whose firmware runs first and is then stopped."""
    command, arguments = MACHINES[name]
    if shutil.which(command[0]) is None:
        pytest.skip(command[0] + " is not installed")
    process = subprocess.Popen(
        [*command, "-accel", "tcg", "-nodefaults", "-display", "none", "-m", "128M", *DEVICES,
         *([] if name == "q35" else ["-S"]), "-qtest", f"unix:{directory}/q,server=on,wait=off", "-qtest-log", "none",
         "-qmp", f"unix:{directory}/m,server=on,wait=off"], stderr=subprocess.DEVNULL)
    try:
        qmp = Qmp(directory / "m")
        if name == "q35":
            end = time.monotonic() + 20
            while any(region["address"] < 0 for device in functions(qmp) for region in device["regions"]
                      if region["bar"] < 6):
                assert time.monotonic() < end
                time.sleep(0.1)
            time.sleep(0.5)
            qmp.ask("stop")
        yield qmp, arguments
    finally:
        process.kill()
        process.wait()


def functions(qmp):
    """All functions of query-pci, those behind bridges too."""
    todo = [device for bus in qmp.ask("query-pci") for device in bus["devices"]]
    while todo:
        device = todo.pop(0)
        todo += device.get("pci_bridge", {}).get("devices", [])
        yield device


def find(directory, arguments, *more):
    done = subprocess.run([FINDER, directory / "q", *arguments, *more], capture_output=True, text=True, timeout=120,
                          env={"VMOS_LOG": "1"})
    assert done.returncode == 0, done.stderr
    return done


def parse(text):
    """'key: value' lines; each function begins with its own."""
    found = []
    for line in text.splitlines():
        key, _, value = line.partition(": ")
        if key == "function":
            found.append({})
        if key:
            found[-1][key] = value
    return {function["function"]: function for function in found}


def address(device):
    return f"0000:{device['bus']:02x}:{device['slot']:02x}.{device['function']}"


SIZES = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


def place(text):
    """(address or None, size) of 'memory32 at 0x1000 (cpu 0x2000), 4 KiB'."""
    at = re.search(r" at 0x([0-9a-f]+)", text)
    size = re.search(r", (\d+) (\w+)$", text)
    return int(at[1], 16) if at else None, int(size[1]) * SIZES[size[2]] if size else 0


@pytest.mark.parametrize("name", MACHINES)
def test_qemu_agrees(name, tmp_path):
    with machine(name, tmp_path) as (qmp, arguments):
        found = find(tmp_path, arguments)
        ours, theirs = parse(found.stdout), {address(device): device for device in functions(qmp)}
        assert sorted(ours) == sorted(theirs)
        assert len(ours) >= 15
        unplaced = 0
        for key, device in theirs.items():
            mine = ours[key]
            assert mine["id"] == f"{device['id']['vendor']:04x}:{device['id']['device']:04x}"
            assert int(mine["class"][:4], 16) == device["class_info"]["class"]
            bridge = device.get("pci_bridge")
            if bridge:
                assert mine["buses"] == f"{bridge['bus']['secondary']:02x} to {bridge['bus']['subordinate']:02x}"
                for window, key in (("window-memory", "memory_range"), ("window-prefetch", "prefetchable_range"),
                                    ("window-io", "io_range")):
                    at, size = place(mine.get(window, ""))
                    low, high = bridge["bus"][key]["base"], bridge["bus"][key]["limit"]
                    assert (low > high) if at is None else (low, high) == (at, at + size - 1), (mine, device)
            for region in device["regions"]:
                if region["bar"] == 6:  # the expansion ROM
                    continue
                text = mine[f"bar{region['bar']}"]
                at, size = place(text)
                assert size == region["size"], (key, text, region)
                if at is None:
                    unplaced += 1
                else:
                    assert at == region["address"], (key, text, region)
                    assert ("prefetchable" in text) == region.get("prefetch", False)
                    assert ("memory64" in text) == region.get("mem_type_64", False)
        # microvm forwards no I/O space; elsewhere all have a place.
        assert (unplaced > 0) == (name == "microvm"), found.stderr
        if name != "microvm":
            assert "warn" not in found.stderr


def lspci(path):
    """What lspci makes of a dump: {address: {...}}."""
    text = subprocess.run(["lspci", "-F", path, "-vvv", "-nn", "-D"], check=True, capture_output=True, text=True).stdout
    result = {}
    for block in text.strip().split("\n\n"):
        head = block.splitlines()[0]
        entry = {"id": re.search(r"\[([0-9a-f]{4}:[0-9a-f]{4})\]", head)[1],
                 "class": re.search(r"\[([0-9a-f]{4})\]:", head)[1],
                 "revision": (re.search(r"\(rev ([0-9a-f]+)\)", head) or [0, "00"])[1],
                 "bars": {}, "capabilities": re.findall(r"Capabilities: \[([0-9a-f]+)(?: v\d+)?\]", block)}
        for region in re.finditer(r"Region (\d): (Memory|I/O ports) at ([0-9a-f]+)(?: \((64|32)-bit, (non-)?pref)?", block):
            entry["bars"][int(region[1])] = (region[2], int(region[3], 16), region[4] == "64",
                                             region[2] == "Memory" and region[5] is None)
        if match := re.search(r"Bus: primary=\w+, secondary=(\w+), subordinate=(\w+)", block):
            entry["buses"] = f"{match[1]} to {match[2]}"
        if match := re.search(r"MSI-X: Enable. Count=(\d+)", block):
            table = re.search(r"Vector table: BAR=(\d) offset=([0-9a-f]+)", block)
            pending = re.search(r"PBA: BAR=(\d) offset=([0-9a-f]+)", block)
            entry["msix"] = (int(match[1]), int(table[1]), int(table[2], 16), int(pending[1]), int(pending[2], 16))
        if match := re.search(r"MSI: Enable. Count=\d+/(\d+) Maskable(.) 64bit(.)", block):
            entry["msi"] = (int(match[1]), match[2] == "+", match[3] == "+")
        if match := re.search(r"Interrupt: pin (.) routed to IRQ (\d+)", block):
            entry["interrupt"] = (match[1], int(match[2]))
        if match := re.search(r"Subsystem: .*\[([0-9a-f]{4}:[0-9a-f]{4})\]", block):
            entry["subsystem"] = match[1]
        result[head.split()[0]] = entry
    return result


def compare_with_lspci(path):
    text = subprocess.run([INSPECT, "pci", path], check=True, capture_output=True, text=True).stdout
    ours, theirs = parse(text), lspci(path)
    assert sorted(ours) == sorted(theirs)
    for key, expected in theirs.items():
        mine = ours[key]
        assert mine["id"] == expected["id"]
        assert mine["class"][:4] == expected["class"]
        assert mine["revision"] == expected["revision"]
        assert mine.get("buses") == expected.get("buses")
        if "subsystem" in expected and "subsystem" in mine:
            assert mine["subsystem"] == expected["subsystem"]
        for bar, (space, at, wide, prefetchable) in expected["bars"].items():
            text = mine[f"bar{bar}"]
            assert place(text)[0] == at, (key, text)
            assert text.startswith("io" if space == "I/O ports" else "memory64" if wide else "memory32")
            assert ("prefetchable" in text) == prefetchable
        capabilities = [k.split("-")[1].lstrip("0") for k in mine if k.startswith(("capability-", "extended-"))]
        assert capabilities == [c.lstrip("0") for c in expected["capabilities"]], key
        if "msix" in expected:
            count, table, at, pending, pending_at = expected["msix"]
            assert mine["msix"].startswith(
                f"{count} vectors, table bar{table} + 0x{at:x}, pending bar{pending} + 0x{pending_at:x}")
        if "msi" in expected:
            count, maskable, wide = expected["msi"]
            assert mine["msi"].startswith(f"{count} vectors, {64 if wide else 32}-bit address"
                                          + (", maskable" if maskable else ""))
        if "interrupt" in expected:
            assert mine["interrupt"].startswith("INT%s, line %d" % expected["interrupt"])
    return len(ours)


@pytest.mark.parametrize("name", MACHINES)
def test_lspci_agrees(name, tmp_path):
    with machine(name, tmp_path) as (_, arguments):
        (tmp_path / "dump").write_text(find(tmp_path, arguments, "dump").stdout)
    assert compare_with_lspci(tmp_path / "dump") >= 15


@pytest.mark.parametrize("path", sorted((ROOT / "test/host/data/pci").glob("*.txt")), ids=lambda path: path.name)
def test_lspci_agrees_on_dumps(path):
    assert compare_with_lspci(path) >= 1


def test_json_says_the_same():
    for path in (ROOT / "test/host/data/pci").glob("*.txt"):
        text = subprocess.run([INSPECT, "pci", path], check=True, capture_output=True, text=True).stdout
        data = subprocess.run([INSPECT, "pci", path, "--json"], check=True, capture_output=True, text=True).stdout
        assert json.loads(data) == list(parse(text).values())


HEAD = "00:02.0 Thing: of some kind\n"
ROWS = "".join(f"{offset:02x}: {' '.join(['12'] * 16)}\n" for offset in range(0, 64, 16))


@pytest.mark.parametrize("text, sentence", [
    ("", "no function is in it"),
    ("\n\n", "no function is in it"),
    ("hello\n", "line 1 is not the line of a function"),
    ("00: 11 22\n", "line 1 is not the line of a function"),
    (HEAD, "line 1: 0000:00:02.0 has fewer than 64 bytes"),
    (HEAD + HEAD + ROWS, "line 2 follows a function without bytes"),
    (HEAD + ROWS + "\n" + HEAD + ROWS, "0000:00:02.0 is there twice"),
    (HEAD + ROWS + "20: 11\n", "line 6 does not go on where the bytes before it ended"),
    (HEAD + "00: 11 zz\n", "line 2 has something else than bytes"),
    (HEAD + "00: 1\n", "line 2 has something else than bytes"),
    (HEAD + "00:\n", "line 2 has no bytes"),
    (HEAD + "00: " + " ".join(["00"] * 17) + "\n", "line 2 has more than 16 bytes"),
    (HEAD + "nonsense\n", "line 2 is neither a function nor bytes"),
    ("10000:" + HEAD + ROWS, "line 1 names a segment above ffff"),
    (HEAD + "".join(f"{o:02x}: {' '.join(['00'] * 16)}\n" for o in range(0, 4096, 16)) + "1000: 00\n", "line 258 "),
    ("\0" * 100, "line 1 "),
])
def test_malformed(text, sentence, tmp_path):
    (tmp_path / "dump").write_text(text)
    done = subprocess.run([INSPECT, "pci", tmp_path / "dump"], capture_output=True, text=True)
    assert done.returncode == 1
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""
