"""Turns an archive of messages into what it makes due: read once, reckoned once for each patient, nothing sent.

The same rooms as the engine's: `wire` reads, `charges_due` reckons; only the books are left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

from fhir_radcharge.engine.fhir_reading import as_stored, fhir_sender, is_fhir, readings_of
from fhir_radcharge.errors import ConfigError, MessageError, RuleError
from fhir_radcharge.model import Due, TreatmentEvent
from fhir_radcharge.recoded_patients import Records
from fhir_radcharge.rules.charging import charges_due
from fhir_radcharge.rules.rulebook import Edits
from fhir_radcharge.site import Site
from fhir_radcharge.wire.ack import header
from fhir_radcharge.wire.adt import read_adt
from fhir_radcharge.wire.dft import Reading, read_dft
from fhir_radcharge.wire.er7 import Message, read_message
from fhir_radcharge.wire.sender import Sender

FHIR_SENDER = "rv_fhir"
EVENTS_IN_MEMORY = 250_000
SENDERS_MAX = 1_000


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
        self._fhir_name = fhir_name
        self._records = Records(folder, events_max)
        self._senders: dict[tuple[bytes, ...], Sender] = {}
        self.counts: Counter[str] = Counter()
        self.parked: list[Parked] = []

    def hear(self, file: str, number: int, raw: bytes) -> None:
        """Take one message; what cannot be read is parked with its place, and the next is unharmed."""
        self.counts["messages"] += 1
        try:
            is_v2 = raw.startswith(b"MSH") or not (raw.startswith(b"{") or is_fhir(raw))
            readings = self._v2(raw) if is_v2 else self._fhir(raw)
        except MessageError as problem:
            self._park(file, number, problem)
            return
        for reading in readings:
            for unread in reading.problems:
                self._park(file, number, unread)
            for notice in reading.notices:
                self.counts[notice] += 1
            if reading.events:
                self.counts["events"] += len(reading.events)
                self._records.keep(reading.patient, reading.account, reading.events)

    def _v2(self, raw: bytes) -> tuple[Reading, ...]:
        sender = self._sender(raw)
        message = read_message(raw, sender.charset)
        said = read_adt(message, sender, self._site) if _is_adt(message) else ()
        for one in said:
            self._records.identify(one)
        return () if said else (read_dft(message, sender, self._site, self.counts["messages"]),)

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

    def patients(self, as_of: date | None, edits: Edits | None) -> Iterator[Patient]:
        """Yield what is due of each patient; one whose tables give no answer says so and stops nobody else."""
        for key, record in self._records.patients():
            yield _reckoned(key, record.events(), self._site, as_of, edits)


def _is_adt(message: Message) -> bool:
    header = message.segments[0]
    return len(header) > 9 and header[9][:3] == "ADT"


def _named(site: Site, name: str | None) -> Sender | None:
    if name is not None and name not in site.senders:
        raise ConfigError(f"there is no sender profile '{name}'; known: {', '.join(sorted(site.senders))}")
    return site.senders[name] if name is not None else None


def _reckoned(
    key: str, events: tuple[TreatmentEvent, ...], site: Site, as_of: date | None, edits: Edits | None
) -> Patient:
    try:
        due = charges_due(events, site.rulebook, as_of, tables=edits)
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
