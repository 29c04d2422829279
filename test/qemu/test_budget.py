"""What vmos costs, measured and held: memory, the file's size, instructions to `ready`. The figures are printed (-s), and
written to docs/figures.md by make test-long.

Limits. The loaded kernel, which is its image without the initial ramdisk and without what is given away before `ready`: under
384 KiB. The file without the ramdisk that is built into it: under 384 KiB. Memory before the first process, which is the
loaded kernel and all that it has allocated for the machine, its page tables and four devices: under 512 KiB. That and
what init and the services of the default ramdisk are charged with: under 768 KiB."""
import re
import subprocess

import pytest

import figures
from guest import MACHINES, Guest, blk, make_disk, net, rng, transport_globals

KIB = 1024
NAMES = ["q35", "microvm", "gicv2", "gicv3", "plic", "imsic"]


def sections(on):
    """Bytes in memory without the embedded ramdisk; bytes that are released, boot code, what it wrote to, and the header;
    bytes of the embedded ramdisk."""
    headers = subprocess.run(["llvm-readelf-19", "-lW", on.kernel], check=True, capture_output=True, text=True).stdout
    loads = [[int(n, 16) for n in line.split()[1:6]] for line in headers.splitlines() if line.split()[:1] == ["LOAD"]]
    names = subprocess.run(["llvm-nm-19", on.kernel], check=True, capture_output=True, text=True).stdout
    address = {line.split()[-1]: int(line.split()[0], 16) for line in names.splitlines()}
    ramdisk = address["initrd_embedded_end"] - address["initrd_embedded"]
    released = sum(address[end] - address[start] for start, end in (
        ("boot_code_start", "boot_code_end"), ("boot_bss_start", "boot_bss_end"), ("header_start", "image_start")))
    return sum(load[4] for load in loads) - ramdisk, released, ramdisk


def boot(on, folder):
    """What is said up to `ready`, and what `ps` says of each process then: (name, KiB)."""
    transport = "pci-modern" if on.pci else "mmio-modern"
    # No network behind the device: `user` has a timer on the guest's clock, which never rests while the guest does, and
    # now and then keeps QEMU from everything else, typed bytes included.
    nowhere = net(transport, backend="hubport,hubid=0")
    with Guest(on, *transport_globals(transport), *nowhere, *blk(transport, make_disk(folder / "disk")),
               *rng(transport), extra=("-icount", "shift=0,sleep=off")) as guest:
        guest.wait_for(r"^vmos> (qemu-system-.*)?$", 120)
        processes = re.findall(r"^ *\d+ (\S+) +\S+ +\d+ +\d+ +(\d+) +\d+ +\d+ +\d+$", guest.command_line("ps"), re.M)
        guest.send("poweroff\r")
        return guest.finish(), [(name, int(size)) for name, size in processes]


@pytest.mark.parametrize("name", NAMES)
def test_budget(name, tmp_path, capsys):
    on = MACHINES[name]
    memory, released, ramdisk = sections(on)
    result, processes = boot(on, tmp_path)
    allocated = re.search(r"memory: .*the kernel takes (\d+) KiB and has allocated (\d+) KiB", result.text)
    awake = re.search(r"kernel: ready after (\d+) us, of which (\d+) us asleep\r?\nready", result.text)
    assert allocated and awake, result.explain()
    assert "init" in dict(processes), result.explain()
    # One instruction is one nanosecond; asleep none are executed, however far QEMU moves its clock.
    instructions = (int(awake[1]) - int(awake[2])) * 1000
    loaded = int(allocated[1])
    total = loaded + int(allocated[2])
    charged = sum(size for _, size in processes)
    size = on.flat.stat().st_size - ramdisk
    # What the kernel says of its image, held against the file that it was loaded from.
    # Beyond boot code it gives away its guard pages and what is left of the first page tables.
    assert 4 <= (memory - released) // KIB - loaded <= 80
    figures.record(f"{name}: loaded kernel", loaded, "KiB", "under 384")
    figures.record(f"{name}: memory before the first process", total, "KiB", "under 512")
    figures.record(f"{name}: memory at ready, with init", total + charged, "KiB", "under 768")
    figures.record(f"{name}: kernel file without its ramdisk", size // KIB, "KiB", "under 384")
    figures.record(f"{name}: instructions from entry to ready", instructions / 1e6, "million", "under 10")
    with capsys.disabled():
        print(f"\n{name}: {loaded} KiB of loaded kernel, {total} KiB of memory, {total + charged} with init, {size} bytes of "
              f"kernel file, {instructions / 1e6:.2f} million instructions to ready")
    assert loaded < 384
    assert total < 512
    assert total + charged < 768
    assert size < 384 * KIB
    assert instructions < 10_000_000
