"""What a person types into what it names: a posting, an event, a message, or a course of a patient."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from fhir_radcharge.errors import MessageError, RadchargeError
from fhir_radcharge.explain.patient import survivor_of
from fhir_radcharge.wire import ack

Kind = Literal["posting", "event", "message", "course"]


class Found(NamedTuple):
    """One thing that an id names: its kind, its name there, and the patient's number (0: none)."""

    kind: Kind
    name: str
    patient: int = 0


class NotFoundError(RadchargeError):
    """An id names nothing in the books, or more than one thing."""


def found(connection: sqlite3.Connection, name: str, patient: int | None = None, kind: Kind | None = None) -> Found:
    """Return what an id names; `patient` and `kind` choose where several things have that name.

    A bare number is a message where there is one of that number.
    """
    if kind in (None, "message", "posting"):
        first = _numbered_or_posting(connection, name)
        if first is not None and kind in (None, first.kind):
            return first
    looks = {"course": _courses, "event": _events, "message": _messages}
    every = [one for at, look in looks.items() if kind in (None, at) for one in look(connection, name)]
    # Records that were merged are one patient, whichever of them is named.
    every = list(dict.fromkeys(one._replace(patient=survivor_of(connection, one.patient)) for one in every))
    mine = None if patient is None else survivor_of(connection, patient)
    return _only(name, kind or "posting, event, message or course", every, mine)


def _numbered_or_posting(connection: sqlite3.Connection, name: str) -> Found | None:
    number = name[1:] if name.startswith("#") else name
    if number.isdigit() and len(number) < 16 and (name.startswith("#") or _is_message(connection, int(number))):
        if not _is_message(connection, int(number)):
            raise NotFoundError(f"there is no message {name} in these books")
        return Found("message", number)
    row = connection.execute("select patient from posting where id = ?", (name.upper(),)).fetchone()
    if row:
        return Found("posting", name.upper(), row[0])
    return None


def _only(name: str, kind: str, every: Sequence[Found], patient: int | None) -> Found:
    mine = [one for one in every if patient in (None, one.patient)]
    if not mine:
        raise NotFoundError(f"no {kind} is called '{name}' in these books")
    if len({one.kind for one in mine}) == 1 and len(mine) > 1:
        names = ", ".join(str(one.patient) if one.patient else f"#{one.name}" for one in mine[:20])
        ask = "name one with --patient" if mine[0].kind != "message" else "name one by its number"
        raise NotFoundError(f"several {mine[0].kind}s are called '{name}': {names}; {ask}")
    return mine[0]


def _is_message(connection: sqlite3.Connection, number: int) -> bool:
    return connection.execute("select 1 from message where number = ?", (number,)).fetchone() is not None


def _courses(connection: sqlite3.Connection, name: str) -> Iterator[Found]:
    rows = connection.execute(
        "select patient from posting where course = ?1"
        " union select patient from open_item where course = ?1 and patient > 0"
        " union select patient from event where json_extract(body, '$[2]') = ?1 order by 1",
        (name,),
    )
    for (patient,) in rows.fetchall():
        yield Found("course", name, patient)


def _events(connection: sqlite3.Connection, name: str) -> Iterator[Found]:
    rows = connection.execute("select patient, max(number) from event where event_id = ? group by source", (name,))
    for patient, _ in rows.fetchall():
        yield Found("event", name, patient)


def _messages(connection: sqlite3.Connection, control_id: str) -> Iterator[Found]:
    """Yield the messages of a control id: only its last two characters are in the books as they came."""
    rows = connection.execute(
        "select number from message where substr(dedup, 15) = ? order by number", (control_id[-2:].encode(),)
    )
    for (number,) in rows.fetchall():
        (raw,) = connection.execute("select raw from message where number = ?", (number,)).fetchone()
        try:
            if ack.header(raw).control_id == control_id:
                yield Found("message", str(number))
        except MessageError:
            continue
