"""An id of the books into its decision log, as plain mappings that a terminal, a page and a machine can show."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from datetime import date
from typing import Any

from fhir_radcharge.engine.activation import spans_of
from fhir_radcharge.explain.courses import course
from fhir_radcharge.explain.finding import Found
from fhir_radcharge.explain.moments import Moment, moment_of
from fhir_radcharge.explain.patient import postings_of, records_ever_of, records_of, waiting_for
from fhir_radcharge.explain.sayings import (
    heard_between,
    identified_between,
    identified_by,
    sayings,
    sources,
    told_of,
)
from fhir_radcharge.explain.steps import because
from fhir_radcharge.explain.words import CAUSES, item_words
from fhir_radcharge.ledger import queries
from fhir_radcharge.rules.rulebook import Rulebook

Row = dict[str, Any]
_EVENTS_MAX = 40
# What a posting says of itself, as it stands in the books.
_LINE = ("bill", "code", "modifiers", "day", "end_day", "units", "place_of_service", "packaged", "slot", "note")
# What makes a charge on another account the same line.
_SAME = ("destination", "mode", "course", "bill", "code", "modifiers", "day", "end_day")
_TOLD = ("id", "kind", "mode", "destination", "patient", "course", *_LINE, "posted", "cause", "state", "message")


def explanation(connection: sqlite3.Connection, rulebook: Rulebook, found: Found) -> Row:
    """Return all that the books say of one thing: `what` names its kind, the other keys depend on that."""
    if found.kind == "posting":
        return _posting(connection, rulebook, found.name)
    if found.kind == "event":
        return _event(connection, rulebook, found)
    if found.kind == "message":
        return _message(connection, rulebook, int(found.name))
    return course(connection, rulebook, found.patient, found.name)


def _posting(connection: sqlite3.Connection, rulebook: Rulebook, name: str) -> Row:
    row = queries.posting(connection, name)
    assert row is not None
    moment, ever = moment_of(connection, row["number"]), records_ever_of(connection, row["patient"])
    charge = queries.posting(connection, row["credits"]) if row["credits"] else row
    assert charge is not None
    # A credit takes back the line as it was when it was charged.
    made = moment if charge is row else moment_of(connection, charge["number"])
    told = {key: row[key] for key in _TOLD}
    told |= {
        "what": "posting",
        "because": because(charge["why"], _payer(connection, charge), date.fromisoformat(charge["day"]), rulebook),
        "tables": row["tables"],
        "active": _active(connection, date.fromisoformat(charge["day"])),
        "official": _official(connection, moment),
        "events": [told_of(connection, ever, event, made) for event in charge["events"][:_EVENTS_MAX]],
        "events_more": max(len(charge["events"]) - _EVENTS_MAX, 0),
        "cause_words": CAUSES.get(row["cause"], row["cause"]),
        "after": _heard_since(connection, row, moment),
        "credits": row["credits"],
        "credited_by": [each["id"] for each in _of_patient(connection, row) if each["credits"] == row["id"]],
        "previous": row["previous"],
        "sent": _sent(connection, row),
        "waits": _items(connection, rulebook, row),
    }
    return told


def _event(connection: sqlite3.Connection, rulebook: Rulebook, found: Found) -> Row:
    records = records_of(connection, found.patient)
    source = sources(connection, records, found.name)[0]
    body = json.loads(sayings(connection, source, found.name)[-1]["body"])
    postings = [row for row in postings_of(connection, records) if found.name in row["events"]]
    items = waiting_for(connection, records)
    return {
        "what": "event",
        "patient": found.patient,
        "course": body[2],
        "facts": body[3],
        **told_of(connection, records, found.name),
        "identity": identified_between(connection, records),
        "postings": [_short(row) for row in postings],
        "waits": [_item(i, rulebook) for i in items if i["course"] == (body[2] or "") and str(body[0]) in i["place"]],
    }


def _message(connection: sqlite3.Connection, rulebook: Rulebook, number: int) -> Row:
    row = queries.message(connection, number)
    assert row is not None
    events = queries.events_of_message(connection, number)
    names = {event["event_id"] for event in events}
    patients = sorted({record for event in events for record in records_of(connection, event["patient"])})
    postings = [
        posting
        for posting in postings_of(connection, patients)
        if posting["message"] == number or names & set(posting["events"])
    ]
    return {
        "what": "message",
        **row,
        "events": [
            {
                "event": e["event_id"],
                "source": e["source"],
                "kind": e["kind"],
                "voided": bool(e["voided"]),
                "day": json.loads(e["body"])[0],
                "course": json.loads(e["body"])[2],
                "tables": _edition(connection, e),
            }
            for e in events
        ],
        "identity": identified_by(connection, number),
        "postings": [_short(posting) for posting in postings],
        "waits": [_item(item, rulebook) for item in queries.queue(connection, message=number)],
        "decisions": [
            _decision(d)
            for i in queries.queue(connection, message=number)
            for d in queries.decisions(connection, i["key"])
        ],
    }


def _heard_since(connection: sqlite3.Connection, row: Row, moment: Moment) -> list[str]:
    """Return what came into the books between the posting that this one follows and this one: its cause."""
    before = queries.posting(connection, row["credits"] or _taken_back(connection, row) or row["previous"] or "")
    if before is None:
        return []
    then = moment_of(connection, before["number"])
    said = heard_between(connection, records_of(connection, row["patient"]), then, moment)
    if before["tables"] and row["tables"] and before["tables"] != row["tables"]:
        said.append(f"the tables changed from {before['tables'][:12]} to {row['tables'][:12]}")
    days = connection.execute("select day from day where number > ? and number <= ?", (then.day, moment.day)).fetchall()
    return said + ([f"the day {days[-1][0]} came"] if days and not said else [])


def _taken_back(connection: sqlite3.Connection, row: Row) -> str:
    """Return the charge in whose place a line was charged to another account, "" if there is none."""
    if row["cause"] != "account" or row["kind"] == "CREDIT":
        return ""
    credits = [one["credits"] for one in postings_of(connection, records_ever_of(connection, row["patient"]))
               if one["number"] < row["number"] and one["kind"] == "CREDIT" and one["cause"] == "account"
               and all(one[name] == row[name] for name in _SAME)]  # fmt: skip
    return credits[-1] if credits else ""


def _sent(connection: sqlite3.Connection, row: Row) -> Row | None:
    if row["send"] is None:
        return None
    send = queries.send(connection, row["send"])
    assert send is not None
    answers = [{key: answer[key] for key in ("attempt", "kind", "code", "at")} for answer in send["answers"]]
    return {
        "destination": send["destination"],
        "control_id": send["control_id"],
        "attempts": send["attempts"],
        "answers": answers,
    }


def _items(connection: sqlite3.Connection, rulebook: Rulebook, row: Row) -> list[Row]:
    place = f"{row['bill']} {'-'.join([row['code'], *row['modifiers'].split()])} {row['day']}"
    return [
        _item(item, rulebook)
        for item in waiting_for(connection, records_of(connection, row["patient"]))
        if item["note"] == row["id"] or (item["course"] == row["course"] and item["place"] in (place, row["day"]))
    ]


def _item(item: Row, rulebook: Rulebook) -> Row:
    words = item_words(item["category"], item["reason"], {reason.reason: reason for reason in rulebook.reasons})
    return {**item, **words._asdict()}


def _of_patient(connection: sqlite3.Connection, row: Row) -> Sequence[Row]:
    return queries.postings_of_patient(connection, row["patient"], row["course"])


def _short(row: Row) -> Row:
    return {
        key: row[key]
        for key in (
            "id",
            "kind",
            "code",
            "modifiers",
            "units",
            "bill",
            "course",
            "day",
            "end_day",
            "destination",
            "state",
            "cause",
            "credits",
        )
    }


def _decision(row: Row) -> Row:
    return {key: row[key] for key in ("kind", "by", "why", "at")}


def _edition(connection: sqlite3.Connection, event: Row) -> str | None:
    row = connection.execute("select digest from edition where number = ?", (event["edition"],)).fetchone()
    return row[0] if row else None


def _active(connection: sqlite3.Connection, day: date) -> str | None:
    """Return the tables that decide a date of service now."""
    spans = spans_of(connection.execute("select digest, scope from activation order by number"))
    return next((span.digest for span in reversed(spans) if span.first is None or span.first <= day), None)


def _official(connection: sqlite3.Connection, moment: Moment) -> Row | None:
    """Return the official tables by which a line was edited: the import before it that a person recorded last."""
    rows = connection.execute(
        "select subject, detail, at from decision where kind = 'official' and number <= ? order by number",
        (moment.decision,),
    ).fetchall()
    if not rows:
        return None
    editions = [name for _, detail, _ in rows for name in json.loads(detail)["editions"]]
    return {"digest": rows[-1][0], "editions": list(dict.fromkeys(editions)), "at": rows[-1][2]}


def _payer(connection: sqlite3.Connection, charge: Row) -> str | None:
    """Return the payer profile of the event that dates a line."""
    for source in sources(connection, records_ever_of(connection, charge["patient"]), charge["dated_by"]):
        payer: str | None = json.loads(sayings(connection, source, charge["dated_by"])[-1]["body"])[6]
        return payer
    return None
