"""The walls between rooms: what a room must not include does not compile, and what it may does."""
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FORBIDDEN = {
    "lib": ["machine/readers.h", "platform/cpu.h", "vmos/machine.h", "vmos/driver.h", "kernel/log.h"],
    "machine": ["platform/cpu.h", "memory/memory.h", "authority/device.h", "kernel/log.h", "vmos/driver.h"],
    "platform": ["machine/readers.h", "memory/memory.h", "authority/device.h", "kernel/log.h", "vmos/driver.h"],
    "memory": ["authority/device.h", "kernel/log.h", "vmos/driver.h"],
    "authority": ["kernel/log.h"],
    "driver": ["vmos/machine.h", "machine/pci.h", "platform/cpu.h", "memory/memory.h", "authority/device.h",
               "kernel/log.h", "arch.h"],
    "kernel": ["driver/virtio/virtio.h", "virtio.h", "vmos/system.h", "vmos/service.h"],
    "user": ["vmos/machine.h", "vmos/driver.h", "kernel/trace.h", "kernel/process/rules.h", "platform/user.h",
             "memory/space.h", "authority/device.h", "arch.h", "vmos/control.h"],
    "service": ["vmos/machine.h", "vmos/driver.h", "kernel/trace.h", "kernel/process/rules.h", "platform/user.h",
                "memory/space.h", "authority/device.h", "arch.h", "init/init.h"],
}
ALLOWED = {
    "lib": ["lib/string.h", "vmos/abi.h"], "machine": ["machine/readers.h", "vmos/machine.h"],
    "platform": ["platform/cpu.h"], "memory": ["memory/memory.h", "machine/readers.h"],
    "authority": ["memory/memory.h", "vmos/driver.h"], "driver": ["vmos/driver.h", "vmos/nic.h", "lib/log.h"],
    "kernel": ["authority/device.h", "memory/memory.h"],
    "user": ["vmos/system.h", "vmos/service.h", "lib/elf.h"],
    "service": ["vmos/service.h", "vmos/system.h", "vmos/control.h", "lib/manifest.h", "lib/ring.h", "lib/malloc.h"],
}


def compiles(room, header, tmp_path):
    subprocess.run(["make", "-s", f"build/rooms/{room}/.made"], cwd=ROOT, check=True)
    source = tmp_path / "probe.c"
    source.write_text(f"#include <{header}>\n")
    arch = [] if room in ("driver", "lib", "machine", "user", "service") else ["-Iplatform/x64"]
    done = subprocess.run(["clang", "--target=x86_64-unknown-none-elf", "-ffreestanding", "-fsyntax-only",
                           f"-Ibuild/rooms/{room}", *arch, source], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 or "file not found" in done.stderr, done.stderr
    return done.returncode == 0


@pytest.mark.parametrize("room", FORBIDDEN)
def test_forbidden(room, tmp_path):
    assert [header for header in FORBIDDEN[room] if compiles(room, header, tmp_path)] == []


@pytest.mark.parametrize("room", ALLOWED)
def test_allowed(room, tmp_path):
    assert [header for header in ALLOWED[room] if not compiles(room, header, tmp_path)] == []


def test_no_way_around():
    """No include climbs out of its room by a relative path."""
    found = subprocess.run(["git", "grep", "-nE", r'#include "\.\.', "--", "*.c", "*.h", "*.S"], cwd=ROOT,
                           capture_output=True, text=True).stdout
    assert found == ""
