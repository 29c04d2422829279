"""tools/read-trace: a console's text becomes a time line with durations and totals."""
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TEXT = """vmos> trace 128
trace of CPU 0: the last 9 of 900 events\r
  0 1.000000000 switch    0 7\r
  0 1.000001000 call      7 0\r
  0 1.000001500 result    7 0\r
  0 1.000002000 call      7 7\r
  0 1.000002250 block     6 2\r
  0 1.000002500 hand-over 7 8\r
  0 1.000006500 hand-over 8 7\r
  0 1.000007000 call      7 99\r
  0 1.000008000 switch    7 0\r
trace of CPU 1: the last 3 of 3 events
  1 1.000003000 interrupt 5 41
  1 1.000004000 grant     3 0x1000002
  1 1.000005000 fault     9 0xdead0000
[    1.500000] this is no event: 1 1.0 call 1 1
"""


def run(text):
    return subprocess.run([ROOT / "tools/read-trace"], input=text, capture_output=True, text=True)


def test_time_line():
    done = run(TEXT)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.split("\n")
    body = lines[:lines.index("")]
    assert len(body) == 12
    assert [float(line.split()[0]) for line in body] == sorted(float(line.split()[0]) for line in body)
    assert "CPU 1   interrupt  interrupt: route 5, 41 before" in body[6]
    assert body[2].endswith("thread 7: abi_version: ok after 0.500 us")
    assert body[4].endswith("thread 6: waits: reply")
    assert "fault      thread 9: faults at 0xdead0000" in body[8]
    assert body[9].endswith("gives the CPU to thread 7, back from ipc_call: returned after 4.500 us")
    assert body[10].endswith("thread 7: call 99")
    totals = "\n".join(lines[lines.index(""):])
    assert "thread 7: ran 4.000 us, got a CPU 2 times" in totals
    assert "  ipc_call: 1 times, 4.500 us on average, 4.500 us at most" in totals
    assert "thread 8: ran 4.000 us, got a CPU 1 times" in totals
    assert "CPU 0: threads had it for 8.000 us of 8.000 us, 100.0 %" in totals


def test_events_that_are_printed_twice_count_once():
    assert run(TEXT + TEXT).stdout == run(TEXT).stdout


def test_every_call_has_its_name():
    names = re.findall(r"^    CALL\((\d+), (\w+),", (ROOT / "include/vmos/abi.h").read_text(), re.M)
    assert len(names) > 20
    text = "".join(f"  0 1.{i:09} call {i + 1} {number}\n" for i, (number, _) in enumerate(names))
    lines = run(text).stdout.split("\n")
    assert [line.split(": ")[-1] for line in lines[:len(names)]] == [name for _, name in names]


def test_every_event_has_words():
    """What the kernel may print is known here: an event without words would be printed as it is."""
    names = re.findall(r'\[TRACE_\w+\] = "([\w-]+)"', (ROOT / "kernel/trace.c").read_text())
    events = re.search(r"enum trace_event \{(.*?)\};", (ROOT / "kernel/trace.h").read_text(), re.S)[1]
    assert len(names) == len(re.findall(r"TRACE_\w+(?=,)", events)) - 1  # all but TRACE_NOTHING
    for name in names:
        assert f"{name} 1 2" not in run(f"  0 1.000000000 {name} 1 2\n").stdout


def test_nothing_to_read():
    done = run("vmos> help\n")
    assert done.returncode == 1 and "no event" in done.stderr
