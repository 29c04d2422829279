"""Runs every host test program and every fuzz target that the build knows."""
import os
import re
import subprocess
from pathlib import Path

import pytest

import figures

ROOT = Path(__file__).resolve().parents[2]
SECONDS = int(os.environ.get("VMOS_FUZZ_SECONDS", "10"))


def programs(kind):
    listed = subprocess.run(["make", "-s", "list-host"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return sorted(line.split()[1] for line in listed.splitlines() if line.startswith(kind + " ") and len(line.split()) == 2)


@pytest.mark.parametrize("name", programs("test"))
def test_host(name):
    done = subprocess.run([ROOT / "build/host/test" / name], cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout[-20000:] + done.stderr[-20000:]


@pytest.mark.takes(SECONDS + 1)
@pytest.mark.parametrize("name", programs("fuzz"))
def test_fuzz(name, tmp_path):
    """Replays the committed corpus, then searches on from there; what it finds stays in build/host/fuzz."""
    binary = ROOT / "build/host/fuzz" / name
    corpus = ROOT / "test/host/fuzz/corpus" / name
    seeds = [corpus] if corpus.is_dir() else []
    common = ["-timeout=10", "-rss_limit_mb=2048", f"-artifact_prefix={binary}-"]
    for arguments in ([*common, "-runs=0", *seeds], [*common, f"-max_total_time={SECONDS}", tmp_path, *seeds]):
        done = subprocess.run([binary, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=SECONDS + 300)
        assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-20000:]
    if ran := re.search(r"Done (\d+) runs in (\d+) second", done.stderr):
        figures.record(f"fuzzing {name}: runs without a finding in {ran[2]} s", int(ran[1]), "runs")
