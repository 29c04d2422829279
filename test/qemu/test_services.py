"""What vmos.conf names runs: init starts it, services call each other, what crashes comes back, and mistakes cost a line.

Each machine boots once with everything in one manifest: what goes wrong beside must not disturb the rest.
"""
import re
import subprocess

import pytest

from guest import MACHINES, ROOT, Guest

ON = ("q35", "gicv3-max", "imsic")
CPUS = pytest.mark.parametrize("smp", (1, 4))

MANIFEST = """\
# Two that call each other, in the order in which the client comes first.
service greet use=hello args="anna  bob" give=console,clock
service hello offer=hello priority=20 cpu=10%
service bad colour=red
service try program=misbehave args=try memory=4M objects=64 cpu=20%
servce typo
service words program=misbehave args="one two"
service words program=misbehave
service crash program=misbehave args=crash restart=on-crash backoff=40ms limit=3
service exit program=misbehave args=exit restart=on-crash limit=0
service never program=misbehave args=exit
service trap program=misbehave args=trap offer=trap restart=on-crash
service caller program=misbehave args=call use=trap
service none program=nothing
service alone use=nobody program=hello
service second offer=hello program=hello
service poor program=hello offer=poor memory=16K
service asked program=hello start=asked offer=asked
service crowd program=hello cpus=63
service robber program=hello give=control
service twice program=hello offer=it,it
service twin program=hello offer=clock
"""


def ramdisk(tmp_path, arch, manifest):
    folder, image = tmp_path / "ramdisk", tmp_path / "initrd.img"
    folder.mkdir()
    (folder / "vmos.conf").write_text(manifest)
    programs = sorted((ROOT / "build" / arch).glob("service/*.bin")) + sorted((ROOT / "build" / arch).glob("test/*.bin"))
    packed = [f"bin/{path.stem}{kind}={path.with_suffix(suffix)}" for path in programs
              for kind, suffix in (("", ".bin"), (".sym", ".sym"))]
    subprocess.run([ROOT / "tools/make-initrd", folder, image, *packed], check=True)
    return image


def guest(tmp_path, on, manifest, **options):
    machine = MACHINES[on]
    return Guest(machine, initrd=ramdisk(tmp_path, machine.arch, manifest),
                 kernel=machine.flat if machine.arch == "arm64" else None, **options)


def said_by(text, who):
    """[(seconds, sentence)] of a process, whatever its number; prompts are redrawn between."""
    return [(float(seconds), sentence.rstrip("\r")) for seconds, sentence in
            re.findall(r"\[ *(\d+\.\d+)\] " + who + r"\[\d+\]: (.*)", text)]


