"""Processes at the console: ps, handles, kill, spawn, restart, audit, pages and Ctrl-C; crashes, and what is said of them;
what a process writes."""
import re
import socket
import subprocess
import time

import pytest

from guest import MACHINES, PROMPT, ROOT, Guest
from programs import Prompt, booted, ramdisk

NAMES = ["q35", "gicv3", "plic"]
LOG = r"^(?:\r|\x1b\[K|vmos> )*\[ *\d+\.\d{6}\] "


def said(guest, pattern, start=0, timeout=30):
    """A line of the log, wherever the prompt stands."""
    return guest.wait_for(LOG + pattern, timeout, start)


def row_of(guest, name):
    """The newest of that name."""
    listed = guest.command_line("ps").split("\n")
    assert listed[0].split() == ["ID", "NAME", "STATE", "THREADS", "CPU", "ms", "KiB", "OF", "KiB", "HANDLES", "PRIO"]
    assert all(len(line) <= 80 for line in listed)
    return next((line.split() for line in reversed(listed[1:]) if line.split()[1:2] == [name]), None)


def audit(guest):
    """Its lines look like the log's."""
    start = len(guest.text)
    guest.command_line("audit")
    return guest.text[start:]


@pytest.mark.parametrize("name", NAMES)
def test_commands(name, tmp_path):
    with booted(name, tmp_path, ["writer"], smp=2) as guest:
        init = row_of(guest, "init")
        assert init[2] == "running" and int(init[3]) == 1
        assert re.search(r"^there is no process \"writer\"", guest.command_line("ps writer"))
        for command in ("handles", "kill", "spawn", "restart"):
            assert f"{command} wants" in guest.command_line(command)
        match = re.fullmatch(r"writer\[(\d+)\] runs", guest.command_line("spawn writer wait").strip())
        assert match and row_of(guest, "writer")[0] == match[1]
        assert f"process: writer[{match[1]}]\nstate: running" in guest.command_line("ps writer")
        assert guest.command_line(f"ps {match[1]}").startswith("process: writer")

        held = [line.split() for line in guest.command_line("handles writer").split("\n")[1:]]
        console = next(line for line in held if line[2] == "console")
        assert console[3][1] == "w" and console[4] == "current"
        assert next(line for line in held if line[2] == "process")[5] == f"writer[{match[1]}]"
        assert [line[2] for line in (l.split() for l in guest.command_line("handles init").split("\n")[1:])].count(
            "endpoint") >= 1

        start = len(guest.text)
        assert guest.command_line("kill writer") == f"writer[{match[1]}] is ended"
        said(guest, r"init\[1\]: writer was ended", start)  # else init would end it once more, to restart it
        assert (row_of(guest, "writer") or [0, 0, "ended"])[2] in ("ending", "ended")
        assert "killed at the console" in guest.command_line(f"ps {match[1]}") or row_of(guest, "writer") is None
        again = re.search(r"writer\[(\d+)\] runs", guest.command_line("restart writer"))
        assert int(again[1]) > int(match[1])
        recorded = audit(guest)
        for event in (r"the kernel created init\[1\]", rf"init\[1\] created writer\[{match[1]}\]",
                      rf"init\[1\] gave writer\[{match[1]}\]: console -w",
                      rf"the kernel ended writer\[{match[1]}\], as asked at the console"):
            assert re.search(event, recorded), f"{event}\n{recorded}"


@pytest.mark.parametrize("name", ["q35"])
def test_kill_of_what_is_to_be_started_again(name, tmp_path):
    with booted(name, tmp_path, ["crash"], "service crash args=read start=asked restart=on-crash backoff=10s\n") as guest:
        guest.command_line("spawn crash")
        said(guest, r"init\[1\]: crash has crashed; it will be started again in 10000 ms \(1 of 5\)")
        start = len(guest.text)
        assert guest.command_line("kill crash") == "crash will not be started again"
        said(guest, r"init\[1\]: crash will not be started again", start)
        assert "there is no process" in guest.command_line("kill crash")
        assert " runs" in guest.command_line("spawn crash")


def settled_heap(guest):
    """What init takes when it begins, and what is left of the last one, comes and goes for a moment."""
    heaps = []
    while len(heaps) < 3 or len(set(heaps[-3:])) > 1:
        assert len(heaps) < 50, heaps
        heaps.append(re.search(r"heap: (\d+) bytes in (\d+) blocks", guest.command_line("mem")).groups())
    return heaps[-1]


