"""vmos-inspect's command line: what it prints for good input, how it refuses bad input."""
import json
import random
import re
import struct
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
INSPECT = ROOT / "build/host/vmos-inspect"
DUMPS = ROOT / "test/host/data/acpi"
NAMES = sorted(path.name for path in DUMPS.iterdir() if path.is_dir())
UNITS = {"B": 0, "KiB": 10, "MiB": 20, "GiB": 30, "TiB": 40, "PiB": 50, "EiB": 60}


def run(*arguments):
    return subprocess.run([INSPECT, *arguments], capture_output=True, text=True, timeout=60)


def refused(*arguments):
    """Exit status 1 and one sentence; no sanitizer report, no signal."""
    done = run(*arguments)
    assert done.returncode == 1, (done.returncode, done.stderr)
    assert re.fullmatch(r"vmos-inspect: .+\n", done.stderr), done.stderr
    return done


def sane(done):
    assert done.returncode in (0, 1), done.stderr
    assert (done.returncode == 1) == bool(re.fullmatch(r"vmos-inspect: .+\n", done.stderr)), done.stderr


def value_of(text):
    if text in ("yes", "no"):
        return text == "yes"
    size = re.fullmatch(r"(\d+) (B|[KMGTPE]iB)", text)
    if size:
        return int(size[1]) << UNITS[size[2]]
    return int(text) if text.isdigit() else text


def facts_of_text(text, names):
    """{key: [{name: value}]} of the lines; names: JSON's, to know where a name ends in "pm1a control"."""
    facts = {}
    words = sorted((name.replace("_", " ") for name in names), key=len, reverse=True)
    for line in filter(None, text.splitlines()):
        assert len(line) <= 79, line
        key, value = line.split(": ", 1)
        item = re.fullmatch(r"(.+) (\d+)", key)
        if item is None:
            facts[key.replace(" ", "_")] = value_of(value)
            continue
        fields = facts.setdefault((item[1].replace(" ", "_"), int(item[2])), {})
        for part in value.split(", "):
            name = next(word for word in words if part.startswith(word + " "))
            fields[name.replace(" ", "_")] = value_of(part[len(name) + 1:])
    return facts


def facts_of_json(document):
    facts = {}
    for key, value in document.items():
        if not isinstance(value, list):
            facts[key] = value
            continue
        item = {"memory": "memory", "its": "its", "power": "power"}.get(key, key.removesuffix("s"))
        for index, fields in enumerate(value):
            if item == "timer":
                index = ["secure physical", "physical", "virtual", "hypervisor"].index(fields["name"])
            facts[(item, index)] = fields
    return facts


@pytest.mark.parametrize("name", NAMES)
def test_json_has_the_facts_of_the_text(name):
    text, document = run("acpi", DUMPS / name), run("acpi", DUMPS / name, "--json")
    assert (text.returncode, text.stderr, document.returncode, document.stderr) == (0, "", 0, "")
    document = json.loads(document.stdout)
    names = {field for value in document.values() if isinstance(value, list) for item in value for field in item}
    assert facts_of_text(text.stdout, names) == facts_of_json(document)
    assert document["cpus"]


def test_the_same_twice():
    assert run("acpi", DUMPS / "q35").stdout == run("acpi", DUMPS / "q35").stdout


def test_files_rather_than_a_folder():
    files = [DUMPS / "q35" / (name + ".dat") for name in ("APIC", "MCFG")]
    found = json.loads(run("acpi", "--json", *files).stdout)
    assert len(found["host_bridges"]) == 1 and len(found["io_apics"]) == 1 and not found["hpets"]


def test_names_as_in_sys(tmp_path):
    for path in (DUMPS / "q35").glob("*.dat"):
        (tmp_path / path.stem).write_bytes(path.read_bytes())
    (tmp_path / "FACS").write_bytes(b"FACS" + bytes(60))
    (tmp_path / "data").mkdir()
    (tmp_path / "notes").write_text("not a table")
    assert run("acpi", tmp_path).stdout == run("acpi", DUMPS / "q35").stdout


@pytest.mark.parametrize("arguments", [[], ["acpi"], ["fdt"], ["pci"], ["acip", "x"], ["acpi", "--jsno", "x"], ["fdt", "a", "b"],
                                       ["pci", "a", "b"], ["--json"]])
def test_usage(arguments):
    done = run(*arguments)
    assert done.returncode == 2 and done.stderr.startswith("usage: vmos-inspect") and done.stdout == ""


