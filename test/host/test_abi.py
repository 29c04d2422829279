"""The table of system calls (include/vmos/abi.h), the signatures above it, docs/abi.md and the SDK's wrappers say the
same: no call, number, argument or section is missing in one of them, or in one of them only. And each error that
docs/abi.md promises is shown by a row of test_syscall.c, which has no other."""
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ABI = (ROOT / "include/vmos/abi.h").read_text()
DOCS = (ROOT / "docs/abi.md").read_text()
SIGNATURE = r"(\w+) +\(([^)]*)\)(?: +-> (.+))?"


def table(text=ABI):
    """{name: (number, number of arguments)}"""
    rows = re.findall(r"^ +CALL\((\d+), (\w+), (\d+)\)", text, re.M)
    return {name: (int(number), int(arguments)) for number, name, arguments in rows}


def arguments(text):
    return [argument.strip() for argument in text.split(",") if argument.strip()]


def comment(text=ABI):
    """{name: (arguments, value)}, from the comment above the table; what is said behind two spaces is a remark."""
    found = {}
    for line in text[text.index("CALL(number"):text.index("#define SYSTEM_CALLS")].split("\n"):
        if match := re.fullmatch(rf" \*   {SIGNATURE}( {{2,}}.*)?", line):
            value = re.split(r";|:| {2,}", match[3] or "")[0].strip()
            found[match[1]] = (arguments(match[2]), value)
    return found


def sections(text=DOCS):
    """{name: (number, body)}"""
    parts = re.split(r"^## (\d+) (\w+)\n", text, flags=re.M)[1:]
    return {name: (int(number), body) for number, name, body in zip(parts[::3], parts[1::3], parts[2::3])}


def signature(body):
    match = re.search(rf"^    {SIGNATURE}$", body, re.M)
    return match[1], arguments(match[2]), match[3] or ""


CALLS = table()


def test_numbers():
    """Each number once, from 0 on, in order: they are never given anew."""
    assert len(CALLS) > 20
    assert [number for number, _ in CALLS.values()] == list(range(len(CALLS)))
    assert len(re.findall(r"\bCALL\(\d", ABI)) == len(CALLS), "a row of the table that is not understood"
    assert all(count <= 6 for _, count in CALLS.values())


def test_nothing_missing_or_extra():
    assert list(comment()) == list(CALLS)
    assert list(sections()) == list(CALLS)


@pytest.mark.parametrize("name", CALLS)
def test_section(name):
    number, count = CALLS[name]
    said, value = comment()[name]
    documented_number, body = sections()[name]
    assert documented_number == number
    documented, names, documented_value = signature(body)
    assert (documented, names) == (name, said)
    assert len(names) == count
    assert documented_value.split(":")[0] == value
    for heading in ("Rights", "Errors", "Stale"):
        assert len(re.findall(rf"^- {heading}: \S", body, re.M)) == 1, heading
    assert re.search(r"^[A-Z]", body.split("\n\n")[1] if body.startswith("\n    ") else body.split("\n\n")[2], re.M)


def test_words():
    """Every status, right and type that is named exists."""
    defined = set(re.findall(r"\b((?:STATUS|RIGHT|END|MESSAGE|DEADLINE|ABI)_[A-Z_]+)\b", ABI))
    used = set(re.findall(r"\b((?:STATUS|RIGHT|END|MESSAGE|DEADLINE|ABI)_[A-Z_]+)\b", DOCS))
    assert len(used) > 20 and used <= defined, used - defined


def test_kernel():
    """Each call has a function, and no function has no call."""
    source = (ROOT / "kernel/process/syscall.c").read_text()
    functions = re.findall(r"^static enum status call_(\w+)\(struct call \*call\)$", source, re.M)
    assert functions == list(CALLS)


@pytest.mark.parametrize("name", CALLS)
def test_kernel_reads_its_arguments(name):
    """A call's function reads as many arguments as the table says: a struct and its size by one helper."""
    source = (ROOT / "kernel/process/syscall.c").read_text()
    body = source[source.index(f"static enum status call_{name}("):]
    body = body[:body.index("\n}\n")]
    read = {int(index) for index in re.findall(r"argument\(call, (\d)\)", body)}
    read |= {int(index) for index in re.findall(r"\buse(?:_process)?\(call, (\d)", body)}
    for index in re.findall(r"read_parameters\(call, (\d)", body):
        read |= {int(index), int(index) + 1}
    assert read == set(range(CALLS[name][1]))


