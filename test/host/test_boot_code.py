"""Code that is released once the machine is known (BOOT_CODE in the Makefile) is called by nobody afterwards: nothing
outside it refers to it but kernel/main.c and what that calls before vm_release_boot_code()."""
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CALLED_BEFORE = {
    "kernel/main.c.o": {"discover_machine", "discover_print", "discover_more", "discover_done", "smp_start",
                        "manifest_read", "manifest_check", "manifest_driver_option", "manifest_wants_driver",
                        "late_console"},
    "authority/manager.c.o": {"pci_enumerate", "pci_check_placement", "pci_assign"},  # by devices_discover
}


def names(arguments, pattern):
    listed = subprocess.run(["llvm-nm-19", *arguments], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return set(re.findall(pattern, listed, re.M))


@pytest.mark.parametrize("arch", ["x64", "arm64", "rv64"])
def test_only_boot_calls_boot_code(arch):
    subprocess.run(["make", "-s", f"ARCH={arch}"], cwd=ROOT, check=True)
    build = ROOT / "build" / arch
    objects = [o for room in ("lib", "machine", "platform", "memory", "authority", "driver", "kernel")
               for o in (build / room).rglob("*.o")
               if (ROOT / o.relative_to(build).with_suffix("")).exists()]
    boot = [o for o in objects if ".boot.text" in subprocess.run(
        ["llvm-readelf-19", "-SW", o], check=True, capture_output=True, text=True).stdout]
    assert len(boot) > 15 and build / "machine/acpi.c.o" in boot
    released = names(["--defined-only", "-g", *boot], r" [TBR] (\w+)$")
    callers = {}
    for o in set(objects) - set(boot):
        if used := names(["-u", o], r"U (\w+)$") & released:
            callers[str(o.relative_to(build))] = used
    assert callers == CALLED_BEFORE
    text = (ROOT / "kernel/main.c").read_text()
    release = text.index("vm_release_boot_code()")
    assert all(text.rindex(name) < release for name in CALLED_BEFORE["kernel/main.c.o"] | {"devices_discover"})


def test_devices_are_discovered_once():
    """devices_discover and what it alone calls is the way from authority/manager.c to boot code."""
    calls = {str(path.relative_to(ROOT)): len(re.findall(r"\b(?:devices_discover|discover_bridge)\(", path.read_text()))
             for room in ("kernel", "authority", "driver") for path in (ROOT / room).rglob("*.c")}
    # defined and called; defined; called
    assert {path: count for path, count in calls.items() if count} == {"authority/manager.c": 3, "kernel/main.c": 1}
