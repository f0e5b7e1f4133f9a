"""A billing system that keeps books, reads what it is sent with its own few lines, and complains at once."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from rig.broken import Broken


class Key(NamedTuple):
    """What a billing system tells lines apart by."""

    record: str
    code: str
    modifiers: str
    day: str


class Said(NamedTuple):
    """One FT1 as this biller reads it; `names` are the ids by which it may name the charge that it credits."""

    names: tuple[str, ...]
    kind: str
    key: Key
    units: int


class Biller:
    """Post what is sent; drop repeats of a control id if it is one of those that do.

    Breaks the run where a message is posted twice, where a control id comes with other bytes, where a credit
    comes before its charge or takes back more than stands.
    """

    def __init__(self, name: str, drops_repeats: bool) -> None:
        self.name = name
        self.drops_repeats = drops_repeats
        self.books: Counter[Key] = Counter()
        self.posted: dict[str, bytes] = {}
        self.charges: dict[str, Key] = {}

    def post(self, raw: bytes) -> None:
        """Take a message into the books."""
        segments = [line.split("|") for line in raw.decode("utf-8").split("\r") if line]
        control_id = segments[0][9]
        if control_id in self.posted:
            if self.posted[control_id] != raw:
                raise Broken("I4", f"{self.name}: {control_id} came with other bytes")
            if self.drops_repeats:
                return
            raise Broken("I3", f"{self.name}: {control_id} was posted twice")
        self.posted[control_id] = raw
        record = next(one[3] for one in segments if one[0] == "PID").split("^")[0]
        for said in (self._said(one, record) for one in segments if one[0] == "FT1"):
            self._book(said, control_id)

    def _said(self, ft1: list[str], record: str) -> Said:
        cells = [*ft1, *[""] * 30]
        code = (cells[25] or cells[7]).split("^")[0]
        modifiers = "-".join(one.split("^")[0] for one in cells[26].split("~") if one)
        key = Key(record, code, modifiers, cells[4].split("^")[0][:8])
        return Said((cells[2], cells[23].split("^")[0]), cells[6], key, abs(int(cells[10])))

    def _book(self, said: Said, control_id: str) -> None:
        if said.kind == "CG":
            self.books[said.key] += said.units
            self.charges[said.names[0]] = said.key
            return
        charged = {self.charges[name] for name in said.names if name in self.charges}
        if charged != {said.key}:
            raise Broken("I8", f"{self.name}: credit {control_id} names no charge of its line that was taken")
        if self.books[said.key] < said.units:
            raise Broken("I8", f"{self.name}: credit {control_id} takes back more than stands")
        self.books[said.key] -= said.units

    def standing(self) -> Counter[Key]:
        """Return what stands on the bill."""
        return +self.books
