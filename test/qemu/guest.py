"""Runs vmos in QEMU and reads what it says on its serial port.

A Machine is one row of the matrix (architecture, QEMU machine and CPU); a Guest is one run. Every QEMU is
stopped by the process that started it, whatever happens to the test.
"""
import re
import shutil
import socket
import subprocess
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
QEMU = {"x64": "qemu-system-x86_64", "arm64": "qemu-system-aarch64", "rv64": "qemu-system-riscv64"}
# Alone at the end of all that was said; drawn again where a line of the log came meanwhile.
PROMPT = r"^\r?vmos> (\x1b\[K)*\Z"
X64_EXIT_PASS, X64_EXIT_FAIL = 33, 35  # isa-debug-exit: (value << 1) | 1


@dataclass(frozen=True)
class Machine:
    name: str
    arch: str
    arguments: tuple
    pci: bool = True
    mmio: bool = True
    messages: bool = True  # the machine can deliver MSI
    ports: bool = True  # PCI functions can have I/O space

    @property
    def kernel(self):
        return ROOT / "build" / self.arch / f"kernel-{self.arch}.elf"

    @property
    def flat(self):
        return ROOT / "build" / self.arch / f"kernel-{self.arch}.efi"


def machine(name, arch, arguments, **options):
    return Machine(name, arch, tuple(arguments.split()), **options)


MACHINES = {m.name: m for m in (
    machine("q35", "x64", "-M q35", mmio=False),
    machine("q35-max", "x64", "-M q35 -cpu max", mmio=False),
    machine("microvm", "x64", "-M microvm", pci=False),
    machine("microvm-pcie", "x64", "-M microvm,pcie=on -cpu max", ports=False),
    machine("gicv2", "arm64", "-M virt,gic-version=2 -cpu cortex-a72"),
    machine("gicv3", "arm64", "-M virt,gic-version=3 -cpu cortex-a72"),
    machine("gicv3-max", "arm64", "-M virt,gic-version=3 -cpu max"),
    machine("gicv3-noits", "arm64", "-M virt,gic-version=3,its=off -cpu cortex-a72", messages=False),
    machine("plic", "rv64", "-M virt", messages=False),
    machine("aplic", "rv64", "-M virt,aia=aplic", messages=False),
    machine("imsic", "rv64", "-M virt,aia=aplic-imsic"),
)}


@dataclass
class Result:
    text: str
    status: int
    seconds: float
    command: list = field(repr=False, default_factory=list)

    @property
    def lines(self):
        return self.text.replace("\r", "").split("\n")

    def selftests(self):
        """{name: (verdict, detail)}"""
        found = {}
        for line in self.lines:
            if match := re.match(r"selftest (\S+): (pass|fail|skip)  (.*)", line):
                found[match[1]] = (match[2], match[3])
        return found

    def devices(self):
        return [match[1] for line in self.lines if (match := re.match(r"device (\S+): ", line))]

    def explain(self):
        return f"{' '.join(map(str, self.command))}\nexit status {self.status}\n{self.text}"


