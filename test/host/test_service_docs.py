"""The pages about services say what the code does: keys and defaults of the manifest, and the example as it is."""
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_every_key_is_explained():
    code = (ROOT / "lib/manifest.c").read_text()
    page = (ROOT / "docs/manifest.md").read_text()
    keys = re.findall(r'^    \{"(\w+)", VALUE_', code, re.M)
    assert len(keys) > 15
    assert sorted(re.findall(r"^\| `(\w+)=", page, re.M)) == sorted(keys)


def test_examples_are_the_files():
    page = (ROOT / "docs/writing-a-service.md").read_text()
    files = (ROOT / "service/hello/main.c").read_text() + (ROOT / "service/greet/main.c").read_text()
    blocks = re.findall(r"```c\n(.*?)```", page, re.S)
    assert len(blocks) == 3
    for block in blocks:
        assert block in files, block
    manifest = (ROOT / "service/initrd/vmos.conf").read_text()
    for line in re.findall(r"^    (service .*)$", page, re.M):
        assert line + "\n" in manifest, line


def test_thirty_lines():
    code = (ROOT / "service/hello/main.c").read_text().split("\n")
    assert len([line for line in code if line.strip() and not line.startswith("/*")]) <= 30
