"""An event into all that was said of it, in the order in which one saying outranks another."""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Sequence
from typing import Any

from fhir_radcharge.explain.moments import Moment
from fhir_radcharge.explain.words import changes_words, identity_words
from fhir_radcharge.ledger.codec import event_key, revision_order

Row = dict[str, Any]
_COLUMNS = "number, revision, kind, voided, message, edition, content, body"


def sayings(connection: sqlite3.Connection, source: str, event: str) -> list[Row]:
    """Return every saying about an event, the one that stands last."""
    rows = connection.execute(f"select {_COLUMNS} from event where key = ?", (event_key(source, event),))  # noqa: S608
    told = [dict(zip(_COLUMNS.split(", "), row, strict=True)) for row in rows.fetchall()]
    return sorted(told, key=lambda row: revision_order(row["revision"], bool(row["voided"]), row["content"]))


def sources(connection: sqlite3.Connection, records: Sequence[int], event: str) -> list[str]:
    """Return the senders that told of an event of a patient's records."""
    rows = connection.execute(
        f"select distinct source from event where patient in ({_marks(records)}) and event_id = ? order by 1",  # noqa: S608
        (*records, event),
    )
    return [source for (source,) in rows.fetchall()]


def told_of(
    connection: sqlite3.Connection, records: Sequence[int], event: str, moment: Moment | None = None
) -> Row:
    """Return an event with each of its revisions: its message, what it changed, and whether a line was made from it."""
    source = next(iter(sources(connection, records, event)), "")
    rows = sayings(connection, source, event)
    known = [row for row in rows if moment is None or row["number"] <= moment.event]
    used = known[-1]["number"] if known else None
    revisions = []
    for number, row in enumerate(rows):
        heard = connection.execute("select received_at from message where number = ?", (row["message"],)).fetchone()
        changed = [] if number == 0 or row["voided"] else changes_words(rows[number - 1]["body"], row["body"])
        revisions.append(
            {
                "message": row["message"],
                "heard": heard[0] if heard else None,
                "voided": bool(row["voided"]),
                "changed": changed,
                "used": row["number"] == used,
                "later": moment is not None and row["number"] > moment.event,
            }
        )
    last = rows[-1] if rows else None
    return {
        "event": event,
        "source": source,
        "kind": last["kind"] if last else "",
        "day": json.loads(last["body"])[0] if last else "",
        "revisions": revisions,
    }


def heard_between(
    connection: sqlite3.Connection, records: Sequence[int], after: Moment, upto: Moment,
    kinds: frozenset[str] | None = None,
) -> list[str]:  # fmt: skip
    """Return in words what was heard of a patient, of events of some kinds or of all, between two moments."""
    rows = connection.execute(
        "select number, source, event_id, kind, voided, message, body from event"  # noqa: S608
        f" where patient in ({_marks(records)}) and number > ? and number <= ? order by number",
        (*records, after.event, upto.event),
    ).fetchall()
    said = identified_between(connection, records, after.identity, upto.identity)
    for number, source, event, kind, voided, message, body in rows:
        if kinds is not None and kind not in kinds:
            continue
        earlier = [one for one in sayings(connection, source, event) if one["number"] < number]
        by = f"message #{message}" if message else "a person"
        if voided:
            said.append(f"{kind} {event} was voided by {by}")
        elif earlier:
            said.append(f"{kind} {event} was revised by {by}: {'; '.join(changes_words(earlier[-1]['body'], body))}")
        else:
            said.append(f"{kind} {event} was told by {by}")
    return said


def identified_between(
    connection: sqlite3.Connection, records: Sequence[int], after: int = 0, upto: int = sys.maxsize
) -> list[str]:
    """Return in words what was said of the identity and coverage of a patient between two moments."""
    marks = _marks(records)
    rows = connection.execute(
        "select kind, patient, other, payer, message from identity"  # noqa: S608
        f" where (patient in ({marks}) or other in ({marks})) and number > ? and number <= ? order by number",
        (*records, *records, after, upto),
    )
    return [identity_words(*row) for row in rows]


def identified_by(connection: sqlite3.Connection, message: int) -> list[str]:
    """Return in words what a message said of identity and coverage."""
    rows = connection.execute(
        "select kind, patient, other, payer, message from identity where message = ? order by number", (message,)
    )
    return [identity_words(*row) for row in rows]


def _marks(records: Sequence[int]) -> str:
    return ",".join("?" * len(records))
