"""Questions to the books: each returns rows as plain mappings, in the order in which things happened.

They read one connection and change nothing, so a console may ask them of `ledger.reader(path)` beside a running
engine. Payloads are left out unless the question is for them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from fhir_radcharge.ledger.codec import event_key, read_why

Row = dict[str, Any]

_POSTING = (
    "p.number, p.id, p.kind, p.mode, p.destination, p.patient, p.course, p.bill, p.code, p.modifiers, p.day, p.end_day,"
    " p.line_units, p.units, p.place_of_service, p.provider, p.packaged, p.slot, p.dated_by, p.credits, p.previous,"
    " p.message, p.posted, p.cause, p.send, p.why, e.digest as tables,"
    " exists (select 1 from struck s where s.patient = p.patient and s.posting = p.id) as struck,"
    " o.state as outbox_state, o.attempt as attempts"
)
_POSTINGS = (
    f"select {_POSTING} from posting p left join edition e on e.number = p.edition"  # noqa: S608
    " left join outbox o on o.seq = p.send"
)
_STATES = {0: "queued", 1: "sent", 2: "unanswered", 3: "blocked"}
_MESSAGE = "number, listener, peer, received_at, disposition, length(raw) as bytes, hex(content) as content"


def message(connection: sqlite3.Connection, number: int) -> Row | None:
    """Return a stored message without its bytes, and what became of it; None if there is none."""
    rows = _rows(connection, f"select {_MESSAGE} from message where number = ?", (number,))  # noqa: S608
    if not rows:
        return None
    row = rows[0]
    done = _rows(connection, "select value from cursor where name = 'work'")
    parked = any(item["patient"] == 0 and item["category"] != "notice" for item in queue(connection, message=number))
    if row["disposition"] in ("refused", "unusable", "test"):
        row["state"] = row["disposition"]
    elif parked:
        row["state"] = "held"
    else:
        row["state"] = "processed" if done and done[0]["value"] >= number else "stored"
    return row


def raw(connection: sqlite3.Connection, number: int) -> bytes | None:
    """Return the bytes of a stored message, None if there is none."""
    found = connection.execute("select raw from message where number = ?", (number,)).fetchone()
    return found[0] if found else None


def events_of_message(connection: sqlite3.Connection, number: int) -> list[Row]:
    """Return the events that were read from a message."""
    return _rows(connection, f"{_EVENTS} where message = ? order by number", (number,))


def revisions(connection: sqlite3.Connection, source: str, event_id: str) -> list[Row]:
    """Return every saying about one event."""
    return _rows(connection, f"{_EVENTS} where key = ? order by number", (event_key(source, event_id),))


def events_of_patient(connection: sqlite3.Connection, patient: int) -> list[Row]:
    """Return every saying about one patient's events."""
    return _rows(connection, f"{_EVENTS} where patient = ? order by number", (patient,))


def posting(connection: sqlite3.Connection, name: str) -> Row | None:
    """Return a posting with its trace and its state, None if there is none of this id."""
    rows = _postings(connection, "where p.id = ?", (name,))
    return rows[0] if rows else None


def postings_of_patient(connection: sqlite3.Connection, patient: int, course: str | None = None) -> list[Row]:
    """Return the postings of a patient, or of one course."""
    if course is None:
        return _postings(connection, "where p.patient = ? order by p.number", (patient,))
    return _postings(connection, "where p.patient = ? and p.course = ? order by p.number", (patient, course))


def send_of(connection: sqlite3.Connection, control_id: str) -> Row | None:
    """Return the outbound message of a control id with its attempts and answers, None if there is none."""
    # A message is named by its first posting, so that no further index is kept.
    found = posting(connection, control_id)
    return send(connection, found["send"]) if found and found["send"] is not None else None


def send(connection: sqlite3.Connection, number: int) -> Row | None:
    """Return an outbound message with its attempts and answers."""
    rows = _rows(
        connection,
        "select number, destination, patient, course, message, control_id, length(body) as bytes"
        " from send where number = ?",
        (number,),
    )
    if not rows:
        return None
    row = rows[0]
    row["attempts"] = _rows(connection, "select attempt, at from attempt where send = ? order by number", (number,))
    row["answers"] = _rows(
        connection, "select attempt, kind, code, at, raw from answer where send = ? order by number", (number,)
    )
    return row


