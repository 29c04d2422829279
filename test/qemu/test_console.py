"""The prompt, typed at from outside as a person would: every command, editing, history, and mistakes."""
import re
import time

import pytest

from guest import MACHINES, PROMPT, Guest, blk, make_disk, net, rng

COMMANDS = ["help", "machine", "pci", "devices", "disks", "irq", "mem", "ledger", "cpu", "time", "log", "trace",
            "selftest", "iotest", "ps", "handles", "kill", "spawn", "restart", "audit", "page", "reboot", "poweroff",
            "panic"]
NAMES = ["q35", "microvm", "gicv2", "gicv3", "plic", "aplic", "imsic"]


def start(name, tmp_path, append="then=prompt"):
    on = MACHINES[name]
    transport = "pci-modern" if on.pci else "mmio-legacy"
    return Guest(on, *net(transport), *blk(transport, make_disk(tmp_path / "disk")), *rng(transport), append=append)


@pytest.mark.parametrize("name", NAMES)
def test_commands(name, tmp_path):
    with start(name, tmp_path) as guest:
        guest.wait_for(PROMPT)
        said = guest.command_line("help")
        assert [line.split()[0] for line in said.split("\n") if line.startswith("  ")] == COMMANDS
        said = guest.command_line("machine").split("\n")
        assert re.fullmatch(r"CPUs: 1, memory: 12\d MiB, devices: \d+ of which vmos drives 3", said[0]), said[0]
        assert any(line.startswith("cpu 0: ") for line in said)
        said = guest.command_line("devices")
        for device in ("virtio-net0", "virtio-blk0", "virtio-rng0"):
            assert re.search(rf"^{device} +running", said, re.M), said
        assert "epoch: 1" in guest.command_line("devices virtio-blk0")
        assert "there is no device" in guest.command_line("devices sofa0")
        for command in ("irq", "mem", "cpu", "time", "pci"):
            said = guest.command_line(command)
            assert said.strip(), f"{command} says nothing"
        assert guest.command_line("log 3").count("\n") == 2
        assert "1 passed, 0 failed" in guest.command_line("selftest heap")
        assert "is not a command" in guest.command_line("sing")
        wide = [line for line in guest.text.replace("\r", "").split("\n")
                if len(re.sub(r"\x1b\[\d*[A-Z]", "", line)) > 80 and not line.startswith(("[", "device", "selftest"))]
        assert not wide, wide
        guest.send("poweroff\r")
        result = guest.finish(30)
        assert result.status == (33 if MACHINES[name].arch == "x64" else 0)


@pytest.mark.parametrize("name", ["q35", "gicv3", "imsic"])
def test_editing(name, tmp_path):
    with start(name, tmp_path) as guest:
        guest.wait_for(PROMPT)
        # "tixe", left twice, backspace ("te" is left with the cursor after t), and so on until "time" stands there
        assert "uptime" in guest.command_line("tixe\x1b[D\x1b[D\x7fi\x1b[C\x7fm\x05\x15time")
        start_at = len(guest.text)
        assert "uptime" in guest.command_line("\x1b[A"), "arrow up recalls the last line"
        assert "time" in guest.text[start_at:]
        guest.send("nonsense\x03")
        guest.wait_for(r"nonsense\^C\r\nvmos> $")
        assert "is not a command" not in guest.text
        assert "is not a command" in guest.command_line("x" * 200), "a line that is too long is cut, not lost"


@pytest.mark.parametrize("name", ["q35", "microvm", "gicv3", "imsic"])
def test_reboot(name, tmp_path):
    """QEMU runs with -no-reboot: a restart ends it."""
    with start(name, tmp_path, append="then=reboot") as guest:
        result = guest.finish(30)
        assert "restarting the machine" in result.text
        assert result.status == 0


@pytest.mark.parametrize("name", ["q35", "gicv3", "imsic"])
def test_flood(name, tmp_path):
    """More input than there is room for: what is lost is said, no half line is carried out, and the prompt lives on."""
    with start(name, tmp_path) as guest:
        guest.wait_for(PROMPT)
        guest.send("help\r" * 1000)
        match = guest.wait_for(r"^\d+ characters came faster than they could be handled and are lost", 60)
        assert "is not a command" not in guest.text[:match.start()]
        # A prompt at the end of what has come so far need not be the last one: only Ctrl-C's own line is. What is typed
        # while there is no room is lost, Ctrl-C too, so it is typed until it is seen.
        guest.wait_for(r"^vmos> \S*\Z", 60, match.end())
        for _ in range(60):
            guest.send("\x03")
            try:
                guest.wait_for(r"\^C\r\nvmos> \Z", 1, match.end())
                break
            except AssertionError:
                continue
        assert "uptime" in guest.command_line("time")