@pytest.mark.parametrize("kind", ["acpi", "fdt", "pci"])
def test_what_is_no_file(kind, tmp_path):
    refused(kind, tmp_path / "absent")
    (tmp_path / "empty.dat").write_bytes(b"")
    assert refused(kind, tmp_path / "empty.dat").stdout == ""
    if kind != "acpi":
        refused(kind, tmp_path)
    else:
        (tmp_path / "empty.dat").unlink()
        refused(kind, tmp_path)  # a folder without tables


@pytest.mark.parametrize("kind", ["acpi", "fdt", "pci"])
def test_noise(kind, tmp_path):
    dice = random.Random(1)
    for size in (1, 4, 35, 36, 39, 40, 100, 4096):
        path = tmp_path / "noise.dat"
        path.write_bytes(dice.randbytes(size))
        assert refused(kind, path).stdout == ""


def table(signature, body, length=None):
    whole = bytearray(signature + struct.pack("<IBB", length or 36 + len(body), 1, 0) + b"VMOS  TABLE   " + bytes(12) + body)
    whole[9] = -sum(whole) & 0xff
    return bytes(whole)


@pytest.mark.parametrize("content, sentence", [
    (table(b"APIC", bytes(8), 1000), "is no whole ACPI table: the file has 44 bytes, its header says 1000"),
    (table(b"APIC", bytes(8))[:40], "is no whole ACPI table: the file has 40 bytes, its header says 44"),
    (table(b"APIC", bytes(8), 20), "its header says 20"),
    (table(b"APIC", bytes(8) + b"\0\0"), "MADT entry 0 at 0x2c has length 0; the rest of the table is ignored"),
    (table(b"APIC", bytes(8) + b"\0\x40"), "runs past the end of the table; it is dropped"),
    (table(b"APIC", bytes(8))[:-1] + b"x", "APIC at 0xff00000020000000 has a wrong checksum"),
    (table(b"APIC", bytes(4)), "has only 40 bytes; it is ignored"),
    (table(b"MCFG", bytes(8 + 7)), "MCFG ends with 7 bytes that are no entry"),
    (table(b"IORT", struct.pack("<III", 1, 5000, 0)), "IORT places its nodes at 0x1388, outside of the table"),
])
def test_malformed_table(tmp_path, content, sentence):
    path = tmp_path / "TABLE.dat"
    path.write_bytes(content)
    assert sentence in refused("acpi", path).stderr


def test_one_bad_table_among_good_ones():
    """What the others say is printed all the same."""
    files = [DUMPS / "q35" / "MCFG.dat", DUMPS / "README.md"]
    assert "host bridge 0:" in refused("acpi", *files).stdout


def test_damaged_tables(tmp_path):
    """Every table of every machine with bytes changed or cut off: said or read, never worse."""
    dice = random.Random(2)
    tables = sorted(path for path in DUMPS.glob("*/*.dat") if path.stem != "DSDT")
    for path in dice.sample(tables, 40):
        whole = bytearray(path.read_bytes())
        for _ in range(dice.randrange(1, 6)):
            whole[dice.randrange(36, len(whole)) if len(whole) > 36 else 0] = dice.randrange(256)
        if dice.randrange(3) == 0:
            del whole[dice.randrange(len(whole)):]
        damaged = tmp_path / path.name
        damaged.write_bytes(whole)
        sane(run("acpi", damaged, *(["--json"] if dice.randrange(2) else [])))


def test_device_tree(tmp_path):
    source = '/dts-v1/; / { model = "a \\"quoted\\" model"; #address-cells = <1>; #size-cells = <1>;' \
             ' memory@100000 { device_type = "memory"; reg = <0x100000 0x100000>; };' \
             ' cpus { #address-cells = <1>; #size-cells = <0>; cpu@0 { device_type = "cpu"; reg = <0>; }; }; };'
    blob = tmp_path / "tree.dtb"
    subprocess.run(["dtc", "-q", "-O", "dtb", "-o", blob], input=source, text=True, check=True)
    done = run("fdt", blob, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert found["model"] == 'a "quoted" model' and found["described_by"] == "device tree"
    assert found["memory"] == [{"base": "0x100000", "size": 1 << 20, "kind": "usable"}]
    whole = blob.read_bytes()
    for size in range(0, len(whole), 7):
        cut = tmp_path / "cut.dtb"
        cut.write_bytes(whole[:size])
        refused("fdt", cut)
