"""lib/ring.h under weak memory: model/spin/ring.pml, checked by spin, against the header that ships.

The model and the header must do the same steps on shared memory in the same order, function by function; how each step
is ordered, and where there is a fence, the model is told from the header. So a header without one of its fences, or with
a weaker order, is given to the same checker, which must find what goes wrong.
"""
import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEADER, MODEL = ROOT / "lib" / "ring.h", ROOT / "model" / "spin" / "ring.pml"
WORDS = {"head", "tail", "consumer_asleep", "producer_asleep", "asleep"}
FUNCTIONS = {"ring_room", "ring_push", "ring_available", "ring_pop", "ring_declare", "ring_withdraw", "ring_answer",
             "ring_consumer_may_sleep", "ring_consumer_woke", "ring_must_wake_consumer",
             "ring_producer_may_sleep", "ring_producer_woke", "ring_must_wake_producer"}
LONG = bool(os.environ.get("VMOS_LONG"))
SIZES = {  # memory: -D options of spin; what an hour allows is more than what a test run does
    "TSO": ["-DTSO", "-DENTRIES=5", "-DSPURIOUS=1"] if LONG else ["-DTSO", "-DENTRIES=3", "-DSPURIOUS=1"],
    "WEAK": ["-DENTRIES=4", "-DSPURIOUS=1"] if LONG else ["-DENTRIES=3", "-DSPURIOUS=1"],
}


def without_comments(text):
    return re.sub(r"/\*.*?\*/", "", text, flags=re.S)


def header_steps(text):
    """{function: [(what, word or callee, order)]}: everything that ring.h does to shared memory."""
    steps = {}
    for name, body in re.findall(r"^static inline [\w ]+?\*?(ring_\w+)\([^)]*\)\n\{\n(.*?)^\}", without_comments(text),
                                 re.M | re.S):
        found = steps[name] = []
        for match in re.finditer(
                r"atomic_(load|store)_explicit\((?:&ring->shared->)?(\w+),?[^;]*?memory_order_(\w+)\)"
                r"|atomic_thread_fence\(memory_order_(\w+)\)|ring_copy\(ring, (NULL)?|(?<!\w)(" + "|".join(FUNCTIONS) + r")\(([^;]*)", body):
            access, word, order, fence, into, callee, arguments = match.groups()
            if access:
                found.append((access, word, order))
            elif fence:
                found.append(("fence", "", fence))
            elif match[0].startswith("ring_copy"):
                found.append(("copy in" if into else "copy out", "", ""))
            else:
                word = re.search(r"shared->(\w+)", arguments)
                found.append(("call", (callee, word[1] if word else ""), ""))
    return steps


def model_steps(text):
    steps = {}
    text = without_comments(text)
    text = text[text.index("inline ring_look"):]
    for name, body in re.findall(r"^inline (ring_\w+)\([^)]*\)\s*\{(.*?)(?:^\}| \}$)", text, re.M | re.S):
        found = steps[name] = []
        for match in re.finditer(r"(LOAD|STORE)\((\w+), \w+, (\w+)\)|FENCE\((\w+)\)|COPY_(IN|OUT)|(ring_\w+)\((\w*)", body):
            access, word, order, fence, copy, callee, argument = match.groups()
            if access:
                word = "asleep" if word == "word" else word
                assert order == f"ORDER_{name}_{word}"
                found.append((access.lower(), word))
            elif fence:
                assert fence == f"FENCE_{name}"
                found.append(("fence", ""))
            elif copy:
                found.append(("copy " + copy.lower(), ""))
            elif callee in FUNCTIONS:
                found.append(("call", (callee, argument)))
    return steps


def orders(text):
    """-D options that tell the model how this header orders its steps."""
    options = []
    for name, steps in header_steps(text).items():
        options += [f"-DORDER_{name}_{word}={order.upper()}" for what, word, order in steps if what in ("load", "store")]
        if name in ("ring_declare", "ring_answer"):
            fences = [order for what, _, order in steps if what == "fence"]
            options.append(f"-DFENCE_{name}={int(fences == ['seq_cst'])}")
    return options


