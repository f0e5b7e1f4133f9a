"""A patient's number into all that the books say about the patient, over a connection that only reads."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any

from fhir_radcharge.engine.identity import Identities, ever_one
from fhir_radcharge.engine.patients import PatientBook
from fhir_radcharge.ledger import queries
from fhir_radcharge.patient_stream import asked, books

Row = dict[str, Any]


def book_of(connection: sqlite3.Connection, number: int) -> PatientBook:
    """Return the standing events, postings and open items of a patient, as the engine itself would load them."""
    (book,) = books(connection, [number])
    return book


def survivor_of(connection: sqlite3.Connection, number: int) -> int:
    """Return the record that a patient's record went into, or itself."""
    return Identities(asked(connection)).survivor(number)


def records_of(connection: sqlite3.Connection, number: int) -> Sequence[int]:
    """Return every record that is one patient with a record, the surviving one first."""
    identities = Identities(asked(connection))
    return identities.group(identities.survivor(number))


def records_ever_of(connection: sqlite3.Connection, number: int) -> Sequence[int]:
    """Return every record that was ever said to be one patient with a record: a posting outlasts a merge."""
    merges = connection.execute("select patient, other from identity where kind = 'merge'").fetchall()
    return sorted(ever_one(merges).get(number, {number}))


def postings_of(connection: sqlite3.Connection, records: Iterable[int], course: str | None = None) -> list[Row]:
    """Return the postings of a patient's records, or of one course, in their order."""
    found = [row for record in records for row in queries.postings_of_patient(connection, record, course)]
    return sorted(found, key=lambda row: row["number"])


def waiting_for(connection: sqlite3.Connection, records: Iterable[int]) -> list[Row]:
    """Return the work items of a patient's records, the oldest first."""
    found = [item for record in records for item in queries.queue(connection, patient=record)]
    return sorted(found, key=lambda item: (item["since"], item["key"]))


def latest_day(connection: sqlite3.Connection) -> date | None:
    """Return the newest day of the facility that the books know, None before the first."""
    row = connection.execute("select day from day order by number desc limit 1").fetchone()
    return date.fromisoformat(row[0]) if row else None
