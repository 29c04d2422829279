"""The prompt, typed at from outside as a person would: every command, editing, history, and mistakes."""
import re

import pytest

from guest import MACHINES, Guest, blk, make_disk, net, rng

COMMANDS = ["help", "machine", "pci", "devices", "irq", "mem", "cpu", "time", "log", "selftest", "reboot", "poweroff",
            "panic"]
NAMES = ["q35", "microvm", "gicv2", "gicv3", "plic", "aplic", "imsic"]


def start(name, tmp_path, append="then=prompt"):
    on = MACHINES[name]
    transport = "pci-modern" if on.pci else "mmio-legacy"
    return Guest(on, *net(transport), *blk(transport, make_disk(tmp_path / "disk")), *rng(transport), append=append)


@pytest.mark.parametrize("name", NAMES)
def test_commands(name, tmp_path):
    with start(name, tmp_path) as guest:
        guest.wait_for(r"^vmos> $")
        said = guest.command_line("help")
        assert [line.split()[0] for line in said.split("\n") if line.startswith("  ")] == COMMANDS
        assert "cpu" in guest.command_line("machine")
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
        guest.wait_for(r"^vmos> $")
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


def test_unknown_words(tmp_path):
    with start("q35", tmp_path, append="sofa=blue then=tomorrow loglevel=debug then=prompt") as guest:
        guest.wait_for(r"^vmos> $")
        assert 'options: "sofa=blue" on the command line is not known' in guest.text
        assert "then=tomorrow is not known" in guest.text


@pytest.mark.parametrize("name", ["q35", "gicv3", "imsic"])
def test_unknown_selftest_fails(name):
    with Guest(MACHINES[name], append="selftest=heap,sofa then=poweroff") as guest:
        result = guest.finish(30)
        assert "selftest sofa: fail  there is no such self-test" in result.lines
        assert "selftest: 1 passed, 1 failed, 0 skipped" in result.lines
        assert result.status == {"x64": 35, "arm64": 0, "rv64": 1}[MACHINES[name].arch]