@pytest.mark.parametrize("name", NAMES)
def test_init_is_started_again(name, tmp_path):
    """Three times, each with exactly the memory of before; then the system goes on without."""
    with booted(name, tmp_path) as guest:
        heaps = []
        for count in range(1, 4):
            start = len(guest.text)
            guest.command_line("kill init")
            said(guest, r"init: init has ended \(killed at the console, code 0\)", start)
            said(guest, rf"init: it is started again, {count} of 3 times", start)
            said(guest, r"init: bin/init runs as process", start)
            heaps.append(settled_heap(guest))
        assert heaps[1:] == heaps[:-1]
        start = len(guest.text)
        guest.command_line("kill init")
        said(guest, r"init: it was started again 3 times already and stays away; no process runs", start)
        assert "no init runs" in guest.command_line("spawn writer")
        assert guest.command_line("ps").endswith("no process runs")


@pytest.mark.parametrize("name", ["q35"])
def test_without_init(name, tmp_path):
    (tmp_path / "files").mkdir()
    (tmp_path / "files/vmos.conf").write_text("")
    subprocess.run([ROOT / "tools/make-initrd", tmp_path / "files", tmp_path / "none.img"], check=True)
    (tmp_path / "files/bin").mkdir()
    (tmp_path / "files/bin/init").write_bytes(b"\x7fELF" + bytes(100))
    subprocess.run([ROOT / "tools/make-initrd", tmp_path / "files", tmp_path / "broken.img"], check=True)
    for image, why in (("none.img", r"the initial ramdisk has no such file \(not found\)"),
                       ("broken.img", r"[a-z][^(]* \((invalid|not supported)\)")):
        with Guest(MACHINES[name], initrd=tmp_path / image, append="then=prompt") as guest:
            guest.wait_for(PROMPT)
            said(guest, rf"init: bin/init cannot be started: {why}; no process runs")
            assert guest.command_line("ps").endswith("no process runs")


CRASHES = {
    # argument: (what is said, the function that it is in)
    "read": (r"read of an unmapped address 0x20, a null pointer", "read_nothing"),
    "constant": (r"write to read-only memory 0x[0-9a-f]+", "write_constant"),
    "kernel": (r"write to (an unmapped address|read-only memory) 0xffffffff80000000, where no process has memory",
               "write_kernel"),
    "data": (r"execution of memory that is not executable 0x[0-9a-f]+", "run_data"),
    "nothing": (r"execution of an unmapped address 0x123456000", "run_nothing"),
    "nonsense": (r"[a-z].*?", "run_nonsense"),
    "stack": (r"write to an unmapped address 0x[0-9a-f]+, its stack has overflowed", "sink_deeper"),
}


