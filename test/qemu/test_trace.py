"""The flight recorder: on from the first process on, read at the console and with a panic."""
import re
import subprocess
import time

import pytest

from guest import MACHINES, PROMPT, ROOT, Guest


@pytest.mark.parametrize("name,smp", [("q35", 2), ("gicv3", 1), ("imsic", 2)])
def test_trace(name, smp):
    with Guest(MACHINES[name], append="then=prompt", smp=smp) as guest:
        guest.wait_for(PROMPT)
        deadline = time.monotonic() + 20
        while not re.search(r" result +1 0$", said := guest.command_line("trace 128"), re.M):
            assert time.monotonic() < deadline, said  # until init has had an answer
        assert guest.command_line("trace no") == '"no" is no number of events'
        short = guest.command_line("trace 3")
        guest.send("panic\r")
        text = guest.finish(30).text.replace("\r", "")
    assert re.search(r"^trace of CPU \d: the last \d+ of \d+ events$", said, re.M), said
    done = subprocess.run([ROOT / "tools/read-trace"], input=said, capture_output=True, text=True)
    assert done.returncode == 0, said
    # init began, was given the CPU, and made calls that were answered.
    assert re.search(r"process 1: is ", done.stdout), done.stdout
    assert re.search(r"switch +kernel: gives the CPU to thread 1", done.stdout), done.stdout
    assert re.search(r"thread 1: \w+: ok after \d+\.\d+ us", done.stdout), done.stdout
    assert re.search(r"^thread 1: ran \d+\.\d+ us", done.stdout, re.M), done.stdout
    # Three at most of each CPU; and of each what comes after what was seen before.
    events = [line for line in short.split("\n") if re.match(r"  \d+ \d+\.\d{9} ", line)]
    for cpu in range(smp):
        assert len([line for line in events if line.startswith(f"  {cpu} ")]) <= 3
    after = text[text.index("panic: asked for"):]
    brief = after[after.index("\ntrace of CPU 0: the last "):after.index("\nlast log lines:")]
    assert 0 < len(re.findall(r"^  0 \d+\.\d{9} [\w-]+ +\d+ (?:0x)?\w+$", brief, re.M)) <= 8, brief