@CPUS
@pytest.mark.parametrize("on", ON)
def test_manifest(tmp_path, on, smp):
    with guest(tmp_path, on, MANIFEST, smp=smp) as running:
        for last in (r"crash has crashed and is given up", r"try has ended", r"caller has ended", r"greet has ended",
                     r"trap is started as process \d+[^~]*trap is started as process \d+"):
            running.wait_for(last + r".*\n", 60)
        text = running.text
    init = said_by(text, "init")
    sentences = [sentence for _, sentence in init]

    # Mistakes, each with its line; the kernel reads the one that is about nothing.
    assert 'vmos.conf line 4: found "colour=red"; expected: one of the keys that docs/manifest.md lists' in sentences
    assert 'manifest: line 6: found "servce"; expected: driver or service' in text
    assert 'vmos.conf line 8: found "words"; expected: a name that no service before it has' in sentences
    assert ('vmos.conf line 16: found "hello"; expected: something to offer that nothing else offers, of 48 in all'
            in sentences)
    assert "none cannot be started: the ramdisk has no bin/nothing (not found)" in sentences
    assert "alone cannot be started: no service offers nobody, which it uses (not found)" in sentences
    assert any(re.match(r"poor cannot be started: .* \(limit reached; see memory=, .*\)$", sentence) for sentence in sentences)
    assert "crowd cannot be started: its process cannot be made (denied; see cpus=)" in sentences
    assert "robber cannot be started: init has no control to give (not found)" in sentences
    # What has a mistake is not started; least of all one that would take the calls of another.
    assert not any(sentence.startswith(("asked ", "second ", "twice ", "twin ")) for sentence in sentences)
    for line, name in ((21, "it"), (22, "clock")):
        assert (f'vmos.conf line {line}: found "{name}"; expected: something to offer that nothing else offers, of 48 in all'
                in sentences)

    # Calls, arguments, what the SDK has.
    assert [sentence for _, sentence in said_by(text, "greet")] == ["hello anna, you are number 1",
                                                                  "hello bob, you are number 2"]
    assert [sentence for _, sentence in said_by(text, "words")] == [
        'argument 0 is "misbehave"', 'argument 1 is "one"', 'argument 2 is "two"']
    assert [sentence for _, sentence in said_by(text, "try")] == ["all of it works"]
    for name in ("greet", "words", "try", "caller"):
        assert f"{name} has ended with code 0" in sentences
    assert "never has ended with code 3" in sentences
    assert "exit has ended with code 3 and is given up: started again 0 of at most 0 times in 60 s" in sentences

    # A server that crashes in a call: its caller is told, and it comes back.
    assert [sentence for _, sentence in said_by(text, "caller")] == ["the call gave: the other side has gone"]
    assert "trap has crashed; it will be started again in 100 ms (1 of 5)" in sentences

    # Back-off doubles, and is kept; then init gives up.
    about = [(at, sentence) for at, sentence in init if sentence.startswith("crash ")]
    assert [re.sub(r"\d+$", "N", sentence) for _, sentence in about] == [
        "crash is started as process N", "crash has crashed; it will be started again in 40 ms (1 of 3)",
        "crash is started as process N", "crash has crashed; it will be started again in 80 ms (2 of 3)",
        "crash is started as process N", "crash has crashed; it will be started again in 160 ms (3 of 3)",
        "crash is started as process N", "crash has crashed and is given up: started again 3 of at most 3 times in 60 s"]
    for index, wait in ((1, 0.04), (3, 0.08), (5, 0.16)):
        assert about[index + 1][0] - about[index][0] > wait * 0.99
    assert re.search(r"^ready\r?$", text, re.M)

    # An image is somewhere else each time.
    places = re.findall(r"crash: crash\[\d+\], .* instruction (0x[0-9a-f]+)", text)
    assert len(places) >= 3 and len(set(places)) == len(places)
    assert re.search(r"crash:   at 0x[0-9a-f]+ main\+0x", text)
    assert re.search(r"init: \d+ of \d+ services were started", text)


@pytest.mark.parametrize("on", ON)
def test_no_manifest_of_services(tmp_path, on):
    """The ramdisk that is built in starts no process but init, and `ready` comes."""
    with Guest(MACHINES[on]) as running:
        running.wait_for(r"^ready\r?$", 60)
        running.wait_for(r"vmos> ")
        text = running.text
    assert "init: 0 of 0 services were started" in text
    assert said_by(text, "init") == []


def typed(running, line, *patterns):
    """Types a line; each pattern comes behind it. Log lines may come at any moment, prompts are redrawn for them."""
    start = len(running.text)
    running.send(line + "\r")
    for pattern in patterns:
        running.wait_for(pattern, 30, start)
    running.wait_for(r"vmos> (\x1b\[K)?$", 30, start)


@pytest.mark.parametrize("on", ON)
def test_prompt(tmp_path, on):
    """spawn, restart and kill, as init carries them out."""
    manifest = 'service hello offer=hello start=asked\nservice greet use=hello start=asked args="world"\n'
    with guest(tmp_path, on, manifest) as running:
        running.wait_for(r"vmos> ", 60)
        typed(running, "spawn hello", r"hello\[\d+\] runs", r"hello\[\d+\]: at your service")
        typed(running, "spawn hello", "it runs already; restart starts it anew")
        typed(running, "spawn greet", r"greet\[\d+\]: hello world, you are number 1", "greet has ended with code 0")
        typed(running, "spawn greet zoe", r"greet\[\d+\]: hello zoe, you are number 2", "greet has ended with code 0")
        typed(running, "restart hello", r"hello\[\d+\]: it is ended, and then started anew",
              r"hello was ended, to be started anew", r"hello\[\d+\]: at your service")
        typed(running, "spawn greet", r"greet\[\d+\]: hello world, you are number 1", "greet has ended with code 0")
        typed(running, "spawn nothing", "there is no bin/nothing")
        typed(running, "restart nothing", "there is no such service; spawn starts one")
        typed(running, "spawn hello.sym", "it is no ELF file")
        typed(running, "kill hello", r"hello was ended")
        typed(running, "spawn hello", r"hello\[\d+\]: at your service")
        typed(running, "spawn greet", r"greet\[\d+\]: hello world, you are number 1", "greet has ended with code 0")
