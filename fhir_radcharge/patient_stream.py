"""Turns the books, read only, into the book of one patient after another; memory stays flat.

What `engine.patients.identified` answers for one patient is answered here for a block of them at once, several
times as fast; a patient of several records, or some of whose events moved between patients, is left to it.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from typing import Any

from fhir_radcharge.engine.identity import Identities
from fhir_radcharge.engine.items import COLUMNS, Item
from fhir_radcharge.engine.patients import PatientBook, Saying, identified
from fhir_radcharge.ledger.codec import LINE_COLUMNS, read_event, read_line, revision_order
from fhir_radcharge.model import Place, Reported, Standing, TreatmentEvent

# Patients that are read together: few questions for each, and little enough to stay in the processor's cache.
BLOCK = 5
MARKS = ",".join("?" * BLOCK)

Row = tuple[Any, ...]


class ReadBooks:
    """A connection that reads, asked in the way in which the engine asks its ledger."""

    generation = 0

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection

    def read(self, sql: str, parameters: Sequence[Any] = ()) -> list[Any]:
        """Return all rows that answer a question."""
        return self.connection.execute(sql, parameters).fetchall()

    def next_number(self, book: str) -> int:
        """Return the number of the row that the engine would append to a book now."""
        ((last,),) = self.read(f"select coalesce(max(number), 0) from {book}")  # noqa: S608 -- a name of our own
        return int(last) + 1


class _ReadBook(PatientBook):
    """A book that is read once and not added to, so that what is asked of it again is answered from memory."""

    __slots__ = ("_live", "_standing")

    def __init__(self, number: int, key: bytes) -> None:
        super().__init__(number, key)
        self._live: list[Saying] | None = None
        self._standing: dict[tuple[str, str], list[Standing]] = {}

    def live(self) -> list[Saying]:
        """Return the sayings that are not voided, in the order of service."""
        if self._live is None:
            self._live = super().live()
        return self._live

    def standing(self, destination: str, mode: str) -> list[Standing]:
        """Return the charges said to a destination and not since credited."""
        found = self._standing.get((destination, mode))
        if found is None:
            found = self._standing[destination, mode] = super().standing(destination, mode)
        return found


def asked(connection: sqlite3.Connection) -> Any:
    """Return a connection as what the engine's own questions are asked of; it writes nothing."""
    return ReadBooks(connection)


def books(connection: sqlite3.Connection, numbers: Iterable[int] | None = None) -> Iterator[PatientBook]:
    """Yield the book of every patient, or of those asked for, once and under the record that survives.

    They come in the order in which the engine computes them: by the first of their records. Each block of patients
    is read as it stood at one moment.
    """
    identities = Identities(asked(connection))
    if numbers is None:
        last = connection.execute("select coalesce(max(number), 0) from patient").fetchone()[0]
        wanted: Sequence[int] = range(1, last + 1)
    else:
        wanted = sorted(numbers)
    # Only patients of several records can come a second time.
    told: set[int] = set()
    for start in range(0, len(wanted), BLOCK):
        connection.execute("begin")
        try:
            part = dict.fromkeys(map(identities.survivor, wanted[start : start + BLOCK]))
            fresh = [number for number in part if number not in told]
            told.update(number for number in fresh if len(identities.group(number)) > 1)
            found = _block(connection, identities, fresh)
        finally:
            connection.execute("commit")
        yield from found


def _block(connection: sqlite3.Connection, identities: Identities, numbers: Sequence[int]) -> list[PatientBook]:
    several = {number for number in numbers if len(identities.group(number)) > 1}
    found = _simple(connection, [number for number in numbers if number not in several])
    them = _padded(found)
    moved = connection.execute(f"select distinct patient from moved where patient in ({MARKS})", them)  # noqa: S608
    for number in (*several, *(number for (number,) in moved.fetchall())):
        found[number] = identified(asked(connection), identities, number)
    changed = connection.execute(
        f"select distinct patient from identity where kind != 'merge' and patient in ({MARKS})",  # noqa: S608
        them,
    )
    for (number,) in changed.fetchall():
        found[number].visits = visits = identities.visits((number,))
        found[number].coverages = identities.coverages((number,), visits)
    return [found[number] for number in numbers if number in found]


def _simple(connection: sqlite3.Connection, numbers: Sequence[int]) -> dict[int, PatientBook]:
    """Read patients of one record each, as if nothing of theirs had moved."""
    them = _padded(numbers)

    def rows(sql: str, order: str = "patient") -> Iterator[Row]:
        return connection.execute(f"{sql} in ({MARKS}) order by {order}", them)

    found: dict[int, PatientBook] = {number: _ReadBook(number, key) for number, key in rows(
        "select number, key from patient where number", "number")}  # fmt: skip
    _hear(found, rows(
        "select patient, key, revision, voided, content, account, source, event_id, kind, message, body"
        " from event where patient", "patient, number"))  # fmt: skip
    for row in rows(f"select {LINE_COLUMNS} from posting where patient", "patient, number"):  # noqa: S608
        line = read_line(row)
        found[line.patient].add_line(line)
    for patient, posting in rows("select patient, posting from struck where patient"):
        found[patient].struck.add(posting)
    for row in rows(f"select {COLUMNS} from open_item where patient", "patient, key"):  # noqa: S608
        item = Item(*row)
        found[item.patient].items[item.key] = item
    for patient, day in rows("select patient, day from wake where patient"):
        found[patient].wake = day
    return found


def _padded(numbers: Iterable[int]) -> tuple[int | None, ...]:
    """Return the numbers of a block as parameters, always as many, so that each question is prepared once."""
    told = tuple(numbers)
    return (*told, *[None] * (BLOCK - len(told)))


def _hear(found: dict[int, PatientBook], rows: Iterable[Row]) -> None:
    kept: list[Row] = []
    for patient, own in groupby(rows, itemgetter(0)):
        stands: dict[bytes, Row] = {}
        newest = 0
        for row in own:
            key, message = row[1], row[9]
            newest = max(newest, message)
            known = stands.get(key)
            if known is None or _order(row) > _order(known):
                stands[key] = row
        found[patient].message = newest
        kept += stands.values()
    told = json.loads(f"[{','.join([text for row in kept for text in (row[2], row[10])])}]")
    for row, revision, body in zip(kept, told[::2], told[1::2], strict=True):
        found[row[0]].sayings[row[1]] = Saying((), _event(row, revision, body), row[5])


def _order(row: Row) -> tuple[Any, ...]:
    return revision_order(row[2], bool(row[3]), row[4])


def _event(row: Row, revision: list[Any], body: list[Any]) -> TreatmentEvent:
    _, _, revision_said, voided, _, _, source, name, kind, message, body_said = row
    if "$" in body_said or "$" in revision_said:
        return read_event(source, name, kind, revision_said, voided, message, body_said)
    day, minute, course, facts, place, patient_class, payer, reported, provider, lacks = body
    return TreatmentEvent(
        source, name, kind, _day(day), minute, course, facts, _place(*place), patient_class, payer,
        Reported(reported[0], tuple(reported[1]), reported[2]) if reported else None,
        provider, frozenset(lacks), tuple(revision), bool(voided), message,
    )  # fmt: skip


_day = lru_cache(4096)(date.fromisoformat)
_place = lru_cache(256)(Place)
