"""What vmos costs, measured and held: memory, the file's size, instructions to `ready`. The figures are printed (-s), and
written to docs/figures.md by make test-long."""
import re
import subprocess

import pytest

import figures
from guest import MACHINES, blk, make_disk, net, rng, run, transport_globals

KIB = 1024
NAMES = ["q35", "microvm", "gicv2", "gicv3", "plic", "imsic"]


def sections(on):
    """Bytes in memory without the embedded ramdisk, and bytes that are released: boot code and header."""
    headers = subprocess.run(["llvm-readelf-19", "-lW", on.kernel], check=True, capture_output=True, text=True).stdout
    loads = [[int(n, 16) for n in line.split()[1:6]] for line in headers.splitlines() if line.split()[:1] == ["LOAD"]]
    names = subprocess.run(["llvm-nm-19", on.kernel], check=True, capture_output=True, text=True).stdout
    address = {line.split()[-1]: int(line.split()[0], 16) for line in names.splitlines()}
    ramdisk = address["initrd_embedded_end"] - address["initrd_embedded"]
    return (sum(load[4] for load in loads) - ramdisk,
            address["boot_code_end"] - address["boot_code_start"] + address["image_start"] - address["header_start"])


@pytest.mark.parametrize("name", NAMES)
def test_budget(name, tmp_path, capsys):
    on = MACHINES[name]
    memory, released = sections(on)
    transport = "pci-modern" if on.pci else "mmio-modern"
    result = run(on, *transport_globals(transport), *net(transport), *blk(transport, make_disk(tmp_path / "disk")),
                 *rng(transport), append="then=poweroff", extra=("-icount", "shift=0,sleep=off"))
    allocated = re.search(r"memory: .*the kernel takes (\d+) KiB and has allocated (\d+) KiB", result.text)
    awake = re.search(r"kernel: ready after (\d+) us, of which (\d+) us asleep\r?\nready", result.text)
    assert allocated and awake, result.explain()
    # One instruction is one nanosecond; asleep none are executed, however far QEMU moves its clock.
    instructions = (int(awake[1]) - int(awake[2])) * 1000
    total = (int(allocated[1]) + int(allocated[2])) * KIB
    # What the kernel says of its image, held against the file that it was loaded from.
    # Beyond boot code it gives away its guard pages and what is left of the first page tables.
    assert 4 <= (memory - released) // KIB - int(allocated[1]) <= 80
    figures.record(f"{name}: memory of the kernel at ready", total // KIB, "KiB", "under 512")
    size = on.flat.stat().st_size
    figures.record(f"{name}: kernel file", size // KIB, "KiB", "under 300")
    figures.record(f"{name}: instructions from entry to ready", instructions / 1e6, "million", "under 10")
    with capsys.disabled():
        print(f"\n{name}: {total // KIB} KiB of memory, {size} bytes of kernel file, "
              f"{instructions / 1e6:.2f} million instructions to ready")
    assert total < 512 * KIB
    assert size < 300 * KIB
    assert instructions < 10_000_000
