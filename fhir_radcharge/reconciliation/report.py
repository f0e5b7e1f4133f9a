"""Turns the books into what became of every delivered fraction: its charges on each bill, and their answers.

A fraction is final on a bill when each of its lines stands there and was accepted. What is due is reckoned here
anew from the events, so that a fraction of which nothing was ever said is found too.
"""

from __future__ import annotations

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import pairwise
from typing import NamedTuple

from fhir_radcharge.engine.patients import PatientBook
from fhir_radcharge.model import TreatmentEvent
from fhir_radcharge.patient_stream import asked, books
from fhir_radcharge.reconciliation.account import FINDINGS, RANK, Account, Entry
from fhir_radcharge.reconciliation.waits import CreditWaiting, Lag, Parked, credits_waiting, lags, parked
from fhir_radcharge.rules.rulebook import Edits
from fhir_radcharge.rules.sessions import is_treatment
from fhir_radcharge.site import Site


class Gap(NamedTuple):
    """Fraction numbers of a plan that nobody has told of, although a later one was given."""

    patient: int
    course: str
    plan: str
    missing: tuple[int, ...]
    before: date


@dataclass
class Reconciliation:
    """What was found between two facility dates; `days` counts fractions by what they come to."""

    first: date
    last: date
    now: datetime
    days: dict[date, Counter[str]] = field(default_factory=dict)
    bills: dict[str, Counter[str]] = field(default_factory=dict)
    findings: list[Entry] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    silent_days: list[date] = field(default_factory=list)
    failed: list[tuple[int, str]] = field(default_factory=list)
    unread: int = 0
    lags: list[Lag] = field(default_factory=list)
    credits: list[CreditWaiting] = field(default_factory=list)
    parked: list[Parked] = field(default_factory=list)

    @property
    def counts(self) -> Counter[str]:
        """The fractions within the dates, by what they come to."""
        return sum((c for day, c in self.days.items() if self.first <= day <= self.last), Counter())

    @property
    def is_clean(self) -> bool:
        """Whether nobody need look at anything."""
        return not (self.findings or self.gaps or self.failed or self.unread or self.credits or self.parked
                    or self.silent_days)  # fmt: skip


def reconciled(
    connection: sqlite3.Connection, site: Site, edits: Edits | None, first: date, last: date, now: datetime,
    since: date | None = None, say: Callable[[Entry], None] = lambda _: None,
) -> Reconciliation:  # fmt: skip
    """Return what became of the fractions from first to last; every entry of theirs is handed to `say`.

    `since` is an earlier date from which days are counted for a plot. `now` is only compared with labels.
    """
    found = Reconciliation(first, last, now)
    start = min(since or first, first)
    account = Account(connection, site, edits, now)
    for book in books(connection, _patients(connection, start, last)):
        _add_patient(found, account, book, start, say)
    silent = (day for day in _business_days(first, last, site) if day not in found.days)
    found.silent_days = [day for day in silent if day <= site.today(now)]
    ledger = asked(connection)
    ((newest,),) = ledger.read("select coalesce(max(number), 0) from message")
    ((worked,),) = ledger.read("select coalesce(max(value), 0) from cursor where name = 'work'")
    found.unread = newest - worked
    found.lags = lags(connection, first, last)
    found.credits = credits_waiting(connection, site.today(now))
    found.parked = parked(connection, site.zone, first, last)
    return found


def _patients(connection: sqlite3.Connection, first: date, last: date) -> list[int]:
    """Return the patients with a fraction, at any revision, between two dates; a body begins with its date."""
    rows = connection.execute(
        "select distinct patient from event where kind = 'fraction' and substr(body, 3, 10) between ? and ?",
        (first.isoformat(), last.isoformat()),
    )
    moved = connection.execute("select distinct patient from moved")
    return sorted({number for (number,) in (*rows, *moved)})


def _business_days(first: date, last: date, site: Site) -> Iterator[date]:
    for ordinal in range(first.toordinal(), last.toordinal() + 1):
        day = date.fromordinal(ordinal)
        if day.weekday() < 5 and day not in site.rulebook.holidays:
            yield day


def _add_patient(
    found: Reconciliation, account: Account, book: PatientBook, start: date, say: Callable[[Entry], None]
) -> None:
    events = [saying.event for saying in book.sayings.values()]
    given = [e for e in events if e.kind == "fraction" and not e.voided and is_treatment(e)]
    mine = sorted((e for e in given if start <= e.day <= found.last), key=lambda e: (e.when, e.id))
    if not mine:
        return
    entries, failed = account.entries(book, mine)
    if failed:
        found.failed.append((book.number, failed))
    for event in mine:
        told = entries[event.id]
        worst = min((entry.state for entry in told), key=RANK.__getitem__)
        found.days.setdefault(event.day, Counter())[worst] += 1
        if not found.first <= event.day:
            continue
        for entry in told:
            found.bills.setdefault(entry.bill, Counter())[entry.state] += 1
            say(entry)
            if entry.state in FINDINGS:
                found.findings.append(entry)
    found.gaps.extend(gap for gap in gaps(book.number, events) if found.first <= gap.before <= found.last)


def gaps(patient: int, events: Iterable[TreatmentEvent]) -> Iterator[Gap]:
    """Yield the numbers that are missing between two fractions of a plan, unless as many were voided in between.

    A void seldom repeats the number that it takes back, so that its date must do.
    """
    plans: defaultdict[tuple[str, str], dict[int, date]] = defaultdict(dict)
    voids: list[TreatmentEvent] = []
    for event in events:
        number = event.facts.get("fraction_number") if event.kind == "fraction" else None
        if isinstance(number, int):
            plans[event.course or "", str(event.facts.get("plan", ""))][number] = event.day
        elif event.kind == "fraction" and event.voided:
            voids.append(event)
    for (course, plan), days in sorted(plans.items()):
        for before, after in pairwise(sorted(days)):
            missing = tuple(range(before + 1, after))
            start, end = sorted((days[before], days[after]))
            taken_back = [v for v in voids if v.course in (None, "", course) and start <= v.day <= end]
            if len(missing) > len(taken_back):
                yield Gap(patient, course, plan, missing, days[after])