def test_wrappers():
    """vmos/system.h has vmos_NAME for each, with the call's arguments and a place for its value."""
    header = ROOT / "include/vmos/system.h"
    if not (ROOT / "lib/user").is_dir():
        pytest.skip("there is no SDK in lib/user/")
    text = re.sub(r"\s+", " ", header.read_text())
    raw = {name: len(arguments(list_)) if list_ != "void" else 0
           for name, list_ in re.findall(r"struct system_result system_(\w+)\(([^)]*)\);", text)}
    raw.pop("call", None)
    assert raw == {name: count for name, (_, count) in CALLS.items()}
    assert re.findall(r"static inline enum status vmos_(\w+)\(", text) == list(CALLS)


# ---- Errors: docs/abi.md and the rows of test_syscall.c ---------------------------------------------------------------

ROWS = (ROOT / "test/host/test_syscall.c").read_text()
REFUSALS = {"BAD_HANDLE", "REVOKED", "WRONG_TYPE", "DENIED"}
NEVER_STALE = {"CLOCK", "CONSOLE"}


def shown(text=ROWS):
    """{name: statuses} of the rows, of what happens meanwhile, and of each handle that the call takes."""
    found = {name: set() for name in CALLS}
    for name, status in re.findall(r"\b(?:ROW|MEANWHILE)\((\w+), ([A-Z_]+),", text):
        found[name].add(status)
    for name, _, kind, right in re.findall(r"\b(?:HANDLE|OPTIONAL)\((\w+), (\d), ([A-Z]+), ([^)]+)\),", text):
        found[name] |= REFUSALS - ({"REVOKED"} if kind in NEVER_STALE or name == "handle_close" else set()) \
            - ({"WRONG_TYPE"} if kind == "NONE" else set()) - ({"DENIED"} if right == "0" else set())
        found[name] |= {"PEER_GONE"} if kind == "REPLY" else set()
    return found


def words(name, heading, text=DOCS):
    body = sections(text)[name][1]
    return " ".join(re.search(rf"^- {heading}: (.*(?:\n  .*)*)", body, re.M)[1].split())


def statuses(text):
    return set(re.findall(r"STATUS_([A-Z_]+)", text))


def promised(name, text=DOCS):
    """What the section names itself, and by the section that it refers to."""
    errors, found = words(name, "Errors", text), statuses(words(name, "Stale", text))
    if match := re.match(r"as of (\w+), but for `STATUS_([A-Z_]+)`\.", errors):
        found |= promised(match[1], text) - {match[2]}
        errors = errors[match.end():]
    return found | statuses(errors)


def handles_of(name):
    """{index of an argument that is a handle}"""
    kinds = r"(handle|process|thread|memory|endpoint|notification|reply|clock|console)( or 0)?"
    return {index for index, argument in enumerate(comment()[name][0]) if re.fullmatch(kinds, argument)}


@pytest.mark.parametrize("name", CALLS)
def test_each_error_that_is_promised_is_shown(name):
    assert promised(name) <= shown()[name]


@pytest.mark.parametrize("name", CALLS)
def test_each_error_that_is_shown_is_promised(name):
    """By its section, or by what holds for all handles and structs."""
    for_all = (REFUSALS | {"PEER_GONE"} if handles_of(name) else set()) | (
        {"INVALID"} if "size of them" in comment()[name][0] else set())
    assert shown()[name] - {"OK"} <= promised(name) | for_all


def test_each_handle_that_is_taken_is_tried():
    """Of those that a message takes along, rows tell."""
    tried = {(name, int(index)) for name, index in re.findall(r"\b(?:HANDLE|OPTIONAL)\((\w+), (\d),", ROWS)}
    assert tried == {(name, index) for name in CALLS for index in handles_of(name)}


@pytest.mark.parametrize("name,status", [("memory_map", "BUSY"), ("thread_configure", "PEER_GONE"), ("process_give", "LIMIT")])
def test_a_row_that_is_missing_would_be_seen(name, status):
    without = re.sub(rf"\b(ROW|MEANWHILE)\({name}, {status},", "NONE(", ROWS)
    assert without != ROWS and not promised(name) <= shown(without)[name]


@pytest.mark.parametrize("what,change", [
    ("a call that is not documented", lambda docs: docs.replace("## 24 clock_read", "## clock_read")),
    ("another number", lambda docs: docs.replace("## 24 clock_read", "## 23 clock_read")),
    ("an argument too many", lambda docs: docs.replace("clock_read (clock)", "clock_read (clock, zone)")),
    ("another value", lambda docs: docs.replace("(clock) -> nanoseconds", "(clock) -> seconds")),
])
def test_it_would_be_seen(what, change, monkeypatch):
    changed = change(DOCS)
    assert changed != DOCS
    found = sections(changed)
    if list(found) == list(CALLS):
        number, body = found["clock_read"]
        name, names, value = signature(body)
        said = comment()["clock_read"]
        assert (number, len(names), value) != (CALLS["clock_read"][0], CALLS["clock_read"][1], said[1]), what
