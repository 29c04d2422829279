"""What the shortest ways through the kernel cost, in instructions, held against Debian's Linux as it was measured; `make
bench` measures Linux anew, and more operations."""
import importlib.machinery
import importlib.util
import subprocess

import pytest

import figures
from guest import ROOT

loader = importlib.machinery.SourceFileLoader("bench", str(ROOT / "tools" / "bench"))
bench = importlib.util.module_from_spec(importlib.util.spec_from_loader("bench", loader))
loader.exec_module(bench)

ROUNDS = 300


@pytest.mark.parametrize("arch", bench.ARCHES)
def test_bench(arch, tmp_path, capsys):
    build = ROOT / "build" / arch
    subprocess.run(["make", "-s", f"ARCH={arch}", f"{build.relative_to(ROOT)}/bench/init.bin"], cwd=ROOT, check=True)
    (tmp_path / "files").mkdir()
    (tmp_path / "files/vmos.conf").write_text("# no drivers; init measures\n")
    (tmp_path / "files/bench.conf").write_text(f"{ROUNDS}\n")
    subprocess.run([ROOT / "tools/make-initrd", tmp_path / "files", tmp_path / "initrd.img",
                    f"bin/init={build}/bench/init.bin"], check=True)
    measured = bench.vmos(arch, tmp_path / "initrd.img", seconds=60)
    assert set(measured) == set(bench.NAMES)
    for name, instructions in measured.items():
        recorded, limit = bench.RECORDED[arch].get(name), bench.LIMITS.get(name)
        figures.record(f"{arch}: {bench.NAMES[name][0]}", round(instructions), "instructions",
                       f"under {recorded * limit:.0f}: 1/{1 / limit:.0f} of Linux's {bench.NAMES[name][1]}" if limit else "")
        with capsys.disabled():
            print(f"\n{arch}: {bench.NAMES[name][0]}: {instructions:.0f} instructions", end="")
    over = {name: (measured[name], bench.RECORDED[arch][name] * limit) for name, limit in bench.LIMITS.items()
            if measured[name] > bench.RECORDED[arch][name] * limit}
    assert not over, over
