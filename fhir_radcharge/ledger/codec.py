"""Nouns into rows and back: the same value always spells the same row, so that equal content hashes alike."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from hashlib import blake2b
from typing import Any, NamedTuple

from fhir_radcharge.model import Charge, Place, PostingKind, Reported, Standing, TreatmentEvent, Why

_PLAIN = (str, int, float, bool, type(None))
# What is encoded is built here and holds no circle, and looking for one costs half of the time.
_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, sort_keys=True, check_circular=False).encode


def event_key(source: str, event_id: str) -> bytes:
    """Return the name of an event among all senders.

    The last two characters stay as they are, so that counted ids lie side by side in the index and a batch
    touches few pages of it; the rest is a hash.
    """
    head = blake2b(f"{source}\0{event_id[:-2]}".encode(), digest_size=12).digest()
    return head + event_id[-2:].encode()


def event_body(event: TreatmentEvent) -> str:
    """Return what an event says, without its id, revision and message."""
    facts = event.facts
    for value in facts.values():
        if type(value) not in _PLAIN:
            facts = {name: _tagged(fact) for name, fact in facts.items()}
            break
    return _encode(
        (
            event.day.isoformat(),
            event.minute,
            event.course,
            facts,
            event.place,
            event.patient_class,
            event.payer,
            event.reported,
            event.provider,
            sorted(event.lacks),
        )
    )


def event_content(kind: str, account: str, voided: bool, body: str) -> bytes:
    """Return the hash that tells a repeat from a revision."""
    text = f"{kind}\0{account}\0{voided:d}\0{body}"
    return blake2b(text.encode(), digest_size=16).digest()


def revision_text(revision: tuple[Any, ...]) -> str:
    """Return a revision as it is stored."""
    return _list_text([part if type(part) in _PLAIN else _tagged(part) for part in revision])


def revision_order(revision: str, voided: bool, content: bytes) -> tuple[Any, ...]:
    """Return what sorts the sayings about one id: numbers before texts, a void after what it voids, then content."""
    parts = json.loads(revision)
    return tuple((isinstance(part, str), part) for part in map(_sortable, parts)), voided, content


def told_order(revision: tuple[Any, ...], text: str, voided: bool, content: bytes) -> tuple[Any, ...]:
    """Return `revision_order` of a revision that is at hand, without reading its text where its parts are plain."""
    for part in revision:
        if type(part) is not str and type(part) is not int:
            return revision_order(text, voided, content)
    return tuple([(type(part) is str, part) for part in revision]), voided, content


def read_event(
    source: str, event_id: str, kind: Any, revision: str, voided: int, message: int, body: str
) -> TreatmentEvent:
    """Return a stored event."""
    day, minute, course, facts, place, patient_class, payer, reported, provider, lacks = json.loads(body)
    if "$" in body:
        facts = {name: _untagged(fact) for name, fact in facts.items()}
    return TreatmentEvent(
        source,
        event_id,
        kind,
        date.fromisoformat(day),
        minute,
        course,
        facts,
        Place(*place),
        patient_class,
        payer,
        Reported(reported[0], tuple(reported[1]), reported[2]) if reported else None,
        provider,
        frozenset(lacks),
        tuple(map(_untagged, json.loads(revision))),
        bool(voided),
        message,
    )


class Line(NamedTuple):
    """One posting as the engine remembers it: the line without its trace, and how it stands in the books."""

    id: str
    kind: PostingKind
    mode: str
    destination: str
    line_key: str
    charge: Charge
    units: int
    credits: str | None
    message: int
    account: str
    send: int | None
    patient: int = 0

    def standing(self, units: int) -> Standing:
        """Return this charge posting as standing with the units that were not credited."""
        charge = self.charge
        return Standing(
            self.id,
            charge.bill,
            charge.course,
            charge.code,
            charge.modifiers,
            charge.day,
            charge.end,
            units,
            charge.place_of_service,
            charge.provider,
            charge.packaged,
            charge.slot,
            self.account,
            charge.dated_by,
        )


LINE_COLUMNS = (
    "id, kind, mode, destination, course, line_key, bill, code, modifiers, day, end_day, line_units,"
    " place_of_service, provider, packaged, family, slot, keeps_date, dated_by, units, credits, message, account,"
    " send, patient"
)


def read_line(row: Sequence[Any]) -> Line:
    """Return a stored posting, whose row has LINE_COLUMNS."""
    (name, kind, mode, destination, course, line_key, bill, code, modifiers, day, end, line_units, place, provider,
     packaged, family, slot, keeps_date, dated_by, units, credits, message, account, send, patient) = row  # fmt: skip
    charge = Charge(
        bill,
        course,
        code,
        tuple(modifiers.split()),
        date.fromisoformat(day),
        date.fromisoformat(end) if end else None,
        line_units,
        place,
        provider,
        bool(packaged),
        None,
        family,
        slot,
        dated_by,
        (),
        (),
        "",
        bool(keeps_date),
    )
    return Line(name, kind, mode, destination, line_key, charge, units, credits, message, account, send, patient)


def line_fields(charge: Charge) -> tuple[Any, ...]:
    """Return the columns of a posting from `bill` to `dated_by`."""
    return (
        charge.bill,
        charge.code,
        " ".join(charge.modifiers),
        charge.day.isoformat(),
        charge.end.isoformat() if charge.end else None,
        charge.units,
        charge.place_of_service,
        charge.provider,
        int(charge.packaged),
        charge.family,
        charge.slot,
        int(charge.keeps_date),
        charge.dated_by,
    )


def why_text(charge: Charge) -> str:
    """Return the trace of a line: its events, the rows that answered, and its note."""
    return f"[{_list_text(charge.events)},{_steps_text(charge.why)},{_encode(charge.note)}]"


@lru_cache(maxsize=1024)
def _steps_text(steps: tuple[Why, ...]) -> str:
    """Return the steps of a trace: the sessions of a course mostly take the same ones."""
    return _encode(steps)


def read_why(text: str) -> tuple[tuple[str, ...], tuple[Why, ...], str]:
    """Return the events, the steps and the note of a stored trace."""
    events, steps, note = json.loads(text)
    why = tuple(Why(table, row, tuple((name, value) for name, value in asked)) for table, row, asked in steps)
    return tuple(events), why, note


def _list_text(parts: Sequence[Any]) -> str:
    """Return a short list as `_encode` spells it, which makes an encoder for whatever is neither text nor number."""
    return f"[{','.join([str(part) if type(part) is int else _encode(part) for part in parts])}]"


def _tagged(value: Any) -> Any:
    if type(value) in _PLAIN:
        return value
    for kind, tag, spell in _TAGS:
        if isinstance(value, kind):
            return {tag: spell(value)}
    raise TypeError(f"a fact of type {type(value).__name__} has no spelling in the books")


_TAGS: tuple[tuple[type, str, Callable[[Any], Any]], ...] = (
    (datetime, "$time", datetime.isoformat),
    (date, "$day", date.isoformat),
    (Decimal, "$number", str),
    (tuple, "$tuple", lambda value: [_tagged(part) for part in value]),
    (list, "$list", lambda value: [_tagged(part) for part in value]),
    (frozenset, "$set", lambda value: sorted(map(_tagged, value), key=_encode)),
    (dict, "$map", lambda value: {name: _tagged(part) for name, part in value.items()}),
)
_READ: dict[str, Callable[[Any], Any]] = {
    "$time": datetime.fromisoformat,
    "$day": date.fromisoformat,
    "$number": Decimal,
    "$tuple": lambda value: tuple(map(_untagged, value)),
    "$list": lambda value: list(map(_untagged, value)),
    "$set": lambda value: frozenset(map(_untagged, value)),
    "$map": lambda value: {name: _untagged(part) for name, part in value.items()},
}


def _untagged(value: Any) -> Any:
    if isinstance(value, dict):
        ((tag, told),) = value.items()
        return _READ[tag](told)
    return value


def _sortable(part: Any) -> Any:
    if isinstance(part, dict):
        return _encode(part)
    return "" if part is None else part
