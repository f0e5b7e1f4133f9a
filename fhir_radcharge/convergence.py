"""Books at rest and a site into the patients for whom what stands is not what is due (I6)."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

from fhir_radcharge.engine.accounts import Accounts
from fhir_radcharge.engine.patients import PatientBook
from fhir_radcharge.engine.reading import Parsed
from fhir_radcharge.engine.rooms import rooms
from fhir_radcharge.engine.starts import QUARANTINED
from fhir_radcharge.engine.state import destination_modes, latest_day
from fhir_radcharge.errors import MessageError, RuleError
from fhir_radcharge.model import Charge
from fhir_radcharge.patient_stream import ReadBooks, books
from fhir_radcharge.plural import number_of
from fhir_radcharge.reconcile import corrections, line_key
from fhir_radcharge.rules.charging import charges_due
from fhir_radcharge.rules.rulebook import Edits
from fhir_radcharge.site import Site

# What stands between a line that is due and its being said.
_IN_THE_WAY = frozenset({"refused", "dismissed", "unsendable", "rule_error", "defect", QUARANTINED})


def not_judged(connection: sqlite3.Connection, site: Site) -> str:
    """Return why convergence cannot be judged now, empty if it can."""
    rows = connection.execute("select digest, scope, number from activation order by number desc limit 1").fetchall()
    if not rows or rows[0][0] != site.digest:
        return "other tables compute than those that are loaded here"
    if rows[0][1] == "new" and rows[0][2] > 1:
        return "the tables were activated for new events alone, so the past is not judged by them"
    (newest,) = connection.execute("select coalesce(max(number), 0) from message").fetchone()
    (done,) = connection.execute("select coalesce(max(value), 0) from cursor where name = 'work'").fetchone()
    (touched,) = connection.execute("select count(*) from touched").fetchone()
    waits = f"{number_of(newest - done, 'message')} and {number_of(touched, 'patient')} wait to be worked on"
    return waits if newest != done or touched else ""


def unequal(connection: sqlite3.Connection, site: Site, edits: Edits | None) -> Iterator[tuple[int, str]]:
    """Yield for every patient its number and what is wrong, empty where what stands is what is due.

    Beside a running engine a patient may change while it is judged: what seems wrong is judged a second time.
    """
    judge = _Judge(connection, site, edits)
    for book in books(connection):
        wrong = judge.wrong(book)
        if wrong:
            (again,) = books(connection, [book.number])
            wrong = "" if judge.waits(again) else _Judge(connection, site, edits).wrong(again)
        yield book.number, wrong


class _Judge:
    """Compares what is due of patients with what stands, as of one day and in one state of the destinations."""

    def __init__(self, connection: sqlite3.Connection, site: Site, edits: Edits | None) -> None:
        reads: Any = ReadBooks(connection)
        self._connection, self._site, self._edits = connection, site, edits
        self._modes = destination_modes(reads, site.destinations)
        self._as_of = latest_day(reads)
        self._parsed = Parsed(reads, rooms(), site)

    def waits(self, book: PatientBook) -> bool:
        """Tell whether the engine still has to compute this patient."""
        touched = self._connection.execute(
            f"select 1 from touched where patient in ({','.join('?' * len(book.group))})",  # noqa: S608
            tuple(book.group),
        )
        return touched.fetchone() is not None

    def wrong(self, book: PatientBook) -> str:
        """Return the first thing that is due of a patient and was not said, empty if there is none."""
        if any(item.category in _IN_THE_WAY for item in book.items.values()):
            return ""
        live = book.live()
        events = [saying.event for saying in live]
        try:
            due = charges_due(events, self._site.rulebook, self._as_of, tables=self._edits)
            accounts = Accounts(book, live, due.charges, self._parsed)
        except RuleError as problem:
            return f"patient {book.number}: the tables give no answer ({problem})"
        except MessageError as problem:
            return f"patient {book.number}: the account of a session is not known ({problem})"
        self._parsed.trim()
        return next(self._unsaid(book, due.charges, accounts), "")

    def _unsaid(self, book: PatientBook, charges: tuple[Charge, ...], accounts: Accounts) -> Iterator[str]:
        for name, destination in self._site.destinations.items():
            mode = self._modes[name]
            if mode == "drain":
                continue
            mine = [charge for charge in charges if charge.bill in destination.bills]
            standing = accounts.placed(book.standing(name, mode), mine, line_key)
            for one in corrections(mine, standing, accounts.of_events).corrections:
                line = one.charge or one.credits
                assert line is not None
                said = f"a {one.kind.lower()} of {line.code} on {line.day} was not said"
                yield f"patient {book.number} at {name}: {said}"
