"""NVMe on QEMU's controller: alone and beside virtio, few queues and vectors, several namespaces and controllers, large
blocks and large disks, random I/O checked byte for byte from outside, errors and silence of the disk behind it, and
what a read costs in doorbells and interrupts."""
import json
import os
import re
import signal
import struct
import subprocess
import time
import uuid
import zlib

import pytest

import figures
import firmware
import load
from guest import MACHINES, PROMPT, QEMU, ROOT, Guest, blk, have, make_disk, net, rng, run
from load import Load
from test_matrix import check_passed
from test_pcie import NATIVE, Control

LONG = bool(os.environ.get("VMOS_LONG"))
QEMU10 = os.environ.get("VMOS_QEMU10", "/opt/qemu10/qemu-system-x86_64")
MESSAGES = ["q35", "gicv3", "imsic"]


def nvme(path, name="d0", options="", drive=""):
    return ["-drive", f"if=none,id={name},format=raw,cache=unsafe,discard=unmap,file={path}{drive}",
            "-device", f"nvme,serial=S-{name},drive={name}{options}"]


def prompt(on, *devices, **options):
    guest = Guest(on, *devices, append="then=prompt", **options)
    try:
        guest.wait_for(PROMPT)
    except BaseException:
        guest.stop()
        raise
    return guest


@pytest.mark.parametrize("beside", [False, True], ids=["alone", "virtio"])
@pytest.mark.parametrize("name", [*MESSAGES, "plic", *(["gicv2", "aplic", "microvm-pcie", "gicv3-noits"] if LONG else [])])
def test_self_tests(name, beside, tmp_path):
    on = MACHINES[name]
    disk = make_disk(tmp_path / "disk", 32 << 20)
    more = [*net("pci-modern"), *blk("pci-modern", make_disk(tmp_path / "other"), "d1"), *rng("pci-modern")] if beside else []
    result = run(on, *nvme(disk), *more)
    check_passed(on, result, skipped=() if beside else ("net", "rng"))
    assert result.selftests()["nvme"][0] == "pass", result.explain()
    assert re.search(r"nvme0: QEMU NVMe Ctrl, serial S-d0, firmware \S+, 32 MiB in 1 namespaces, \d+ queues of \d+",
                     result.text), result.explain()


@pytest.mark.parametrize("name", MESSAGES + ["plic"])
def test_random_io(name, tmp_path):
    """All depths in one guest; each leaves its own bytes in its own place, checked when the guest is gone."""
    disk = make_disk(tmp_path / "disk", 64 << 20)
    loads = [Load("mixed", count=600, depth=depth, span=1 << 20, first=n * 4096, seed=depth)
             for n, depth in enumerate((1, 2, 3, 16, 32, 100, 256))]
    loads += [Load("all", count=400, depth=64, span=1 << 20, first=40960, size=512, seed=9),
              Load("mixed", count=24, depth=8, size=1 << 20, span=8 << 20, first=61440, skew=52),
              Load("mixed", depth=20, size=12 << 10, span=960 << 10, first=81920, seed=8, skew=4)]
    with prompt(MACHINES[name], *nvme(disk)) as guest:
        for one in loads:
            load.run(guest, "nvme0n1", one)
        guest.send("poweroff\r")
        guest.finish()
    for one in loads:
        assert one.check(disk) > 0


@pytest.mark.parametrize("name", MESSAGES if LONG else ["q35"])
@pytest.mark.parametrize("options", ["max_ioqpairs=1", "max_ioqpairs=2", "max_ioqpairs=4", "max_ioqpairs=4,msix_qsize=1",
                                     "max_ioqpairs=4,msix_qsize=2", "max_ioqpairs=4,msix_qsize=3", "mdts=1", "mdts=0",
                                     "mqes=1", "mqes=7", "max_ioqpairs=1,aerl=0", "use-intel-id=on"])