def check(tmp_path, text, options, optimise="-O2"):
    """What spin finds: None, or its sentence."""
    subprocess.run(["spin", *orders(text), *options, "-a", MODEL], cwd=tmp_path, check=True, capture_output=True)
    subprocess.run(["clang", optimise, "-w", "-DSAFETY", "-DVECTORSZ=2048", "-DCOLLAPSE", "-DMEMLIM=8000", "pan.c", "-o", "pan"],
                   cwd=tmp_path, check=True)
    said = subprocess.run(["./pan", "-m1000000"], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    found = re.search(r"^pan:1: (.*?)(?: \(at depth|$)", said, re.M)
    assert f"errors: {1 if found else 0}" in said and "max search depth too small" not in said, said
    assert found or ("Search not completed" not in said and int(re.search(r"(\d+) states, stored", said)[1]) > 1000), said
    return found[1] if found else None


def test_the_model_does_what_the_header_does():
    text = HEADER.read_text()
    header, model = header_steps(text), model_steps(MODEL.read_text())
    assert {name for name in model if name != "ring_look"} == FUNCTIONS
    for name in FUNCTIONS:
        assert [step[:2] for step in header[name]] == model[name], name
    # Nothing else in the header touches what is shared.
    touching = set(re.findall(r"shared->(\w+)", without_comments(text)))
    assert touching == (WORDS - {"asleep"}) | {"entries"}
    everything = re.findall(r"atomic_\w+\(", without_comments(text))
    assert len(everything) == sum(what in ("load", "store", "fence") for steps in header.values() for what, _, _ in steps)
    assert {name for name, steps in header.items() if steps} == FUNCTIONS


def test_a_step_out_of_order_is_seen():
    """What ties the two together is no formality: the fence before the declaration, or the look before it, is told."""
    text = HEADER.read_text()
    model = model_steps(MODEL.read_text())
    store, fence = "    atomic_store_explicit(asleep, ring->asleep, memory_order_relaxed);\n", \
        "    atomic_thread_fence(memory_order_seq_cst);\n"
    swapped = text.replace(store + fence, fence + store)
    assert swapped != text
    assert [step[:2] for step in header_steps(swapped)["ring_declare"]] != model["ring_declare"]


@pytest.mark.parametrize("memory", SIZES)
def test_holds(memory, tmp_path):
    assert check(tmp_path, HEADER.read_text(), SIZES[memory]) is None


@pytest.mark.parametrize("memory", ["TSO", "WEAK"])
def test_a_lying_producer_does_no_harm(memory, tmp_path):
    """Indices stay in bounds, and the consumer comes to an end."""
    sizes = SIZES[memory] if LONG else SIZES["TSO"][:memory == "TSO"] + ["-DENTRIES=3", "-DSPURIOUS=0"]
    assert check(tmp_path, HEADER.read_text(), [*sizes, f"-DLIAR={3 if LONG else 2}"]) is None


ASLEEP, RACE = "invalid end state", "assertion violated (sees["
WRONG = {
    # what is taken from which function; what is found on TSO, what on WEAK
    "declare without a fence": ("ring_declare", "atomic_thread_fence(memory_order_seq_cst);", "", ASLEEP, ASLEEP),
    "answer without a fence": ("ring_answer", "atomic_thread_fence(memory_order_seq_cst);", "", ASLEEP, ASLEEP),
    "push without release": ("ring_push", "memory_order_release", "memory_order_relaxed", None, RACE),
    "pop without release": ("ring_pop", "memory_order_release", "memory_order_relaxed", None, RACE),
    "look at head without acquire": ("ring_available", "memory_order_acquire", "memory_order_relaxed", None, RACE),
    "look at tail without acquire": ("ring_room", "memory_order_acquire", "memory_order_relaxed", None, RACE),
}


def mutant(name):
    function, what, instead, _, _ = WRONG[name]
    text = HEADER.read_text()
    before, at, after = text.partition(f" {function}(struct ring *ring")
    body, end, rest = after.partition("\n}\n")
    assert at and body.count(what) == 1
    return before + at + body.replace(what, instead) + end + rest


@pytest.mark.parametrize("name", WRONG)
def test_is_found_wrong(name, tmp_path):
    text, on_tso, on_weak = mutant(name), *WRONG[name][3:]
    # What x86 hides is shown to be hidden: where only the weak memory finds it, TSO finds nothing.
    few = ["-DENTRIES=3", "-DSPURIOUS=0"]
    assert (check(tmp_path, text, few, "-O1") or "nothing").startswith(on_weak)
    found = check(tmp_path, text, ["-DTSO", *few], "-O1")
    assert found is None if on_tso is None else found.startswith(on_tso)


def test_only_a_full_fence_counts():
    weaker = HEADER.read_text().replace("atomic_thread_fence(memory_order_seq_cst)",
                                        "atomic_thread_fence(memory_order_acq_rel)")
    assert {"-DFENCE_ring_declare=0", "-DFENCE_ring_answer=0"} <= set(orders(weaker))
    assert {"-DFENCE_ring_declare=1", "-DFENCE_ring_answer=1"} <= set(orders(HEADER.read_text()))