@pytest.mark.parametrize("name", ["q35", "gicv2", "plic"])
def test_log_lines_at_the_prompt(name, tmp_path):
    """A wire is pulled and plugged while somebody types: both are said, and the half-typed line is drawn again."""
    with Guest(MACHINES[name], *net("pci-modern", options=",id=nic"), append="then=prompt",
               extra=("-monitor", f"unix:{tmp_path}/monitor,server=on,wait=off")) as guest:
        guest.wait_for(PROMPT)
        guest.send("tim")
        guest.wait_for(r"^vmos> tim$")
        guest.monitor("set_link nic off")
        guest.wait_for(r"\x1b\[K\[ .*\] virtio-net0: the link is down\r\n\rvmos> tim\x1b\[K\Z")
        assert "uptime" in guest.command_line("e")
        assert "fail  virtio-net0: the link is down" in guest.command_line("selftest net")
        time.sleep(1.1)  # a link that flaps is told of once a second
        guest.monitor("set_link nic on")
        guest.wait_for(r"virtio-net0: the link is up\r\n\rvmos> \x1b\[K\Z")
        assert "1 passed, 0 failed" in guest.command_line("selftest net")


@pytest.mark.parametrize("name", ["q35", "gicv3", "imsic"])
def test_many_unknown_words(name):
    """The first line is the first line, and the log is not flushed by words that are for somebody else."""
    words = "x" * 300 + " then=" + " then=".join("y" * 20 for _ in range(12)) + "".join(f" w{i}" for i in range(60))
    with Guest(MACHINES[name], append=f"then=poweroff {words}") as guest:
        lines = [line for line in guest.finish(30).lines if not line.startswith(("OpenSBI", " ")) or "vmos" in line]
    first = next(line for line in lines if line.startswith("vmos"))
    warned = [line for line in lines[lines.index(first) + 1:] if "is not known and has no effect" in line]
    assert 8 <= len(warned) <= 20 and max(map(len, warned)) < 140, warned
    assert any(re.search(r"options: 5\d more words on the command line are not known", line) for line in lines)


def test_first_line_is_never_lost():
    """arm64 has no serial port before the tree is read: a log that runs over until then says so, behind the first line."""
    with Guest(MACHINES["gicv3"], append="then=poweroff " + "then=a " * 140) as guest:
        lines = guest.finish(30).lines
    assert lines[0].startswith("vmos ") and lines[0].endswith("booted by fdt"), lines[:3]
    assert re.fullmatch(r"\.\.\. \d+ bytes of the log were lost before there was a serial port \.\.\.", lines[1])
    assert lines[2].startswith("[    0."), lines[2]
    assert "ready" in lines


def test_nothing_named_is_everything():
    """A list of self-tests that names none runs them all: nothing run cannot look like success."""
    with Guest(MACHINES["q35"], append="selftest=, then=poweroff") as guest:
        assert re.search(r"^selftest: 9 passed, 0 failed, \d+ skipped\r?$", guest.finish(60).text, re.M)


def test_unknown_words(tmp_path):
    with start("q35", tmp_path, append="sofa=blue then=tomorrow loglevel=debug then=prompt") as guest:
        guest.wait_for(PROMPT)
        assert 'options: "sofa=blue" on the command line is not known' in guest.text
        assert "then=tomorrow is not known" in guest.text


@pytest.mark.parametrize("name", ["q35", "gicv3", "imsic"])
def test_unknown_selftest_fails(name):
    with Guest(MACHINES[name], append="selftest=heap,sofa then=poweroff") as guest:
        result = guest.finish(30)
        assert "selftest sofa: fail  there is no such self-test" in result.lines
        assert "selftest: 1 passed, 1 failed, 0 skipped" in result.lines
        assert result.status == {"x64": 35, "arm64": 0, "rv64": 1}[MACHINES[name].arch]
