"""tools/make-initrd: programs are whole pages at multiples of the page, and what it cannot pack it says."""
import subprocess
from pathlib import Path

import pytest

TOOL = Path(__file__).resolve().parents[2] / "tools/make-initrd"
PROGRAM = b"\x7fELF" + bytes(range(256)) * 20


def pack(*arguments):
    return subprocess.run([TOOL, *arguments], capture_output=True, text=True)


def test_programs_are_whole_pages(tmp_path):
    (tmp_path / "files/bin").mkdir(parents=True)
    (tmp_path / "files/vmos.conf").write_text("# nothing\n")
    (tmp_path / "files/bin/first").write_bytes(PROGRAM)
    (tmp_path / "second").write_bytes(PROGRAM + b"2")
    name = "bin/" + "n" * 90
    assert pack(tmp_path / "files", tmp_path / "image", f"{name}={tmp_path / 'second'}").returncode == 0
    data = (tmp_path / "image").read_bytes()
    assert len(data) % 4096 == 0
    at = data.find(b"\x7fELF")
    for program in (PROGRAM, PROGRAM + b"2"):
        assert at % 4096 == 0 and data[at:at + len(program)] == program
        assert not any(data[at + len(program):at + 8192])
        at = data.find(b"\x7fELF", at + 1)
    assert at == -1
    listed = subprocess.run(["cpio", "-it"], input=data, capture_output=True).stdout.decode().split()
    assert sorted(set(listed)) == ["bin", "bin/first", name, "vmos.conf"]


@pytest.mark.parametrize("arguments,said", [
    (["none", "image"], "none is no folder"),
    (["files", "image", "file"], '"file"; expected: NAME=FILE'),
    (["files", "image", "bin/a=files"], '"bin/a=files"; expected: NAME=FILE'),
    (["files", "image", "bin/a=none"], '"bin/a=none"; expected: NAME=FILE'),
    (["broken", "image"], "No such file"),
    (["files", "none/image"], "No such file"),
    (["files"], "make-initrd FOLDER IMAGE"),
])
def test_what_cannot_be_packed(tmp_path, arguments, said):
    for folder in ("files", "broken"):
        (tmp_path / folder).mkdir()
    (tmp_path / "file").write_text("x")
    (tmp_path / "broken/link").symlink_to("nowhere")
    done = subprocess.run([TOOL, *arguments], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode != 0 and said in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "image").exists()
