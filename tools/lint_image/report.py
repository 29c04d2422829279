"""What was found in one file."""
from dataclasses import dataclass, field

MOST = 40  # sentences of one kind: a file of noise has thousands of things wrong with it


@dataclass
class Report:
    wrong_: list = field(default_factory=list)  # keeps the image from being imported or booted
    notes: list = field(default_factory=list)  # worth knowing
    unchecked: list = field(default_factory=list)  # could not be looked at
    facts: list = field(default_factory=list)  # the first line: what the file is

    @staticmethod
    def _add(to, sentence):
        if sentence not in to and len(to) < MOST:
            to.append(sentence)

    def wrong(self, sentence):
        self._add(self.wrong_, sentence)

    def note(self, sentence):
        self._add(self.notes, sentence)

    def cannot_check(self, sentence):
        self._add(self.unchecked, sentence)

    def fact(self, words):
        self._add(self.facts, words)

    @property
    def status(self):
        return 2 if self.unchecked else 1 if self.wrong_ else 0


def size_text(size):
    """1 GiB, 64 MiB, 65 MiB and 512 bytes."""
    for shift, unit in (40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB"):
        if size >= 1 << shift and not size % (1 << shift):
            return f"{size >> shift} {unit}"
    return f"{size >> 20} MiB and {size % (1 << 20)} bytes" if size >= 1 << 20 else f"{size} bytes"