@pytest.mark.parametrize("name", NAMES)
def test_crashes(name, tmp_path):
    # after three crashes of one name within ten seconds the next would be told in a line
    names = [f"crash{number}" for number in range((len(CRASHES) + 2) // 3)]
    with booted(name, tmp_path, [f"{program}=crash" for program in names], smp=2) as guest:
        for number, (way, (what, function)) in enumerate(CRASHES.items()):
            program, start = names[number // 3], len(guest.text)
            assert " runs" in guest.command_line(f"spawn {program} {way}") or way
            said(guest, rf"crash: {program}\[\d+\], thread \d+ on CPU [01]: {what}, instruction 0x[0-9a-f]+; it is ended", start)
            said(guest, rf"crash: {program}\[\d+\] held \d+ handles: .*; \d+ of \d+ KiB", start)
            told = guest.text[start:]
            assert re.search(rf"  (at|by) 0x[0-9a-f]+ {function}\+0x", told), told
            assert re.search(r"  by 0x[0-9a-f]+ main\+0x", told), told
            if way == "stack":
                assert re.search(r"\(\d+ times more\)", told)
                assert told.count("sink_deeper") < 6
            guest.command_line(f"kill {program}")


@pytest.mark.parametrize("name", ["q35", "gicv3", "plic"])
def test_what_is_spoilt_is_not_followed(name, tmp_path):
    """Frame pointers in a ring, and a program without the page that says where it is: told, and ended."""
    with booted(name, tmp_path, ["crash"]) as guest:
        for way in ("frames", "start"):
            start = len(guest.text)
            guest.command_line(f"spawn crash {way}")
            said(guest, r"crash: crash\[\d+\], thread \d+ on CPU 0: write to an unmapped address 0x20, a null pointer", start)
            said(guest, r"crash: crash\[\d+\] held", start)
            assert len(re.findall(r"crash:   by ", guest.text[start:])) <= 16
            guest.command_line("kill crash")
        assert "uptime" in guest.command_line("time")


@pytest.mark.parametrize("name", ["q35"])
def test_crashing_again_and_again(name, tmp_path):
    """The fourth within ten seconds is a line, and beyond 32 in all there is silence, which is told later."""
    with booted(name, tmp_path, ["crash"]) as guest:
        for _ in range(5):
            start = len(guest.text)
            guest.command_line("restart crash" if _ else "spawn crash read")
            said(guest, r"crash: crash\[\d+\], thread", start)
            guest.command_line("kill crash")
        assert len(re.findall(r"crash: crash\[\d+\] held", guest.text)) == 3
        assert len(re.findall(r"crash: crash\[\d+\], thread", guest.text)) == 5


@pytest.mark.parametrize("name", NAMES)
def test_a_crash_beside_other_threads(name, tmp_path):
    """Each of them does something else; it can be told only from before they were ended. Four of six have room."""
    line = "service crash threads=8 memory=512K start=asked"
    with booted(name, tmp_path, ["crash"], line, smp=2) as guest:
        start = len(guest.text)
        guest.command_line("spawn crash beside")
        said(guest, r"crash: crash\[\d+\], thread \d+ on CPU [01]: read of an unmapped address 0x20", start)
        said(guest, r"crash: crash\[\d+\] held", start)
        told = re.findall(r"crash:   thread (\d+): (.*?)\r?$", guest.text[start:], re.M)
        assert [int(number) for number, _ in told] == sorted((int(number) for number, _ in told), reverse=True)
        place = r"0x[0-9a-f]+ "
        for (_, what), expected in zip(told, [
                rf"(running on CPU [01], last seen at|ready, at) {place}(turn|system_thread_yield)\+0x.*",
                rf"waiting for its call to be received, at {place}system_ipc_call\+0x.*",
                rf"waiting for the answer to its call, at {place}system_ipc_call\+0x.*",
                rf"waiting for the answer to its call, at {place}system_ipc_call\+0x.*"], strict=True):
            assert re.fullmatch(expected, what), told
        assert re.search(r"crash:   and 2 more\r?$", guest.text[start:], re.M)


@pytest.mark.parametrize("name", NAMES)
def test_what_processes_write(name, tmp_path):
    ended = r"init\[1\]: writer has ended"  # else init refuses to start it again
    with booted(name, tmp_path, ["writer"], smp=2) as guest:
        guest.command_line("spawn writer forge")
        said(guest, r"writer\[\d+\]: one     two\?\[2J\?three\?\?four\r?$")
        said(guest, r"writer\[\d+\]: \[    0\.000001\] kernel: forged\r?$")
        said(guest, r"writer\[\d+\]: ready\r?$")
        said(guest, r"writer\[\d+\]: half\r?$")
        said(guest, ended)
        assert not re.search(LOG + "kernel: forged", guest.text, re.M)
        start = len(guest.text)
        guest.command_line("spawn writer refuse")
        said(guest, r"writer\[\d+\]: kernel memory: bad address", start)
        said(guest, r"writer\[\d+\]: nothing: bad address", start)
        said(guest, ended, start)
        recorded = audit(guest)
        assert re.search(r"writer\[\d+\] was refused: no such handle, 500 times", recorded), recorded
        assert re.search(r"writer\[\d+\] was refused: wrong type of object, 500 times", recorded), recorded
        start = len(guest.text)
        guest.command_line("spawn writer many")
        said(guest, r"writer\[\d+\]: 8 of 1024 empty lines were taken", start)
        said(guest, r"writer\[\d+\]: those were all", start)
        said(guest, ended, start)
        numbers = re.findall(r"writer\[\d+\]: line (\d+) of 100\r?$", guest.text[start:], re.M)
        assert [int(number) for number in numbers] == list(range(100))
        start = len(guest.text)
        guest.command_line("spawn writer flood")
        refused = said(guest, r"writer\[\d+\]: (\d+) of 20000 lines were refused", start, 60)
        told = len(re.findall(r"\]: line \d+ of a flood", guest.text[start:]))
        assert told == 20000 - int(refused[1]) and int(refused[1]) > 10000


class SlowPort(Prompt):
    """A serial port that takes 80 us for a byte, once `slow` is set, as those of clouds may."""
    slow = False

    def __init__(self, on, path, **options):
        self.socket = socket.socket(socket.AF_UNIX)
        self.path = path
        super().__init__(on, serial=("-serial", f"unix:{path},server=on,wait=on"), **options)

    def _read(self):
        for _ in range(500):
            try:
                self.socket.connect(str(self.path))
                break
            except OSError:
                time.sleep(0.02)
        while part := self.socket.recv(64 if self.slow else 4096):
            with self._changed:
                self.text += part.decode("latin-1")
                self._changed.notify_all()
            if self.slow:
                time.sleep(0.005)

    def send(self, text):
        self.socket.sendall(text.encode("latin-1"))

    def stop(self):
        super().stop()
        self.socket.close()


def test_a_slow_port_delays_nobody_else(tmp_path):
    """One CPU writes as many lines as it may, another unmaps pages that the first has to forget; where CPUs tell each
    other by interrupts, which are off while a line goes out. Nothing is waited for in vain, which would cost memory."""
    on = MACHINES["q35"]
    image = ramdisk(tmp_path, on.arch, ["writer"])
    with SlowPort(on, tmp_path / "port", initrd=image, append="then=prompt", smp=2) as guest:
        guest.wait_for(PROMPT)
        guest.slow = True
        guest.send("spawn writer forget\r")
        guest.wait_for(r"writer\[\d+\]: 5 pages were forgotten", 60)
        assert len(re.findall(r"writer\[\d+\]: \r", guest.text)) > 50
        assert "did not drop its translations" not in guest.text


@pytest.mark.parametrize("name", NAMES)
def test_the_prompt_lives_while_processes_spin(name, tmp_path):
    """Two at priority 0 on one CPU: the kernel's own thread goes first."""
    with booted(name, tmp_path, ["writer"]) as guest:
        guest.command_line("spawn writer spin")
        assert "uptime" in guest.command_line("time")
        row = row_of(guest, "writer")
        assert row[2] == "running" and row[-1] == "0" or int(row[-1]) >= 0
        assert "is ended" in guest.command_line("kill writer")


@pytest.mark.parametrize("name", ["q35", "plic"])
def test_pages(name, tmp_path):
    with booted(name, tmp_path) as guest:
        whole = guest.command_line("help").split("\n")
        assert len(whole) > 15
        assert "after every 23 lines" in guest.command_line("page on")
        assert "after every 5 lines" in guest.command_line("page 6")
        question = r"\r\x1b\[K-- more: Space, Enter for a line, q --\Z"

        start = len(guest.text)
        guest.send("help\r")
        guest.wait_for(question, 10, start)
        assert guest.text[start:].replace("\r", "").split("\n")[1:6] == whole[:5]
        start = len(guest.text)
        guest.send(" ")
        guest.wait_for(question, 10, start)
        start = len(guest.text)
        guest.send("\r")
        guest.wait_for(question, 10, start)
        assert guest.text[start:].replace("\r", "").replace("\x1b[K", "").split("\n")[0] == whole[10]
        guest.send("q")
        guest.wait_for(r"\.\.\.\r\nvmos> $", 10, start)
        assert whole[11] not in guest.text[start:]

        start = len(guest.text)
        guest.send("help\r")
        guest.wait_for(question, 10, start)
        guest.send("\x03")
        guest.wait_for(r"\^C\r\nvmos> $", 10, start)

        start = len(guest.text)
        guest.send("page off\r")
        guest.wait_for(r"without a pause\r\nvmos> $", 10, start)
        assert guest.command_line("help").split("\n") == whole
        assert "is no number" in guest.command_line("page 2")


@pytest.mark.parametrize("name", ["q35", "gicv3", "plic"])
def test_ctrl_c_ends_output(name, tmp_path):
    """What was typed before Ctrl-C goes with it: the second and third command are not carried out."""
    with booted(name, tmp_path) as guest:
        start = len(guest.text)
        guest.send("help\rtime\rmem\r\x03")
        guest.wait_for(r"\^C\r\nvmos> $", 10, start)
        assert "uptime" not in guest.text[start:] or "heap:" not in guest.text[start:]
        assert "uptime" in guest.command_line("time")