def body(connection: sqlite3.Connection, number: int) -> bytes | None:
    """Return the frozen bytes of an outbound message, None if there is none."""
    found = connection.execute("select body from send where number = ?", (number,)).fetchone()
    return found[0] if found else None


def patient_number(connection: sqlite3.Connection, key: bytes) -> int | None:
    """Return the number of a patient by the keyed hash of `Ledger.key`, None if nothing was heard of one."""
    found = connection.execute("select number from patient where key = ?", (key,)).fetchone()
    return found[0] if found else None


def queue(
    connection: sqlite3.Connection, category: str | None = None, message: int | None = None, patient: int | None = None
) -> list[Row]:
    """Return what waits for a person, the oldest first; `since` is when it was first opened."""
    where, values = ["category != 'dismissed'"], []
    for name, value in (("category", category), ("message", message), ("patient", patient)):
        if value is not None:
            where.append(f"{name} = ?")
            values.append(value)
    return _rows(connection, f"select * from open_item where {' and '.join(where)} order by since, key", values)  # noqa: S608


def history(connection: sqlite3.Connection, key: str) -> list[Row]:
    """Return when an item was held and cleared."""
    return _rows(connection, "select * from hold where key = ? order by number", (key,))


def decisions(connection: sqlite3.Connection, subject: str | None = None) -> list[Row]:
    """Return what people decided, of one subject or of all."""
    if subject is None:
        return _rows(connection, "select * from decision order by number")
    return _rows(connection, "select * from decision where subject = ? order by number", (subject,))


def waiting(connection: sqlite3.Connection) -> list[Row]:
    """Return for each destination and state how many messages wait and the oldest of them."""
    rows = _rows(
        connection,
        "select destination, state, count(*) as count, min(seq) as oldest from outbox group by 1, 2 order by 1, 2",
    )
    return [{**row, "state": _STATES[row["state"]]} for row in rows]


def oldest_unsent(connection: sqlite3.Connection) -> Row | None:
    """Return the oldest message that no destination has confirmed, with when its cause was heard; None if all are."""
    rows = _rows(
        connection,
        "select o.seq, o.destination, o.state, m.received_at from outbox o join send s on s.number = o.seq"
        " left join message m on m.number = s.message order by o.seq limit 1",
    )
    return {**rows[0], "state": _STATES[rows[0]["state"]]} if rows else None


def standing(connection: sqlite3.Connection, destination: str) -> list[Row]:
    """Return the charges that stand at a destination: said, not refused, and not wholly credited."""
    return _rows(connection, _STANDING, (destination,))


def charges_by_code(connection: sqlite3.Connection, destination: str, first: str, last: str) -> list[Row]:
    """Return the units that stand at a destination by code, for dates of service from first to last."""
    return _rows(
        connection,
        f"select code, modifiers, bill, sum(standing) as units from ({_STANDING})"  # noqa: S608
        " where day between ? and ? group by 1, 2, 3 order by 1, 2, 3",
        (destination, first, last),
    )


_EVENTS = "select number, source, event_id, revision, kind, patient, voided, message, edition, body from event"
_STANDING = """
    select p.id, p.patient, p.course, p.bill, p.code, p.modifiers, p.day, p.units - coalesce((
             select sum(c.units) from posting c where c.patient = p.patient and c.credits = p.id
             and not exists (select 1 from struck s where s.patient = c.patient and s.posting = c.id)), 0) as standing
      from posting p
     where p.destination = ? and p.kind = 'CHARGE' and p.mode != 'shadow' and standing > 0
       and not exists (select 1 from struck s where s.patient = p.patient and s.posting = p.id)
     order by p.number
"""


def _postings(connection: sqlite3.Connection, where: str, values: Sequence[Any]) -> list[Row]:
    rows = _rows(connection, f"{_POSTINGS} {where}", values)
    for row in rows:
        row["events"], steps, row["note"] = read_why(row["why"])
        row["why"] = [step._asdict() for step in steps]
        row["state"] = _state(row)
        del row["outbox_state"], row["struck"]
    return rows


def _state(row: Row) -> str:
    if row["mode"] != "live":
        return str(row["mode"])
    if row["struck"]:
        return "struck"
    return "accepted" if row["outbox_state"] is None else _STATES[row["outbox_state"]]


def _rows(connection: sqlite3.Connection, sql: str, values: Sequence[Any] = ()) -> list[Row]:
    cursor = connection.execute(sql, values)
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor]
