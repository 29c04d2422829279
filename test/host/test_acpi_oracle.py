"""What vmos-inspect reads from QEMU's tables, beside what iasl's disassembler says of the same files."""
import json
import re
import struct
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
INSPECT = ROOT / "build/host/vmos-inspect"
DUMPS = ROOT / "test/host/data/acpi"
NAMES = sorted(path.name for path in DUMPS.iterdir() if path.is_dir())
LINE = re.compile(r"^(?:\[[0-9A-F]+h [0-9]+ +[0-9]+\])? *([^:]+?) : ?(.*)$")


class Table:
    """The .dsl of a data table: groups of (name, value), as blank lines and subtables divide it."""

    def __init__(self, text):
        self.groups = [[]]
        for line in text.splitlines():
            found = LINE.match(line)
            heads = ("Subtable Type", "Device Scope Type", "Input base")
            inside = self.groups[-1] and self.groups[-1][0][0] in heads[:2]
            if (not line.strip() and not inside) or (found and found[1] in heads):
                self.groups.append([])
            if line.startswith("Raw Table Data"):
                break
            if found and not line.startswith((" *", "/*")):
                self.groups[-1].append((found[1], found[2]))
        self.groups = [group for group in self.groups if group]

    def all(self, kind):
        """The subtables of one type, each as a dict; kind is iasl's name of it."""
        return [dict(group) for group in self.groups
                if group[0][0] in ("Subtable Type", "Device Scope Type") and kind in group[0][1]]

    def one(self, name):
        return next(value for group in self.groups for key, value in group if key == name)

    def register(self, name):
        """Space and address of the Generic Address Structure called so."""
        flat = [pair for group in self.groups for pair in group]
        at = next(i for i, (key, value) in enumerate(flat) if key == name and "Generic Address" in value)
        inner = dict(flat[at + 1:at + 6])
        return ("port" if "SystemIO" in inner["Space ID"] else "memory"), number(inner["Address"])


def number(text):
    return int(text.split()[0], 16)


