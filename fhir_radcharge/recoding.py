"""Turns an archive of messages into what it makes due: read once, reckoned once for each patient, nothing sent.

The same rooms as the engine's: `wire` reads, `charges_due` reckons; only the books are left out. Events are
kept by patient in memory up to a limit, and beyond it in files by patient hash, so that memory stays flat.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from datetime import date
from pathlib import Path
from typing import IO, Any, NamedTuple

from fhir_radcharge.engine.fhir_reading import as_stored, fhir_sender, is_fhir, readings_of
from fhir_radcharge.errors import ConfigError, MessageError, RuleError
from fhir_radcharge.ledger.codec import event_body, event_content, read_event, revision_text
from fhir_radcharge.model import Due, TreatmentEvent
from fhir_radcharge.rules.charging import charges_due
from fhir_radcharge.rules.rulebook import Edits
from fhir_radcharge.site import Site
from fhir_radcharge.wire.ack import header
from fhir_radcharge.wire.dft import Reading, read_dft
from fhir_radcharge.wire.er7 import read_message
from fhir_radcharge.wire.sender import Sender

FHIR_SENDER = "rv_fhir"
EVENTS_IN_MEMORY = 250_000
PARTS = 64
SENDERS_MAX = 1_000

Events = dict[tuple[str, str], TreatmentEvent]


class Parked(NamedTuple):
    """A message, or a line of one, that could not be read: where, why, and what mends it."""

    file: str
    message: int
    place: str
    problem: str


class Patient(NamedTuple):
    """What is due of one patient; `key` is a hash, `failed` why nothing could be reckoned."""

    key: str
    events: int
    due: Due
    failed: str = ""


class Hearing:
    """What an archive has said so far: the greatest revision of each event, by patient."""

    def __init__(
        self, site: Site, folder: Path, events_max: int = EVENTS_IN_MEMORY, fhir_name: str = FHIR_SENDER,
        dft_name: str | None = None,
    ) -> None:  # fmt: skip
        self._site = site
        self._only = _named(site, dft_name)
        self._folder = folder
        self._fhir_name = fhir_name
        self._max = events_max
        self._patients: dict[str, Events] = defaultdict(dict)
        self._kept = 0
        self._parts: list[IO[str]] = []
        self._senders: dict[tuple[bytes, ...], Sender] = {}
        self.counts: Counter[str] = Counter()
        self.parked: list[Parked] = []

    def hear(self, file: str, number: int, raw: bytes) -> None:
        """Take one message; what cannot be read is parked with its place, and the next is unharmed."""
        self.counts["messages"] += 1
        try:
            readings = self._fhir(raw) if raw[:1] == b"{" or is_fhir(raw) else (self._dft(raw),)
        except MessageError as problem:
            self._park(file, number, problem)
            return
        for reading in readings:
            for unread in reading.problems:
                self._park(file, number, unread)
            for notice in reading.notices:
                self.counts[notice] += 1
            if reading.events:
                self._keep(reading.patient, reading.events)

    def _dft(self, raw: bytes) -> Reading:
        sender = self._sender(raw)
        return read_dft(read_message(raw, sender.charset), sender, self._site, self.counts["messages"])

    def _fhir(self, raw: bytes) -> tuple[Reading, ...]:
        number = self.counts["messages"]
        stored = raw if is_fhir(raw) else as_stored(raw, fhir_sender(self._site, self._fhir_name), number)
        return readings_of(stored, self._site, number)

    def _sender(self, raw: bytes) -> Sender:
        """Return the sender of a message, remembered by the bytes before MSH-5, or the one that reads all."""
        if self._only is not None:
            return self._only
        opening = tuple(raw[:200].split(raw[3:4], 4)[1:4])
        sender = self._senders.get(opening)
        if sender is None:
            sender = self._site.sender_for(header(raw))
            if len(self._senders) < SENDERS_MAX:
                self._senders[opening] = sender
        return sender

    def _park(self, file: str, number: int, problem: MessageError) -> None:
        self.counts["parked"] += 1
        self.parked.append(Parked(file, number, problem.place, f"{problem.problem}; {problem.remedy}"))

    def _keep(self, patient: str, events: Iterable[TreatmentEvent]) -> None:
        known = self._patients[patient]
        for event in events:
            self.counts["events"] += 1
            key = (event.source, event.id)
            other = known.get(key)
            if other is None:
                known[key] = event
                self._kept += 1
            elif _order(event) > _order(other):
                known[key] = event
        if self._kept > self._max:
            self._spill()

    def _spill(self) -> None:
        if not self._parts:
            self._parts = [(self._folder / f"part{n:02}").open("w+", encoding="utf-8") for n in range(PARTS)]
        for patient, events in self._patients.items():
            key = _key(patient)
            part = self._parts[int(key[:8], 16) % PARTS]
            for event in events.values():
                row = (key, event.source, event.id, event.kind, revision_text(event.revision), event.voided,
                       event.message, event_body(event))  # fmt: skip
                part.write(json.dumps(row, separators=(",", ":")) + "\n")
        self._patients.clear()
        self._kept = 0

    def patients(self, as_of: date | None, edits: Edits | None) -> Iterator[Patient]:
        """Yield what is due of each patient; one whose tables give no answer says so and stops nobody else."""
        if not self._parts:
            for patient, events in self._patients.items():
                yield _reckoned(_key(patient), events, self._site, as_of, edits)
            return
        self._spill()
        for part in self._parts:
            by_patient: dict[str, Events] = defaultdict(dict)
            part.seek(0)
            for line in part:
                key, source, name, kind, revision, voided, message, body = json.loads(line)
                event = read_event(source, name, kind, revision, voided, message, body)
                known = by_patient[key]
                other = known.get((source, name))
                if other is None or _order(event) > _order(other):
                    known[source, name] = event
            part.close()
            for key, events in by_patient.items():
                yield _reckoned(key, events, self._site, as_of, edits)


def _named(site: Site, name: str | None) -> Sender | None:
    if name is not None and name not in site.senders:
        raise ConfigError(f"there is no sender profile '{name}'; known: {', '.join(sorted(site.senders))}")
    return site.senders[name] if name is not None else None


def _key(patient: str) -> str:
    return hashlib.blake2b(patient.encode(), digest_size=8).hexdigest()


def _order(event: TreatmentEvent) -> tuple[Any, ...]:
    """Return what orders the sayings about one id: the sender's revision, a void last, then content."""
    content = event_content(event.kind, "", event.voided, event_body(event))
    return tuple((isinstance(part, str), part) for part in event.revision), event.voided, content


def _reckoned(key: str, events: Events, site: Site, as_of: date | None, edits: Edits | None) -> Patient:
    try:
        due = charges_due(tuple(events.values()), site.rulebook, as_of, tables=edits)
    except RuleError as problem:
        return Patient(key, len(events), Due((), ()), str(problem))
    return Patient(key, len(events), due)


def row_of(patient: Patient, charge: Any) -> dict[str, Any]:
    """Return a line as a flat row for NDJSON and CSV; the patient is a hash."""
    return {
        "patient": patient.key, "course": charge.course, "bill": charge.bill, "code": charge.code,
        "modifiers": "-".join(charge.modifiers), "units": charge.units, "date": charge.day.isoformat(),
        "end": charge.end.isoformat() if charge.end else "", "place_of_service": charge.place_of_service,
        "packaged": charge.packaged, "hold": charge.hold or "", "rules": " ".join(step.row for step in charge.why),
        "events": " ".join(charge.events),
    }  # fmt: skip
