"""Turns what an archive says into one patient after another: merged records as one, paid for as was told last.

Kept by record in memory up to a limit, and beyond it in files by the record's hash, so that memory stays flat. Of
records only hashes are kept, and of visits too.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

from fhir_radcharge.engine.identity import Merge, last, standing_merges
from fhir_radcharge.ledger.codec import event_body, event_content, read_event, revision_text
from fhir_radcharge.model import TreatmentEvent
from fhir_radcharge.wire.adt import Statement

PARTS = 64
# Sixteen hexadecimal digits name a record, and begin each row of a file behind `["`.
_KEY = slice(2, 18)


class Told(NamedTuple):
    """The standing revision of an event, and the visit that it was reported for."""

    event: TreatmentEvent
    visit: str


class Paid(NamedTuple):
    """Who pays for a visit; the greatest stands."""

    revision: int
    payer: str
    insurance: str


class Record:
    """What was said of one record: the greatest revision of each event, who pays for each visit, and which visits are
    one."""

    __slots__ = ("became", "paid", "told")

    def __init__(self) -> None:
        self.told: dict[tuple[str, str], Told] = {}
        self.paid: dict[str, Paid] = {}
        self.became: set[Merge[str]] = set()

    def hear(self, one: Told) -> bool:
        """Let the greatest revision of an event stand; tell whether the event is new."""
        key = (one.event.source, one.event.id)
        other = self.told.get(key)
        if other is None or _order(one.event) > _order(other.event):
            self.told[key] = one
        return other is None

    def pay(self, visit: str, paid: Paid) -> bool:
        """Let the greatest revision of a coverage stand; tell whether the visit had none."""
        other = self.paid.get(visit)
        if other is None or paid > other:
            self.paid[visit] = paid
        return other is None

    def absorb(self, other: Record) -> None:
        """Take all that was said of another record of this patient."""
        for told in other.told.values():
            self.hear(told)
        for visit, paid in other.paid.items():
            self.pay(visit, paid)
        self.became |= other.became

    def events(self) -> tuple[TreatmentEvent, ...]:
        """Return the events; the payer of each is who pays for its visit now."""
        into = standing_merges(self.became)
        paid: dict[str, Paid] = {}
        for visit, one in sorted(self.paid.items(), key=lambda told: told[1]):
            paid[last(into, visit)] = one
        if not paid:
            return tuple(told.event for told in self.told.values())
        visits = [(told.event, last(into, told.visit)) for told in self.told.values()]
        return tuple(event._replace(payer=paid[visit].payer) if visit in paid else event for event, visit in visits)


class Records:
    """Every record that an archive names, in memory or in files of a folder; the map of merges is always in memory."""

    def __init__(self, folder: Path, kept_max: int) -> None:
        self._folder = folder
        self._max = kept_max
        self._records: dict[str, Record] = defaultdict(Record)
        self._merges: set[Merge[int]] = set()
        self._kept = 0
        self._parts: list[IO[str]] = []

    def keep(self, patient: str, visit: str, events: Iterable[TreatmentEvent]) -> None:
        """Keep events that were reported for a patient and a visit."""
        record, visit = self._records[_key(patient)], _key(visit) if visit else ""
        for event in events:
            self._kept += record.hear(Told(event, visit))
        self._spill_beyond()

    def identify(self, said: Statement) -> None:
        """Keep what was said of identity."""
        # Among sayings of one revision the hashes choose, as they do in the books.
        order = said.revision, hashlib.blake2b(f"{said.patient}\0{said.other}\0{said.account}".encode()).digest()
        if said.kind == "merge":
            if said.patient != said.other:
                self._merges.add(Merge(order, int(_key(said.patient), 16), int(_key(said.other), 16)))
            return
        visit = _key(said.account) if said.account else ""
        if said.kind == "visit":
            self._records[_key(said.patient)].became.add(Merge(order, _key(said.prior), visit))
            self._kept += 1
            return
        paid = Paid(said.revision, said.payer, said.insurance)
        self._kept += self._records[_key(said.patient)].pay(visit, paid)
        self._spill_beyond()

    def patients(self) -> Iterator[tuple[str, Record]]:
        """Yield the patients of whom events were told, each once and by the hash of the record that survives."""
        into = standing_merges(self._merges)
        if not self._parts:
            found: Iterable[dict[str, Record]] = (self._merged(into),)
        else:
            self._spill()
            found = self._read(into)
        for records in found:
            yield from ((key, record) for key, record in records.items() if record.told)

    # -- inside ------------------------------------------------------------------------------------------------

    def _merged(self, into: dict[int, int]) -> dict[str, Record]:
        for key in [key for key in self._records if into and int(key, 16) in into]:
            gone = self._records.pop(key)
            self._records[_survivor(key, into)].absorb(gone)
        return self._records

    def _spill_beyond(self) -> None:
        if self._kept > self._max:
            self._spill()

    def _spill(self) -> None:
        if not self._parts:
            self._parts = self._files("part")
        for key, record in self._records.items():
            part = self._parts[_part(key)]
            for event, visit in record.told.values():
                row = (key, event.source, event.id, event.kind, revision_text(event.revision), event.voided,
                       event.message, event_body(event), visit)  # fmt: skip
                part.write(json.dumps(row, separators=(",", ":")) + "\n")
            for merge in record.became:
                (revision, tie), prior, visit = merge
                part.write(json.dumps((key, revision, tie.hex(), prior, visit, "visit"), separators=(",", ":")) + "\n")
            for visit, paid in record.paid.items():
                part.write(json.dumps((key, visit, *paid), separators=(",", ":")) + "\n")
        self._records.clear()
        self._kept = 0

    def _files(self, name: str) -> list[IO[str]]:
        return [(self._folder / f"{name}{number:02}").open("w+", encoding="utf-8") for number in range(PARTS)]

    def _read(self, into: dict[int, int]) -> Iterator[dict[str, Record]]:
        moved = self._moved(into) if into else []
        for number, part in enumerate(self._parts):
            records: dict[str, Record] = defaultdict(Record)
            for line in _lines(part):
                if not into or int(line[_KEY], 16) not in into:
                    _add(records, line)
            for line in _lines(moved[number]) if moved else ():
                _add(records, line)
            yield records
        for file in (*self._parts, *moved):
            file.close()

    def _moved(self, into: dict[int, int]) -> list[IO[str]]:
        """Return the rows of merged records again, in the files where the surviving ones lie."""
        moved = self._files("moved")
        for part in self._parts:
            for line in _lines(part):
                if int(line[_KEY], 16) in into:
                    survivor = _survivor(line[_KEY], into)
                    moved[_part(survivor)].write(f'["{survivor}{line[_KEY.stop :]}')
        return moved


def _lines(file: IO[str]) -> Iterator[str]:
    file.seek(0)
    return iter(file)


def _add(records: dict[str, Record], line: str) -> None:
    key, *row = json.loads(line)
    if len(row) == 4:
        visit, *paid = row
        records[key].pay(visit, Paid(*paid))
    elif len(row) == 5:
        revision, tie, prior, visit, _ = row
        records[key].became.add(Merge((revision, bytes.fromhex(tie)), prior, visit))
    else:
        *told, visit = row
        source, name, kind, revision, voided, message, body = told
        records[key].hear(Told(read_event(source, name, kind, revision, voided, message, body), visit))


def _survivor(key: str, into: dict[int, int]) -> str:
    return f"{last(into, int(key, 16)):016x}"


def _part(key: str) -> int:
    return int(key[:8], 16) % PARTS


def _key(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _order(event: TreatmentEvent) -> tuple[Any, ...]:
    """Return what orders the sayings about one id: the sender's revision, a void last, then content."""
    content = event_content(event.kind, "", event.voided, event_body(event))
    return tuple((isinstance(part, str), part) for part in event.revision), event.voided, content
