"""What programs of test/hostile/ARCH do in user mode, a process for each case, and what must become of each."""
import re
import subprocess

from guest import ROOT, Guest

SURVIVES, NOWHERE = None, "where no process has memory"


def ramdisk(folder, arch, program):
    """The program is init, and all there is."""
    binary = f"build/{arch}/hostile/{program}.bin"
    subprocess.run(["make", "-s", f"ARCH={arch}", binary], cwd=ROOT, check=True)
    (folder / "files").mkdir()
    (folder / "files" / "vmos.conf").write_text("# nothing\n")
    subprocess.run([ROOT / "tools/make-initrd", folder / "files", folder / "initrd.img", f"bin/init={ROOT / binary}"],
                   check=True)
    return folder / "initrd.img"


def check(on, cpus, image, expected):
    """`expected`: {case: SURVIVES, or what the line of its crash says}, in the program's order."""
    with Guest(on, kernel=on.flat if on.arch == "arm64" else None, initrd=image, smp=cpus) as guest:
        guest.wait_for(r"all cases done", 60)
        text = guest.text.replace("\r", "")
    ends = {}
    parts = re.split(r"init\[\d+\]: case (\w+): (.*)", text)
    for said, name, end in zip(parts[::3], parts[1::3], parts[2::3]):
        crash = re.search(r"crash: (.*)", said)
        ends[name] = (end.split()[0], end.split()[-1], crash and crash[1])
    assert list(ends) == list(expected), text
    for name, what in expected.items():
        how, code, crash = ends[name]
        if what is SURVIVES:
            assert (how, code, crash) == ("ended", "7", None), f"{name}: {ends[name]}\n{text}"
        else:
            assert how == "crashed" and what in crash, f"{name}: {ends[name]}\n{text}"
    assert "panic" not in text
