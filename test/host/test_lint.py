"""The sources are as clang-format has them; in the long run also free of what clang-tidy finds (`make lint`)."""
import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def sources():
    """What belongs to the tree: as git knows it or, in an unpacked archive, what lies there."""
    listed = subprocess.run(["git", "ls-files", "*.c", "*.h"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode == 0 and listed.stdout:
        return [name for name in listed.stdout.split() if (ROOT / name).exists()]
    return [str(path.relative_to(ROOT)) for path in ROOT.rglob("*.[ch]") if path.relative_to(ROOT).parts[0] != "build"]


def test_format():
    if not shutil.which("clang-format"):
        pytest.skip("clang-format is not installed")
    done = subprocess.run(["clang-format", "--dry-run", "-Werror", *sources()], cwd=ROOT, capture_output=True, text=True)
    wrong = sorted({line.split(":")[0] for line in done.stderr.splitlines() if "error:" in line})
    assert done.returncode == 0, "not as clang-format has it: " + ", ".join(wrong)


def test_lengths():
    """No function over 60 lines, no file over 800; a test may be as long as its table of cases."""
    long = []
    for name in sources():
        lines = (ROOT / name).read_text().split("\n")
        if len(lines) - 1 > 800 and not name.startswith("test/"):
            long.append(f"{name}: {len(lines) - 1} lines")
        start = 0
        for number, line in enumerate(lines):
            if line == "{":
                start = number
            elif line == "}" and number - start + 1 > 60:
                long.append(f"{name}:{start}: a function of {number - start + 1} lines")
    assert not long, "\n".join(long)


@pytest.mark.skipif(not os.environ.get("VMOS_LONG"), reason="takes minutes: make test-long, or make lint")
def test_tidy():
    if not shutil.which("clang-tidy-19"):
        pytest.skip("clang-tidy-19 is not installed")
    done = subprocess.run(["make", "lint"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-20000:]