def machine(folder):
    done = subprocess.run([INSPECT, "acpi", folder, "--json"], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return json.loads(done.stdout)


def machines(table, prefix=""):
    """Runs a test for each machine that has the table."""
    names = [name for name in NAMES if (DUMPS / name / (table + ".dat")).exists() and name.startswith(prefix)]
    return pytest.mark.parametrize("both", names, indirect=True, scope="module")


@pytest.fixture(scope="module")
def both(request, tmp_path_factory):
    work = tmp_path_factory.mktemp(request.param)
    tables = {}
    for path in sorted((DUMPS / request.param).glob("*.dat")):
        if path.stem != "DSDT":
            subprocess.run(["iasl", "-p", work / path.stem, "-d", path], check=True, capture_output=True)
            tables[path.stem] = Table((work / (path.stem + ".dsl")).read_text())
    return machine(DUMPS / request.param), tables


@machines("HPET")
def test_madt_x64(both):
    found, tables = both
    madt = tables["APIC"]
    cpus = [(number(e["Local Apic ID"]), number(e["Processor ID"])) for e in madt.all("Processor Local APIC")
            if e["Processor Enabled"] == "1"]
    assert [(int(c["id"], 16), c["uid"]) for c in found["cpus"]] == cpus
    assert [(a["id"], int(a["base"], 16), a["first_line"]) for a in found["io_apics"]] == \
        [(number(e["I/O Apic ID"]), number(e["Address"]), number(e["Interrupt"])) for e in madt.all("I/O APIC")]
    triggers, polarities = {0: "edge", 1: "edge", 3: "level"}, {0: "high", 1: "high", 3: "low"}
    assert [(o["source"], o["line"], o["trigger"], o["polarity"]) for o in found["overrides"]] == \
        [(number(e["Source"]), number(e["Interrupt"]), triggers[int(e["Trigger Mode"])], polarities[int(e["Polarity"])])
         for e in madt.all("Interrupt Source Override")]
    assert [n["lint"] for n in found["nmis"]] == [number(e["Interrupt Input LINT"]) for e in madt.all("Local APIC NMI")]
    assert int(found["local_apics"][0]["base"], 16) == number(madt.one("Local Apic Address"))
    assert found["local_apics"][0]["pic"] == (madt.one("PC-AT Compatibility") == "1")


@machines("APIC", "virt")
def test_madt_arm64(both):
    found, tables = both
    madt = tables["APIC"]
    cpus = madt.all("Generic Interrupt Controller")
    assert [(int(c["id"], 16), c["uid"]) for c in found["cpus"]] == \
        [(number(e["ARM MPIDR"]), number(e["Processor UID"])) for e in cpus]
    assert [int(c.get("gic_cpu_interface", "0"), 16) for c in found["cpus"]] == [number(e["Base Address"]) for e in cpus]
    distributor = madt.all("Generic Interrupt Distributor")[0]
    assert int(found["gics"][0]["distributor"], 16) == number(distributor["Base Address"])
    assert found["gics"][0]["version"] == number(distributor["Version"])
    assert [(int(r["base"], 16), r["size"]) for r in found["redistributors"]] == \
        [(number(e["Base Address"]), number(e["Length"])) for e in madt.all("Generic Interrupt Redistributor")]
    assert [(int(f["base"], 16), f["first_line"], f["lines"]) for f in found["v2m_frames"]] == \
        [(number(e["Base Address"]), number(e["SPI Base"]), number(e["SPI Count"])) for e in madt.all("MSI Frame")]
    assert [(i["id"], int(i["base"], 16)) for i in found["its"]] == \
        [(number(e["Translation ID"]), number(e["Base Address"])) for e in madt.all("Generic Interrupt Translator")]


@machines("MCFG")
def test_mcfg(both):
    found, tables = both
    mcfg = tables["MCFG"]
    expected = [(number(e["Base Address"]), number(e["Segment Group Number"]), number(e["Start Bus Number"]),
                 number(e["End Bus Number"])) for e in map(dict, mcfg.groups) if "Segment Group Number" in e]
    assert len(expected) >= 1
    assert [(int(b["ecam"], 16) - (b["first_bus"] << 20), b["segment"], b["first_bus"], b["last_bus"])
            for b in found["host_bridges"]] == expected


@machines("HPET")
def test_hpet(both):
    found, tables = both
    hpet = tables["HPET"]
    assert found["hpets"] == [{"base": hex(hpet.register("Timer Block Register")[1]),
                               "number": number(hpet.one("Sequence Number")),
                               "minimum_tick": number(hpet.one("Minimum Clock Ticks"))}]


@machines("FACP")
def test_fadt(both):
    found, tables = both
    fadt = tables["FACP"]
    power = found["power"][0]
    registers = {r["name"]: (r["space"], int(r["address"], 16)) for r in found["registers"]}
    reduced = any(name.startswith("Hardware Reduced") and value == "1" for g in fadt.groups for name, value in g)
    assert power["hardware_reduced"] == reduced
    if any(name.startswith("Reset Register Supported") and value == "1" for g in fadt.groups for name, value in g):
        assert registers["reset"] == fadt.register("Reset Register")
    if reduced:
        assert not found["pm_timers"]
        if "sleep control" in registers:
            assert registers["sleep control"] == fadt.register("Sleep Control Register")
            assert registers["sleep status"] == fadt.register("Sleep Status Register")
    else:
        assert int(found["pm_timers"][0]["address"], 16) == number(fadt.one("PM Timer Block Address"))
        assert registers["pm1a control"] == ("port", number(fadt.one("PM1A Control Block Address")))
    psci = [value for group in fadt.groups for name, value in group if name == "PSCI Compliant"]
    if psci and psci[0] == "1":
        assert power["psci"] == ("hvc" if fadt.one("Must use HVC for PSCI") == "1" else "smc")
    else:
        assert power["psci"] == "none"


@machines("DSDT")
def test_sleep_type(both, tmp_path):
    """iasl's DSDT has the \\_S5 package in words."""
    found, tables = both
    name = next(n for n in NAMES if machine(DUMPS / n) == found)
    subprocess.run(["iasl", "-p", tmp_path / "DSDT", "-d", DUMPS / name / "DSDT.dat"], check=True, capture_output=True)
    package = re.search(r"Name \(\\?_S5, Package.*?\{(.*?)\}", (tmp_path / "DSDT.dsl").read_text(), re.S)
    if package is None:
        assert "sleep_type_a" not in found["power"][0]
        return
    values = [{"Zero": 0, "One": 1}.get(v) if v in ("Zero", "One") else int(v, 16)
              for v in re.findall(r"\b(Zero|One|0x[0-9A-Fa-f]+)\b", re.sub(r"//.*|/\*.*?\*/", "", package[1]))]
    assert [found["power"][0]["sleep_type_a"], found["power"][0]["sleep_type_b"]] == values[:2]


def disassembled(found, work):
    """iasl's DSDT in words, without its comments."""
    name = next(n for n in NAMES if machine(DUMPS / n) == found)
    subprocess.run(["iasl", "-p", work / "DSDT", "-d", DUMPS / name / "DSDT.dat"], check=True, capture_output=True)
    return re.sub(r"//.*|/\*.*?\*/", "", (work / "DSDT.dsl").read_text())


@machines("DSDT")
def test_virtio_slots(both, tmp_path):
    """Each LNRO0005 device with its range and its interrupt."""
    found, _ = both
    expected = []
    for device in re.split(r"\bDevice \(", disassembled(found, tmp_path)):
        if '"LNRO0005"' in device:
            base, size = re.search(r"Memory32Fixed \(\w+,\s*(0x\w+),\s*(0x\w+)", device).groups()
            line = re.search(r"Interrupt \(ResourceConsumer, (\w+), (\w+).*?\{\s*(0x\w+)", device, re.S)
            expected.append((int(base, 16), int(size, 16), int(line[3], 16), line[1].lower()))
    assert [(int(s["base"], 16), s["size"], s["line"], s["trigger"]) for s in found["virtio_slots"]] == sorted(expected)


@machines("MCFG")
def test_windows(both, tmp_path):
    """The host bridge's own _CRS; q35's is in a Scope of its own, so that none is told."""
    found, tables = both
    source = disassembled(found, tmp_path)
    in_device = re.search(r"^( *)Device \(PCI0\).*?^\1    Name \(_CRS, (.*?)\n\1    \}\)", source, re.S | re.M)
    ends = re.search(r"^( *)Device \(PCI0\).*?^\1\}", source, re.S | re.M)
    expected = []
    if in_device is not None and in_device.end() < ends.end():
        for kind, numbers in re.findall(r"([DQ]Word(?:Memory|IO)) \(.*?\n((?:\s*0x\w+,.*\n){5})", in_device[2]):
            _, low, high, offset, size = (int(n, 16) for n in re.findall(r"0x\w+", numbers))
            assert high - low + 1 == size
            expected.append(("io" if "IO" in kind else "memory64" if high >> 32 else "memory32", low, low + offset, size))
    assert bool(expected) == ("RHCT" in tables or "GTDT" in tables)
    assert [(w["kind"], int(w["bus"], 16), int(w["cpu"], 16), w["size"]) for w in found["windows"]] == expected


@machines("RHCT")
def test_rv64(both):
    """Everything that the kernel needs of an rv64 machine that has only tables. This iasl knows none of these entries, so
    they are taken out of the bytes here [ACPI 6.6 §5.2.12.24 to .27, §5.2.37]."""
    found, _ = both
    name = next(n for n in NAMES if machine(DUMPS / n) == found)
    madt, rhct = ((DUMPS / name / (table + ".dat")).read_bytes() for table in ("APIC", "RHCT"))
    entries, at = [], 44
    while at < len(madt):
        entries.append(madt[at:at + madt[at + 1]])
        at += madt[at + 1]
    of = lambda kind, form, at: [struct.unpack_from(form, e, at) for e in entries if e[0] == kind]
    assert [(int(c["id"], 16), c["uid"]) for c in found["cpus"]] == of(0x18, "<QI", 8)
    assert [int(c.get("imsic", "0"), 16) for c in found["cpus"]] == [base for base, in of(0x18, "<Q", 24)]
    assert [(i["identities"],) for i in found["imsics"]] == of(0x19, "<H", 8)
    assert [(int(a["base"], 16),) for a in found["aplics"]] == of(0x1a, "<Q", 24)
    assert [(a["sources"],) for a in found["aplics"]] == of(0x1a, "<H", 18)
    assert [(int(p["base"], 16),) for p in found["plics"]] == of(0x1b, "<Q", 24)
    assert len(found["plics"]) + len(found["aplics"]) == 1
    assert found["timebase_hz"] == struct.unpack_from("<Q", rhct, 40)[0]
    assert "sstc" in found["isa"] and found["windows"] and len(found["virtio_slots"]) == 8


@machines("SPCR")
def test_spcr(both):
    found, tables = both
    spcr = tables["SPCR"]
    uart = next(u for u in found["uarts"] if u.get("console"))
    assert (uart["space"], int(uart["address"], 16)) == spcr.register("Serial Port Register")
    assert uart["line"] == number(spcr.one("Interrupt"))
    assert uart["kind"] == {3: "pl011", 0: "ns16550", 0x12: "ns16550"}[number(spcr.one("Interface Type"))]
    assert uart["baud"] == {3: 9600, 7: 115200}[number(spcr.one("Baud Rate"))]


@machines("GTDT")
def test_gtdt(both):
    found, tables = both
    gtdt = tables["GTDT"]
    names = {"secure physical": "Secure EL1 Interrupt", "physical": "Non-Secure EL1 Interrupt",
             "virtual": "Virtual Timer Interrupt", "hypervisor": "Non-Secure EL2 Interrupt"}
    assert {t["name"]: t["line"] for t in found["timers"]} == \
        {name: number(gtdt.one(field)) for name, field in names.items() if number(gtdt.one(field)) != 0}


@machines("SRAT")
def test_srat(both):
    found, tables = both
    srat = tables["SRAT"]
    memory = [e for e in srat.all("Memory Affinity") if e["Enabled"] == "1" and number(e["Address Length"]) != 0]
    assert [(int(n["base"], 16), n["size"], n["node"]) for n in found["memory_nodes"]] == \
        [(number(e["Base Address"]), number(e["Address Length"]), number(e["Proximity Domain"])) for e in memory]
    nodes = {number(e["Apic ID"]): number(e["Proximity Domain Low(8)"])
             for e in srat.all("Processor Local APIC/SAPIC Affinity")}
    nodes.update({number(e["Acpi Processor UID"]): number(e["Proximity Domain"]) for e in srat.all("GICC Affinity")})
    assert nodes and {c["uid"]: c.get("node") for c in found["cpus"]} == nodes


@machines("DMAR")
def test_dmar(both):
    found, tables = both
    dmar = tables["DMAR"]
    assert [int(i["base"], 16) for i in found["iommus"]] == \
        [number(e["Register Base Address"]) for e in dmar.all("Hardware Unit Definition")]
    assert found["iommus"][0]["address_bits"] == number(dmar.one("Host Address Width")) + 1
    paths = []
    for group in dmar.groups:
        if group[0][0] == "Device Scope Type" and "PCI" in group[0][1]:
            bus = number(dict(group)["PCI Bus Number"])
        elif group[0][0] == "Device Scope Type":
            bus = None
        for name, value in group:
            if name == "PCI Path" and bus is not None:
                device, function = (int(part, 16) for part in value.split(","))
                paths.append(f"{bus:02x}:{device:02x}.{function}")
    assert paths and [s["first"] for s in found["iommu_scopes"]] == paths


@machines("IORT")
def test_iort(both):
    found, tables = both
    iort = tables["IORT"]
    smmus = [dict(g) for g in iort.groups if any(name == "Event GSIV" for name, value in g)]
    assert [(int(i["base"], 16), i["event_line"], i["command_line"], i["error_line"])
            for i in found["iommus"] if i["kind"] == "smmuv3"] == \
        [(number(s["Base Address"]), number(s["Event GSIV"]), number(s["Sync GSIV"]), number(s["GERR GSIV"]))
         for s in smmus]
    if smmus or not found["its"]:
        return
    maps = [dict(g) for g in iort.groups if g[0][0] == "Input base"]
    assert [(int(m["requester"], 16), m["count"], int(m["output"], 16)) for m in found["msi_maps"]] == \
        [(number(m["Input base"]), number(m["ID Count"]) + 1, number(m["Output Base"])) for m in maps]