def test_limits(name, options, tmp_path, monkeypatch):
    if options.startswith("mqes"):  # QEMU 7.2 cannot limit the size of queues
        if not os.access(QEMU10, os.X_OK):
            pytest.skip("no QEMU 10 here: VMOS_QEMU10 names its qemu-system-x86_64")
        name = "q35"
        monkeypatch.setitem(QEMU, "x64", QEMU10)
    disk = make_disk(tmp_path / "disk", 8 << 20)
    one = Load("mixed", count=300, depth=70, size=16 << 10, span=2 << 20, skew=512)
    with prompt(MACHINES[name], *nvme(disk, options="," + options), smp=4) as guest:
        load.run(guest, "nvme0n1", one)
        said = re.search(r"(\d+) queues of (\d+)", guest.text)
        most = int((re.search(r"max_ioqpairs=(\d)", options) or "x4")[1]) if "=" in options else 4
        vectors = int(match[1]) if (match := re.search(r"msix_qsize=(\d)", options)) else 65
        assert 1 <= int(said[1]) <= min(most, max(1, vectors - 1)), guest.text
        guest.send("poweroff\r")
        guest.finish()
    one.check(disk)


@pytest.mark.parametrize("name", MESSAGES if LONG else ["gicv3"])
def test_namespaces_and_controllers(name, tmp_path):
    """Namespaces 1, 7 and 3 of one controller, the last with blocks of 4 KiB; a second controller with one."""
    disks = {n: make_disk(tmp_path / f"disk{n}", 4 << 20) for n in ("1", "7", "3", "x")}
    drives = [part for n in disks for part in ("-drive", f"if=none,id=d{n},format=raw,cache=unsafe,file={disks[n]}")]
    with prompt(MACHINES[name], *drives, "-device", "nvme,id=nv0,serial=A",
                "-device", "nvme-ns,bus=nv0,drive=d1,nsid=1", "-device", "nvme-ns,bus=nv0,drive=d7,nsid=7",
                "-device", "nvme-ns,bus=nv0,drive=d3,nsid=3,logical_block_size=4096,physical_block_size=4096",
                "-device", "nvme,serial=B,drive=dx") as guest:
        assert re.findall(r"(nvme\d+n\d+): 4 MiB in blocks of (\d+)", guest.text) == \
            [("nvme0n1", "512"), ("nvme0n3", "4096"), ("nvme0n7", "512"), ("nvme1n1", "512")]
        assert "serial A" in guest.text and "serial B" in guest.text and "12 MiB in 3 namespaces" in guest.text
        loads = [(n, disk, Load("mixed", count=200, span=2 << 20, seed=seed)) for seed, (n, disk) in
                 enumerate((("1", "nvme0n1"), ("3", "nvme0n3"), ("7", "nvme0n7"), ("x", "nvme1n1")), 20)]
        for _, disk, one in loads:
            load.run(guest, disk, one)
        guest.send("poweroff\r")
        guest.finish()
    for n, _, one in loads:
        one.check(disks[n])


def write_gpt(path, block_size, *partitions):
    """A partition table, primary and backup, as sgdisk can write it for blocks of 512 bytes only; each partition is (name,
    first block, last block)."""
    last = os.path.getsize(path) // block_size - 1
    data, disk = uuid.UUID("48d7f1b5-c0bb-5d62-96f7-fbdb878ce180"), uuid.UUID(int=1)
    entries = b"".join(struct.pack("<16s16sQQQ72s", data.bytes_le, uuid.UUID(int=2 + n).bytes_le, first, end, 0,
                                   name.encode("utf-16le")) for n, (name, first, end) in enumerate(partitions))
    entries = entries.ljust(128 * 128, b"\0")
    blocks = len(entries) // block_size

    def header(here, there, table):
        head = struct.pack("<8sIIIIQQQQ16sQIII", b"EFI PART", 0x10000, 92, 0, 0, here, there, 2 + blocks,
                           last - 1 - blocks, disk.bytes_le, table, 128, 128, zlib.crc32(entries))
        return head[:16] + struct.pack("<I", zlib.crc32(head)) + head[20:]

    protective = bytes(446) + struct.pack("<BBBBBBBBII", 0, 0, 2, 0, 0xee, 255, 255, 255, 1, last) + bytes(48) + b"\x55\xaa"
    with open(path, "r+b") as file:
        for at, what in ((0, protective), (1, header(1, last, 2)), (2, entries), (last - blocks, entries),
                         (last, header(last, 1, last - blocks))):
            file.seek(at * block_size)
            file.write(what)
    return path


