"""tools/new-service: what it makes builds for each machine and is formatted; what it should not make it refuses."""
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NEEDED = ("Makefile", ".clang-format", "include", "lib", "machine", "memory", "authority", "driver", "kernel", "platform",
          "service", "test/test.mk", "test/bench", "test/hostile", "test/program", "tools")


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A copy in which services can be made."""
    copy = tmp_path_factory.mktemp("tree")
    for name in NEEDED:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, copy / name)
    return copy


def new_service(tree, *arguments):
    return subprocess.run([tree / "tools/new-service", *arguments], capture_output=True, text=True)


def test_made_service_builds(tree):
    before = (tree / "service/initrd/vmos.conf").read_text()
    done = new_service(tree, "tide-table")
    assert done.returncode == 0, done.stderr
    assert "spawn tide-table" in done.stdout
    made = before + "service tide-table offer=tide-table start=asked\n"
    assert (tree / "service/initrd/vmos.conf").read_text() == made
    (tree / "service/initrd/vmos.conf").write_text(before.rstrip("\n"))  # an editor may have left it so
    shutil.rmtree(tree / "service/tide-table")
    assert new_service(tree, "tide-table").returncode == 0
    assert (tree / "service/initrd/vmos.conf").read_text() == made
    for arch in ("x64", "arm64", "rv64"):
        built = subprocess.run(["make", "-s", f"ARCH={arch}", f"build/{arch}/initrd.img"], cwd=tree, capture_output=True,
                               text=True)
        assert built.returncode == 0, built.stdout + built.stderr
        listed = subprocess.run(["cpio", "--quiet", "-t"], stdin=open(tree / f"build/{arch}/initrd.img", "rb"),
                                capture_output=True, text=True).stdout.split()
        assert "bin/tide-table" in listed and "bin/tide-table.sym" in listed
    if shutil.which("clang-format"):
        formatted = subprocess.run(["clang-format", "--dry-run", "-Werror", "service/tide-table/main.c"], cwd=tree)
        assert formatted.returncode == 0


@pytest.mark.parametrize("arguments, sentence", [
    ((), "NAME is lower-case letters"), (("../x",), "NAME is lower-case letters"), (("Web",), "NAME is lower-case letters"),
    (("-x",), "NAME is lower-case letters"), (("clock",), "clock is what init gives"), (("a" * 16,), "more than 15 characters"),
    (("hello",), "there is a service hello already"), (("init",), "there is a service init already"),
])
def test_refused(tree, arguments, sentence):
    before = (tree / "service/initrd/vmos.conf").read_text()
    done = new_service(tree, *arguments)
    assert done.returncode == 1 and sentence in done.stderr
    assert (tree / "service/initrd/vmos.conf").read_text() == before
