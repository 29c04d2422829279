"""A panic explains itself and ends the machine."""
import re

import pytest

from guest import MACHINES, PROMPT, Guest

REGISTER = {"x64": "rax", "arm64": "x0", "rv64": "a0"}


# The names of functions up to the console; those that call no other have no record of their own everywhere, and a call
# to where no code is has none either. The compiler jumps to data instead of calling it: run_panic has nothing left to do.
BACKTRACE = {"read": ["at strlen", "by run_panic", "by console_run", "by kernel_main"],
             "write-code": ["at run_panic", "by console_run", "by kernel_main"],
             "execute-data": ["at ?", "by console_run", "by kernel_main"],
             "stack": ["at overflow_stack"] + ["by overflow_stack"] * 20}


def backtrace(text):
    """The functions, without their addresses; ? stands for an address that is in none."""
    lines = re.findall(r"^  (at|by) [0-9a-f]{16}(?: (\w+)\+0x[0-9a-f]+)?$", text, re.M)
    return [f"{what} {name or '?'}" for what, name in lines]


@pytest.mark.parametrize("name", ["q35", "microvm", "gicv2", "gicv3-max", "plic", "imsic"])
def test_panic(name):
    on = MACHINES[name]
    with Guest(on, append="then=prompt") as guest:
        guest.wait_for(PROMPT)
        guest.send("panic\r")
        result = guest.finish(30)
    text = result.text.replace("\r", "")
    after = text[text.index("panic: asked for at the console"):]
    assert backtrace(after)[:3] == ["by run_panic", "by console_run", "by kernel_main"], result.explain()
    assert "last log lines:" in after and "\nready\n" in after
    assert result.status == {"x64": 35, "arm64": 0, "rv64": 1}[on.arch], result.explain()


@pytest.mark.parametrize("name", ["q35", "gicv3", "plic"])
@pytest.mark.parametrize("fault,sentence", [
    ("read", "read|load"), ("write-code", "writ|store"), ("execute-data", "instruction|execut"), ("stack", "stack")])
def test_fault(name, fault, sentence):
    """Faults that the kernel is made to take on purpose: the sentence, registers, and where it was."""
    on = MACHINES[name]
    with Guest(on, append="then=prompt") as guest:
        guest.wait_for(PROMPT)
        guest.send(f"panic {fault}\r")
        result = guest.finish(30)
    text = result.text.replace("\r", "")
    assert "panic: " in text, result.explain()
    after = text[text.index("panic: "):]
    assert re.search(sentence, after.split("\n")[0]), result.explain()
    assert re.search(rf"\b{REGISTER[on.arch]}\b", after), result.explain()
    assert backtrace(after)[:len(BACKTRACE[fault])] == BACKTRACE[fault], result.explain()
    assert result.status == {"x64": 35, "arm64": 0, "rv64": 1}[on.arch], result.explain()


@pytest.mark.parametrize("name", ["q35", "gicv3", "imsic"])
def test_panic_hang(name):
    with Guest(MACHINES[name], append="then=prompt panic=hang") as guest:
        guest.wait_for(PROMPT)
        guest.send("panic\r")
        guest.wait_for(r"as panic=hang asks")
        assert guest.process.poll() is None
