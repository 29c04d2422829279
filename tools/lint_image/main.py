"""The command line, and the order of the checks."""
import argparse
import contextlib
import os
import stat
import sys

from . import cloud, fat, gpt, pe
from .container import open_image
from .disk import Part
from .report import Report, size_text

USAGE = """\
lint-image [--cloud gcp|aws|azure]... [--arch x64|arm64|rv64] [--allow-bios] [--quiet] FILE...

Checks disk images offline, before a cloud does: raw, disk.raw in a .tar.gz, VMDK, VHD. The cloud follows from the
format when none is named; a raw disk is then checked only for what all have in common. Nothing is written.

Exit status: 0 nothing to fix, 1 something to fix, 2 something could not be checked.
"""
ARCHES = {"x64": "x64", "x86_64": "x64", "amd64": "x64", "arm64": "arm64", "aarch64": "arm64", "rv64": "rv64",
          "riscv64": "rv64"}
BY_ARCH = {arch: name for name, (_, arch) in pe.BOOT_FILES.items()}


def check_boot_files(volume, where, arch, optional, report):
    """The architectures whose removable-media path is there and holds a program. [UEFI 2.10 §3.5.1]"""
    missing = report.note if optional else report.wrong
    folder = fat.listing(volume, ("EFI", "BOOT"))
    found = {}
    for entry in folder or ():
        for name in {entry.name.upper(), entry.short.upper()} & set(pe.BOOT_FILES):
            if not entry.directory:
                found[name] = entry
    if not found:
        wanted = BY_ARCH[arch] if arch else "BOOTX64.EFI or BOOTAA64.EFI"
        what = "no folder \\EFI\\BOOT" if folder is None else "no program in \\EFI\\BOOT"
        missing(f"{where} has {what} that firmware would start by itself: a cloud machine begins without boot "
                f"entries, so put the loader at \\EFI\\BOOT\\{wanted}")
    elif arch and BY_ARCH[arch] not in found:
        report.wrong(f"{where} has no \\EFI\\BOOT\\{BY_ARCH[arch]}; it has {', '.join(sorted(found))}")
    arches = []
    for name, entry in sorted(found.items()):
        data = fat.read_file(volume, entry, pe.ENOUGH, name, report)
        if data is not None and pe.check_program(name, data, entry.size, report):
            arches.append(pe.BOOT_FILES[name][1])
    return arches


def check_vmos(volume, table, report):
    """What only vmos's own images have."""
    folder = fat.listing(volume, ("vmos",))
    data = [part for part in table.partitions if part.kind == gpt.VMOS_DATA]
    if folder is None and not data:
        return
    report.fact("vmos")
    for name in "vmos.conf", "initrd.img":
        entry = next((entry for entry in folder or () if entry.name.lower() == name and not entry.directory), None)
        if entry is None:
            report.note(f"there is no \\vmos\\{name}: vmos starts with what is built in")
        else:
            fat.read_file(volume, entry, 1, f"\\vmos\\{name}", report)
    if not data:
        report.wrong(f"there is no partition for vmos's persistent data (type {gpt.VMOS_DATA}); make the image with "
                     "tools/make-image")
    elif data[0].size < 1 << 20:
        report.wrong(f"{data[0]} for vmos's persistent data has {size_text(data[0].size)}; 1 MiB is the least")


def check_disk(disk, clouds, arch, allow_bios, report):
    report.fact(size_text(disk.size))
    table = gpt.check_table(disk, report)
    report.fact({"gpt": "GPT", "mbr": "MBR", "none": "not partitioned"}[table.scheme])
    systems = [part for part in table.partitions if part.kind == gpt.ESP]
    arches = []
    if len(systems) > 1:
        report.note(f"there are {len(systems)} EFI system partitions; firmware may start from either")
    for part in systems[:4]:
        where = f"the EFI system partition (number {part.number})"
        volume = fat.check_volume(Part(disk, part.start, part.size), where, part.start, report)
        if volume:
            arches += check_boot_files(volume, where, arch, allow_bios and table.bios, report)
            if part is systems[0]:
                check_vmos(volume, table, report)
    if not systems and table.scheme != "none" and not table.bios:
        report.wrong("there is no EFI system partition (type EF00): firmware finds nothing to boot")
    if arches:
        report.fact("UEFI " + ", ".join(dict.fromkeys(arches)))
    elif table.bios and not systems:
        report.fact("BIOS only")
    cloud.check_boot(clouds, table, list(dict.fromkeys(arches)), allow_bios, report)


def lint(path, clouds=(), arch=None, allow_bios=False):
    """The Report on one file. OSError when it cannot be read."""
    report = Report()
    if not stat.S_ISREG(mode := os.stat(path).st_mode) and not stat.S_ISBLK(mode):
        report.cannot_check("it is neither a file nor a block device")
        return report
    with open(path, "rb") as file, contextlib.ExitStack() as keep:
        image = open_image(file, str(path).lower(), keep, report)
        if image is None:
            return report
        clouds = cloud.clouds_of(image, list(clouds))
        for name in clouds:
            cloud.CHECK[name](image, report)
        if image.disk is not None:
            check_disk(image.disk, clouds, arch, allow_bios, report)
        report.fact("for " + (" and ".join(cloud.NAMES[name] for name in clouds) or "no cloud in particular"))
    return report


def show(path, report, quiet):
    facts = ", ".join(report.facts)
    count = len(report.wrong_)
    verdict = "cannot be checked" if report.unchecked else f"{count} to fix" if count else "nothing to fix"
    if not quiet or report.status:
        print(f"{path}: {facts + ': ' if facts else ''}{verdict}")
    for word, sentences in ("wrong", report.wrong_), ("unchecked", report.unchecked), ("note", report.notes):
        for sentence in sentences:
            if word != "note" or not quiet:
                print(f"    {word}: {printable(sentence)}")


def printable(text):
    """Names from an image go to a terminal: nothing that moves its cursor."""
    return "".join(c if c.isprintable() else "?" for c in text)


def main(arguments):
    parser = argparse.ArgumentParser(prog="lint-image", usage=USAGE, add_help=False)
    parser.add_argument("--cloud", action="append", choices=list(cloud.CHECK), default=[])
    parser.add_argument("--arch", choices=ARCHES)
    parser.add_argument("--allow-bios", action="store_true")
    parser.add_argument("--quiet", "-q", action="store_true")
    parser.add_argument("--help", "-h", action="store_true")
    parser.add_argument("files", nargs="*")
    asked = parser.parse_args(arguments)
    if asked.help or not asked.files:
        (sys.stdout if asked.help else sys.stderr).write(USAGE)
        return 0 if asked.help else 2
    status = 0
    for path in asked.files:
        report = Report()
        try:
            report = lint(path, asked.cloud, ARCHES.get(asked.arch), asked.allow_bios)
        except (OSError, MemoryError) as error:
            report.cannot_check(f"it cannot be read: "
                                f"{getattr(error, 'strerror', None) or error or 'not enough memory'}")
        except Exception as error:  # a mistake in this program, not in the image: say so and check the other files
            report.cannot_check(f"it confuses lint-image ({type(error).__name__}: {error}): please report this")
        show(path, report, asked.quiet)
        status = max(status, report.status)
    return status
