"""Initial ramdisks with programs of tests: init, a vmos.conf, and test/program/NAME."""
import re
import subprocess
from contextlib import contextmanager

from guest import MACHINES, PROMPT, ROOT, Guest


def ramdisk(folder, arch, programs, configuration=""):
    """An archive with init, the programs with their symbols, and this vmos.conf. NAME=PROGRAM: under another name."""
    build = ROOT / "build" / arch
    paths = {"init": build / "service/init"} | {name.split("=")[0]: build / "test" / name.split("=")[-1] for name in programs}
    files = [f"{path}{suffix}" for path in paths.values() for suffix in (".bin", ".sym")]
    subprocess.run(["make", "-s", f"ARCH={arch}", *{str(name).removeprefix(f"{ROOT}/") for name in files}], cwd=ROOT,
                   check=True, stdout=subprocess.DEVNULL)
    content = folder / "content"
    content.mkdir()
    (content / "vmos.conf").write_text(configuration)
    subprocess.run([ROOT / "tools/make-initrd", content, folder / "initrd.img",
                    *[f"bin/{name}={path}.bin" for name, path in paths.items()],
                    *[f"bin/{name}.sym={path}.sym" for name, path in paths.items()]], check=True)
    return folder / "initrd.img"


class Prompt(Guest):
    """A guest whose processes log while somebody types: the prompt may be drawn again at any time."""

    def command_line(self, line, timeout=30):
        """What the command printed, without the lines of the log that came in between."""
        typed = rf"vmos> {re.escape(line)}(?:\x1b\[K)?\Z"
        start = self.text.rfind("\n") + 1  # the prompt that it is typed at, if it is not drawn again meanwhile
        self.send(line)
        for attempt in range(timeout):
            try:
                begin = self.wait_for(typed, 1, start).end()
                break
            except AssertionError:
                if attempt == timeout - 1:
                    raise
                self.send("\x0c")  # draws the line again
        self.send("\r")
        end = self.wait_for(r"\n(?:\r|.*\x1b\[K\r)?vmos> (?:\x1b\[K)?\Z", timeout, begin).start()
        lines = re.sub(r"\r|\x1b\[K", "", self.text[begin:end]).split("\n")
        noise = rf"(vmos> .*)?\[ *\d+\.\d{{6}}\] |vmos> {re.escape(line)}\Z"
        return "\n".join(said for said in lines if not re.match(noise, said)).strip("\n")


@contextmanager
def booted(name, folder, programs=(), configuration="", **options):
    """At the prompt, with these programs to be spawned."""
    on = MACHINES[name]
    image = ramdisk(folder, on.arch, programs, configuration)
    kernel = on.flat if on.arch == "arm64" else None  # QEMU hands no ramdisk to an ELF there
    with Prompt(on, initrd=image, kernel=kernel, append="then=prompt", **options) as guest:
        guest.wait_for(PROMPT)
        yield guest
