"""A patient's number into all that the books say about the patient, over a connection that only reads."""

from __future__ import annotations

import sqlite3
from datetime import date

from fhir_radcharge.engine.patients import PatientBook
from fhir_radcharge.model import TreatmentEvent
from fhir_radcharge.patient_stream import books


def book_of(connection: sqlite3.Connection, number: int) -> PatientBook:
    """Return the standing events, postings and open items of a patient, as the engine itself would load them."""
    (book,) = books(connection, [number])
    return book


def standing_events(book: PatientBook) -> tuple[TreatmentEvent, ...]:
    """Return the events of a patient that stand and are not voided, in the order of service."""
    live = [saying.event for saying in book.sayings.values() if not saying.event.voided]
    return tuple(sorted(live, key=lambda event: (event.when, event.source, event.id)))


def latest_day(connection: sqlite3.Connection) -> date | None:
    """Return the newest day of the facility that the books know, None before the first."""
    row = connection.execute("select day from day order by number desc limit 1").fetchone()
    return date.fromisoformat(row[0]) if row else None