@pytest.mark.parametrize("name", MESSAGES if LONG else ["q35"])
def test_partitions(name, tmp_path):
    """Two controllers and a namespace of 4 KiB blocks, all with partitions: listed, and loads stay within theirs."""
    small, large = make_disk(tmp_path / "small", 16 << 20), make_disk(tmp_path / "large", 16 << 20)
    places = {small: (512, 2048, 8192), large: (4096, 256, 1024)}
    for path, (size, first, second) in places.items():
        write_gpt(path, size, ("one", first, second - 1), ("two", second, second + (4 << 20) // size - 1))
    before = {path: path.read_bytes() for path in places}
    loads = [("nvme0n1p1", small, 1, Load("mixed", count=300, span=1 << 20, seed=6)),
             ("nvme1n4p1", large, 1, Load("all", count=300, span=1 << 20, first=8, seed=7)),
             ("nvme1n4p2", large, 2, Load("write", count=100, span=2 << 20, first=512, size=16 << 10, seed=8))]
    with prompt(MACHINES[name], *nvme(small), "-device", "nvme,id=nv1,serial=L",
                "-drive", f"if=none,id=d1,format=raw,cache=unsafe,discard=unmap,file={large}", "-device",
                "nvme-ns,bus=nv1,drive=d1,nsid=4,logical_block_size=4096,physical_block_size=4096") as guest:
        said = guest.command_line("disks")
        for disk, size, serial, p1 in (("nvme0n1", 512, "S-d0", "3 MiB"), ("nvme1n4", 4096, "L", "3 MiB")):
            assert re.search(rf'^{disk} +16 MiB +{size}  GPT, serial {serial}\n +{disk}p1 +{p1} +vmos data "one"\n'
                             rf' +{disk}p2 +4 MiB +vmos data "two"$', said, re.M), said
        for disk, _, _, one in loads:
            load.run(guest, disk, one)
        beyond = Load("write", span=4096, first=(3 << 20) // 512, count=2)
        assert "first lies behind the end" in guest.command_line(beyond.command("nvme0n1p1"))
        guest.send("poweroff\r")
        guest.finish()
    for _, path, number, one in loads:
        size = places[path][0]
        one.check(path, size, at=places[path][number] * size)
    for path, (size, first, _) in places.items():
        after, table, end = path.read_bytes(), first * size, len(before[path]) - 5 * size
        assert after[:table] == before[path][:table] and after[end:] == before[path][end:]


@pytest.mark.parametrize("name", ["q35", "gicv2", "gicv3", "imsic"])
def test_a_vector_for_each_queue(name, tmp_path):
    """On four CPUs there are four pairs of queues, and each one's message goes to a CPU of its own."""
    disk = make_disk(tmp_path / "disk", 8 << 20)
    one = Load("mixed", count=600, span=1 << 20)
    with prompt(MACHINES[name], *nvme(disk), smp=4) as guest:
        load.run(guest, "nvme0n1", one)
        assert "4 queues of 255" in guest.text, guest.text
        arrived = re.findall(r"^interrupt (\d): (\d+) arrived", guest.command_line("devices nvme0"), re.M)
        assert [index for index, _ in arrived] == list("01234") and all(int(count) > 0 for _, count in arrived), guest.text
        routes = re.findall(r"^route \d+: nvme0, message(?: to CPU (\d))?, open, (\d+) taken", guest.command_line("irq"), re.M)
        assert [cpu for cpu, _ in routes] == ["", "", "1", "2", "3"], guest.text  # the boot CPU's is not said
        assert [count for _, count in routes] == [count for _, count in arrived], guest.text
        guest.send("poweroff\r")
        guest.finish()
    one.check(disk)


@pytest.mark.parametrize("name", MESSAGES if LONG else ["imsic"])
def test_last_block_of_three_tib(name, tmp_path):
    size = 3 << 40
    disk = make_disk(tmp_path / "disk", size)
    one = Load("write", count=5, size=512, span=512, first=size // 512 - 1, seed=3)
    with prompt(MACHINES[name], *nvme(disk)) as guest:
        assert "nvme0n1: 3 TiB in blocks of 512" in guest.text or "3072 GiB" in guest.text, guest.text
        load.run(guest, "nvme0n1", one)
        guest.send("poweroff\r")
        guest.finish()
    one.check(disk)
    assert disk.stat().st_blocks * 512 < 1 << 20


# ---- What goes wrong behind the controller ---------------------------------------------------------------------------


def faulty(path, kind, sector=None, name="d0"):
    """A disk that fails one kind of operation, at one sector of 512 bytes or everywhere."""
    error = {"event": "none", "iotype": kind, "errno": 5, "once": False, **({} if sector is None else {"sector": sector})}
    node = {"driver": "raw", "node-name": name, "file": {
        "driver": "blkdebug", "image": {"driver": "file", "filename": str(path)}, "inject-error": [error]}}
    return ["-blockdev", json.dumps(node), "-device", f"nvme,serial=S-{name},drive={name}"]


@pytest.mark.parametrize("name", MESSAGES if LONG else ["q35"])
@pytest.mark.parametrize("kind", ["read", "write", "flush"])
def test_errors(kind, name, tmp_path):
    """One bad sector, or a cache that cannot be flushed: said, counted, and nothing else disturbed."""
    disk, other = make_disk(tmp_path / "disk", 8 << 20), make_disk(tmp_path / "other", 8 << 20)
    bad = 10
    one = Load("mixed", count=600, span=256 << 10, seed=2)
    with prompt(MACHINES[name], *faulty(disk, kind, None if kind == "flush" else 8 * bad), *nvme(other, "d1")) as guest:
        text = load.run(guest, "nvme0n1", one, failed=None)
        failed = int(re.search(r"(\d+) failed,", text)[1])
        if kind == "flush":
            assert failed == int(re.search(r"(\d+) flushed", text)[1]) > 0, text
        else:
            assert 0 < failed < 40 and f"at block {8 * bad}: I/O error" in text, text
        reason = {"read": "unrecovered read error (2/81)", "write": "write fault (2/80)", "flush": ""}[kind]
        assert re.search(rf"nvme0n1: {kind} of \d+ blocks at \d+ failed: .*{re.escape(reason)}", guest.text), guest.text
        assert "reset" not in guest.text
        load.run(guest, "nvme1n1", one)
        guest.send("poweroff\r")
        guest.finish()
    one.check(disk, may_differ={bad} if kind == "write" else ())
    one.check(other)


@pytest.mark.skipif(not have("qemu-nbd"), reason="there is no qemu-nbd")
@pytest.mark.parametrize("name,seconds", [("microvm-pcie", 3), ("gicv3", 7)] + (
    [("microvm-pcie", 7), ("gicv3", 3), ("imsic", 3), ("imsic", 7), ("plic", 7)] if LONG else []))
def test_stall(name, seconds, tmp_path):
    """The server behind the disk stops for longer than a deadline: the driver asks for an abort, then resets the
    controller, and when the server goes on every byte is right. Not on q35 with an initial ramdisk: SeaBIOS keeps its
    NVMe queues where QEMU has put that."""
    on = MACHINES[name]
    disk, socket = make_disk(tmp_path / "disk", 8 << 20), tmp_path / "s"
    conf = tmp_path / "conf"
    conf.mkdir()
    (conf / "vmos.conf").write_text("driver nvme timeout=2s\n")
    subprocess.run([ROOT / "tools/make-initrd", conf, tmp_path / "initrd"], check=True)
    server = subprocess.Popen(["qemu-nbd", "-f", "raw", "-k", str(socket), "--cache=unsafe", str(disk)])
    try:
        deadline = time.monotonic() + 20
        while not socket.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        with prompt(on, "-drive", f"if=none,id=d0,format=raw,file=nbd+unix:///?socket={socket}",
                    "-device", "nvme,serial=S,drive=d0", initrd=tmp_path / "initrd",
                    kernel=on.flat if on.arch == "arm64" else None) as guest:
            before, one = Load("mixed", count=200, span=1 << 20), Load("mixed", count=3000, span=2 << 20, first=4096, seed=4)
            load.run(guest, "nvme0n1", before)
            start = len(guest.text)
            os.kill(server.pid, signal.SIGSTOP)
            guest.send(one.command("nvme0n1") + "\r")
            time.sleep(seconds)
            os.kill(server.pid, signal.SIGCONT)
            guest.wait_for(r"^iotest nvme0n1: 0 failed, 0 wrong", 60, start)
            assert "and the controller is alive: it never finished it; it is asked to abort it" in guest.text[start:]
            resets = guest.text.count("neither carries out a command nor aborts it; it is reset")
            assert resets == (seconds > 4), guest.text
            guest.send("poweroff\r")
            guest.finish()
        before.check(disk)
        one.check(disk)
    finally:
        os.kill(server.pid, signal.SIGCONT)
        server.terminate()
        server.wait()


def what_was_done(trace, start=0):
    """What the controllers saw: enabled, disabled, shutdown, and from when on their function is master or quiet."""
    master, words = None, {"pci_nvme_mmio_start_success": "enabled", "pci_nvme_mmio_stopped": "disabled",
             "pci_nvme_mmio_shutdown_set": "shutdown"}
    found = []
    for line in trace.read_text()[start:].splitlines():
        event = line.split()[0]
        if event in words:
            found.append(words[event])
        elif match := re.match(r"pci_cfg_write nvme \S+ @0x4 <- 0x(\w+)", line):
            now = "master" if int(match[1], 16) & 4 else "quiet"
            found += [now] if now != master else []
            master = now
    return found


TRACE = tuple(part for event in ("pci_nvme_mmio_start_success", "pci_nvme_mmio_stopped", "pci_nvme_mmio_shutdown_set",
                                 "pci_cfg_write") for part in ("-trace", event))


@pytest.mark.parametrize("name,slow", [("q35", True), *((name, False) for name in MESSAGES)])
def test_unplugged_in_mid_io(name, slow, tmp_path):
    """device_del while a load runs: what is in flight may come to its end unless the disk is slow, all else ends with an
    error and the load with a sentence; the controller is shut down and disabled, its memory freed, its slot switched off;
    the disk beside it keeps every byte. Of a request that a reset has ended QEMU keeps a reference to the controller, so
    that only the fast disk's DEVICE_DELETED comes."""
    victim, other = make_disk(tmp_path / "victim", 8 << 20), make_disk(tmp_path / "other", 8 << 20)
    before, after = Load("mixed", count=200, span=1 << 20), Load("all", count=300, span=1 << 20, first=4096, seed=4)
    trace = tmp_path / "trace"
    with Guest(MACHINES[name], "-device", "pcie-root-port,id=port1,chassis=1,slot=1",
               *nvme(victim, "d1", ",bus=port1,id=victim", f",throttling.iops-total={10 if slow else 200}"), *nvme(other),
               append="loglevel=debug then=prompt",
               extra=(*NATIVE.get(name, ()), "-qmp", f"unix:{tmp_path}/qmp,server=on,wait=off", *TRACE, "-D", trace)) as guest:
        guest.wait_for(PROMPT)
        gone, stays = ("nvme1", "nvme0") if "nvme1: QEMU NVMe Ctrl, serial S-d1" in guest.text else ("nvme0", "nvme1")
        load.run(guest, f"{stays}n1", before)
        start, traced = len(guest.text), len(trace.read_text())
        control = Control(tmp_path / "qmp")
        try:
            guest.send(f"iotest {gone}n1 mixed count=100000 depth=64\r")
            time.sleep(1)
            control.command("device_del", id="victim")
            if not slow:
                control.deleted("victim")
        finally:
            control.close()
        ended = guest.wait_for(
            r"^iotest \S+: (\d+) failed, 0 wrong; the disk was taken away, and the rest was not tried", 60, start)
        guest.wait_for(PROMPT, start=start)
        said = guest.text[start:]
        assert 1 <= int(ended[1]) <= 64, said
        for part in ("the button of its slot was pressed", "its function was reset and has its configuration again",
                     f"{gone}: has left the machine; it is not started again"):
            assert part in said, said
        assert re.search(r"the first to fail was that at block \d+: revoked", said), said
        assert "quarantine" not in said and "panic" not in said and "not confirmed" not in said, said
        assert [done for done in what_was_done(trace, traced) if done != "master"][:3] == ["shutdown", "disabled", "quiet"]
        row = re.search(rf"^{gone} +gone .*$", guest.command_line("devices"), re.M)
        assert row and row[0].split()[-1] == "0", guest.text[start:]
        assert "\ndma-lent: 0 bytes in 0 loans" in guest.command_line(f"devices {gone}")
        assert f"{gone}n1" not in guest.command_line("disks")
        assert "name a disk" in guest.command_line(f"iotest {gone}n1 read")
        load.run(guest, f"{stays}n1", after)
        assert "selftest nvme: pass  1 disks of 1 controllers" in guest.command_line("selftest nvme")
        guest.send("poweroff\r")
        guest.finish()
    before.check(other)
    after.check(other)


# ---- Firmware and the machine's end ------------------------------------------------------------------------------------


def check_order(trace):
    """Firmware had it enabled; it is disabled before it may reach memory again; in the end it is told, and disabled."""
    done = what_was_done(trace)
    assert "enabled" in done[:-7], done
    assert done[-7:] == ["quiet", "disabled", "master", "enabled", "shutdown", "disabled", "quiet"], done


@pytest.mark.parametrize("name", ["ovmf", "aavmf-v3-acpi"] + (["aavmf-v2-tree", "edk2-rv64"] if LONG else []))
def test_firmware_leaves_it_running(name, tmp_path):
    row = firmware.FIRMWARE[name]
    if row.missing:
        pytest.skip(row.missing)
    trace = tmp_path / "trace"
    volume = firmware.volume(tmp_path / "volume", row.arch, "cmdline loglevel=debug selftest=nvme then=poweroff\n")
    result = firmware.run(row, tmp_path, *firmware.disk("nvme", volume), extra=(*TRACE, "-D", trace))
    assert "nvme0: was left running by firmware and is reset" in result.text, result.explain()
    assert result.selftests()["nvme"][0] == "pass", result.explain()
    check_order(trace)


def test_seabios_leaves_it_running(tmp_path):
    trace = tmp_path / "trace"
    result = run(MACHINES["q35"], *nvme(make_disk(tmp_path / "disk", 8 << 20), options=",bootindex=1"),
                 append="loglevel=debug selftest=nvme then=poweroff", extra=(*TRACE, "-D", trace))
    assert "nvme0: was left running by firmware and is reset" in result.text, result.explain()
    assert result.selftests()["nvme"][0] == "pass", result.explain()
    check_order(trace)


# ---- What a read costs -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MESSAGES)
def test_figures(name, tmp_path, capsys):
    """How many reads come back together depends on the host's threads, so the best of three is held. While the guest
    sleeps its clock keeps to the host's: with sleep=off it would jump from deadline to deadline while the disk works."""
    count, trace = 4000, tmp_path / "trace"
    events = ("pci_nvme_mmio_doorbell_sq", "pci_nvme_mmio_doorbell_cq", "pci_nvme_irq_msix")
    found, before = [], (0, 0)
    with prompt(MACHINES[name], *nvme(make_disk(tmp_path / "disk", 64 << 20)),
                extra=("-icount", "shift=0", *(part for event in events for part in ("-trace", event)),
                       "-D", str(trace))) as guest:
        for attempt in range(3):
            text = load.run(guest, "nvme0n1", Load("read", count=count, span=32 << 20, seed=5 + attempt))
            traced = trace.read_text()
            now = (len(re.findall(r"doorbell_[sc]q .*[sc]qid [1-9]", traced)),
                   len(re.findall(r"irq_msix .*vector [1-9]", traced)))
            took, asleep = map(int, re.search(r"(\d+) us, of which (\d+) us asleep", text).groups())
            found.append(((now[0] - before[0]) / count, (now[1] - before[1]) / count, (took - asleep) * 1000 / count))
            before = now
    doorbells, interrupts, instructions = min(found)
    what = f"{name}: NVMe read of 4 KiB at depth 32"
    figures.record(f"{what}: doorbell writes", round(doorbells, 3), "each", "at most 0.1")
    figures.record(f"{what}: interrupts", round(interrupts, 3), "each", "at most 0.25")
    figures.record(f"{what}: instructions, with what the load itself does", round(instructions), "each")
    with capsys.disabled():
        print(f"\n{what}: {doorbells:.3f} doorbell writes, {interrupts:.3f} interrupts, {instructions:.0f} instructions")
    assert 0 < doorbells <= 0.1 and 0 < interrupts <= 0.25