class Guest:
    """A running QEMU whose serial port is this process's pipe."""

    def __init__(self, on, *devices, append="", memory="128M", smp=1, kernel=None, initrd=None, extra=(),
                 serial=("-serial", "stdio"), exit_device=True, boot=None, qemu=None):
        # `boot` takes the kernel's place: what firmware is started, see firmware.py
        self.machine = on
        self.command = [qemu or QEMU[on.arch], *on.arguments, "-accel", "tcg", "-nodefaults", "-no-user-config",
                        "-display", "none", *serial, "-m", memory, "-smp", str(smp), "-no-reboot",
                        *(map(str, boot) if boot else ("-kernel", str(kernel or on.kernel)))]
        if on.arch == "x64" and exit_device:
            self.command += ["-device", "isa-debug-exit,iobase=0x501,iosize=2"]
        if append:
            self.command += ["-append", append]
        if initrd:
            self.command += ["-initrd", str(initrd)]
        self.command += [str(part) for part in (*devices, *extra)]
        self.text = ""
        self._monitor = None
        self._changed = threading.Condition()
        self._start = time.monotonic()
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        while part := self.process.stdout.read1(65536):
            with self._changed:
                self.text += part.decode("latin-1")
                self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        if self._monitor is not None:
            self._monitor.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join()
        self.process.stdin.close()
        self.process.stdout.close()

    def send(self, text):
        self.process.stdin.write(text.encode("latin-1"))
        self.process.stdin.flush()

    def monitor(self, command):
        """For a Guest whose `extra` is ("-monitor", "unix:PATH,server=on,wait=off")."""
        if self._monitor is None:
            self._monitor = socket.socket(socket.AF_UNIX)
            self._monitor.settimeout(20)
            path = self.command[self.command.index("-monitor") + 1]
            self._monitor.connect(path.removeprefix("unix:").split(",")[0])
            self._monitor_prompt()
        self._monitor.sendall(command.encode() + b"\n")
        return self._monitor_prompt()

    def _monitor_prompt(self):
        said = b""
        while not said.endswith(b"\r\n(qemu) "):
            said += self._monitor.recv(4096)
        return said.decode("latin-1")

    def wait_for(self, pattern, timeout=60, start=0):
        """Waits until the serial text from `start` on matches; gives the match."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while not (match := re.compile(pattern, re.M).search(self.text, start)):
                left = deadline - time.monotonic()
                if left <= 0 or (self.process.poll() is not None and not self._reader.is_alive()):
                    raise AssertionError(f"no {pattern!r} after {timeout} s or the end:\n{self.result().explain()}")
                self._changed.wait(min(left, 0.5))
        return match

    def command_line(self, line, timeout=30):
        """Types a command at the prompt and gives what it printed."""
        start = len(self.text)
        self.send(line + "\r")
        # with -icount sleep=off QEMU tells a guest that sleeps without a timer so, on the same pipe
        # a line of the log may come just then, and the prompt is drawn again below it
        match = self.wait_for(r"\r\nvmos> (\r\x1b\[K\[.*\r\n\rvmos> \x1b\[K)*(qemu-system-\w+: warning: .*)?$", timeout, start)
        return self.text[start:match.start()].replace("\r", "").split("\n", 1)[-1]

    def finish(self, timeout=120):
        """Waits for QEMU to end by itself."""
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {timeout} s:\n{self.result().explain()}") from None
        self._reader.join()
        return self.result()

    def result(self):
        return Result(self.text, self.process.poll(), time.monotonic() - self._start, self.command)


def run(on, *devices, append="selftest then=poweroff", timeout=120, **options):
    with Guest(on, *devices, append=append, **options) as guest:
        return guest.finish(timeout)


# ---- Devices -------------------------------------------------------------------------------------------

TRANSPORTS = {
    # name: (suffix, options, global options, by PCI)
    "mmio-legacy": ("device", "", (), False),
    "mmio-modern": ("device", "", ("-global", "virtio-mmio.force-legacy=false"), False),
    "pci-legacy": ("pci", ",disable-modern=on,disable-legacy=off", (), True),
    "pci-transitional": ("pci", ",disable-modern=off,disable-legacy=off", (), True),
    "pci-modern": ("pci", ",disable-legacy=on,disable-modern=off", (), True),
}


def make_disk(path, size=4 << 20):
    with open(path, "wb") as disk:
        disk.truncate(size)
    return path


def net(transport, name="n0", capture=None, options="", backend="user"):
    suffix, more, _, _ = TRANSPORTS[transport]
    arguments = ["-netdev", f"{backend},id={name}", "-device", f"virtio-net-{suffix},netdev={name}{more}{options}"]
    if capture:
        arguments += ["-object", f"filter-dump,id=dump-{name},netdev={name},file={capture}"]
    return arguments


def blk(transport, path, name="d0", options="", drive=""):
    suffix, more, _, _ = TRANSPORTS[transport]
    return ["-drive", f"if=none,id={name},format=raw,cache=unsafe,file={path}{drive}",
            "-device", f"virtio-blk-{suffix},drive={name}{more}{options}"]


def rng(transport, name="r0", options=""):
    suffix, more, _, _ = TRANSPORTS[transport]
    return ["-object", f"rng-random,id={name},filename=/dev/urandom",
            "-device", f"virtio-rng-{suffix},rng={name}{more}{options}"]


def transport_globals(transport):
    return list(TRANSPORTS[transport][2])


def transports_of(on):
    return [name for name, (_, _, _, by_pci) in TRANSPORTS.items()
            if (on.pci if by_pci else on.mmio) and (on.ports or name != "pci-legacy")]


def have(tool):
    return shutil.which(tool) is not None
