"""Turns one patient's lines, postings and open items into what each fraction comes to on each bill."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from typing import Any, NamedTuple

from fhir_radcharge.engine.accounts import Accounts
from fhir_radcharge.engine.patients import PatientBook
from fhir_radcharge.engine.reading import Parsed
from fhir_radcharge.engine.rooms import rooms
from fhir_radcharge.engine.state import destination_modes, latest_day
from fhir_radcharge.errors import RadchargeError
from fhir_radcharge.ledger.codec import Line
from fhir_radcharge.model import Charge, Due, TreatmentEvent
from fhir_radcharge.patient_stream import asked
from fhir_radcharge.reconcile import line_key
from fhir_radcharge.rules.charging import charges_due
from fhir_radcharge.rules.edits import EDIT_REASONS
from fhir_radcharge.rules.lines import Spot, claims
from fhir_radcharge.rules.rulebook import Edits
from fhir_radcharge.site import Site

# The worst first: what one fraction comes to is the first of these that any of its bills comes to.
STATES = ("missing", "duplicate", "refused", "unanswered", "held", "queued", "shadow", "final", "nothing due")
FINDINGS = frozenset(STATES[:6])
RANK = {state: rank for rank, state in enumerate(STATES)}
_POSTED = {None: "final", 0: "queued", 1: "queued", 2: "unanswered", 3: "queued"}
# Claims that carry the technical part of a treatment: a session on one of these must come to a line.
_TECHNICAL = frozenset({"office", "office_technical", "hospital"})
_WAITS = frozenset({"unsendable", "dismissed"})


# What makes two lines one, as `line_key` says it, and the account.
_Key = tuple[str, str]


class Entry(NamedTuple):
    """What became of one fraction on one bill; `age_days` counts from when it was first held."""

    day: date
    patient: int
    course: str
    event: str
    bill: str
    state: str
    codes: str
    reason: str
    owner: str
    age_days: int | None
    postings: str


def as_row(entry: Entry) -> dict[str, Any]:
    """Return an entry as a flat row for CSV and JSON."""
    return {**entry._asdict(), "day": entry.day.isoformat()}


class Account:
    """Says of each fraction of a patient what its lines come to on each bill."""

    def __init__(self, connection: sqlite3.Connection, site: Site, edits: Edits | None, now: datetime) -> None:
        self._connection, self._site, self._edits, self._now = connection, site, edits, now
        self._as_of = latest_day(asked(connection))
        self._modes = destination_modes(asked(connection), site.destinations)
        self._parsed = Parsed(asked(connection), rooms(), site)
        self._owners = {reason.reason: reason.owner for reason in site.rulebook.reasons}

    def entries(
        self, book: PatientBook, fractions: Sequence[TreatmentEvent]
    ) -> tuple[dict[str, list[Entry]], str]:
        """Return the entries of each fraction, one a bill, and why the tables gave no answer (empty: they did)."""
        failed, due, live = "", Due((), ()), book.live()
        accounts = Accounts(book, (), (), self._parsed)
        try:
            told = charges_due([one.event for one in live], self._site.rulebook, self._as_of, tables=self._edits)
            due, accounts = told, Accounts(book, live, told.charges, self._parsed)
        except RadchargeError as problem:
            failed = str(problem)
        self._parsed.trim()
        self._book, self._accounts = book, accounts
        of = f"where patient in ({','.join('?' * len(book.group))})"
        which = tuple(book.group)
        self._since = dict(self._connection.execute(f"select key, since from open_item {of}", which))  # noqa: S608
        self._outbox = dict(self._connection.execute(f"select seq, state from outbox {of}", which))  # noqa: S608
        self._standing = self._standing_lines(due)
        of_event: defaultdict[str, list[Charge]] = defaultdict(list)
        for charge in due.charges:
            for name in {charge.dated_by} if charge.slot else {charge.dated_by, *charge.events}:
                of_event[name].append(charge)
        return {event.id: self._of(event, of_event[event.id], due) for event in fractions}, failed

    def _of(self, event: TreatmentEvent, lines: Sequence[Charge], due: Due) -> list[Entry]:
        found = [self._line(event, charge, due) for charge in lines]
        found += self._not_due(event, due)
        if not any(_is_of_session(charge) for charge in lines):
            found += self._without_line(event, due)
        by_bill: defaultdict[str, list[Entry]] = defaultdict(list)
        for entry in found:
            by_bill[entry.bill].append(entry)
        return [_worst(entries) for _, entries in sorted(by_bill.items())]

    def _line(self, event: TreatmentEvent, charge: Charge, due: Due) -> Entry:
        if charge.hold is not None and not (charge.hold in EDIT_REASONS and self._stands(charge)):
            return self._entry(event, charge, "held", charge.hold)
        states = [self._at(name, charge, due) for name in self._destinations(charge.bill)]
        if not states:
            return self._entry(event, charge, "held", "no_destination")
        state, reason, postings = min(states, key=lambda told: RANK[told[0]])
        if charge.hold is not None and state == "final":
            state, reason = "held", charge.hold
        return self._entry(event, charge, state, reason, postings)

    def _at(self, name: str, charge: Charge, due: Due) -> tuple[str, str, str]:
        """Return what a line comes to at one destination, why, and by which postings."""
        key = self._key(charge)
        stands = self._standing.get((name, key), [])
        wanted = sum(c.units for c in due.charges if self._key(c) == key and (c.hold is None or stands))
        units = sum(left for _, left in stands)
        names = " ".join(line.id for line, _ in stands)
        if units > wanted:
            return "duplicate", f"{units} stand, {wanted} due", names
        waiting = min((self._posted(line) for line, _ in stands), key=lambda told: RANK[told[0]], default=None)
        if units < wanted:
            state, reason = self._why_less(name, charge)
            return state, reason or f"{units} stand, {wanted} due", names
        assert waiting is not None
        return *waiting, names

    def _why_less(self, name: str, charge: Charge) -> tuple[str, str]:
        key = line_key(charge)
        for item in self._book.items.values():
            if item.destination == name and item.course == charge.course:
                said = self._book.lines.get(item.note)
                if item.category == "refused" and said is not None and line_key(said.charge) == key:
                    return "refused", f"answered {item.reason}"
                if item.category in _WAITS:
                    return "held", item.reason
        return ("queued", "drained") if self._modes.get(name) == "drain" else ("missing", "")

    def _posted(self, line: Line) -> tuple[str, str]:
        if line.mode == "shadow":
            return "shadow", ""
        if line.send is None:
            return "final", ""
        state = self._outbox.get(line.send)
        return _POSTED[state], "waits behind another of its course" if state == 3 else ""

    def _not_due(self, event: TreatmentEvent, due: Due) -> Iterator[Entry]:
        """Yield what stands for a fraction and is not due: it was not taken back."""
        wanted = {self._key(charge) for charge in due.charges}
        for (_, key), stands in self._standing.items():
            for line, left in stands:
                if line.charge.dated_by == event.id and key not in wanted and line.mode != "opening":
                    yield self._entry(event, line.charge, "duplicate", f"{left} stand, 0 due", line.id)

    def _without_line(self, event: TreatmentEvent, due: Due) -> Iterator[Entry]:
        """Yield what is said of a fraction that no line of its own tells of."""
        spot = claims(Spot.of(event), event.day, self._site.rulebook.on(event.day))
        technical: list[str] = [claim.bill for claim in spot.claims if claim.kind in _TECHNICAL]
        blank = Entry(event.day, self._book.number, event.course or "", event.id, "", "", "", "", "", None, "")
        for bill in technical or ["none"]:
            same_day = [c for c in due.charges if c.bill == bill and c.day == event.day and c.course == event.course
                        and _is_of_session(c) and self._per_day(c)]  # fmt: skip
            flags = [flag for flag in due.flags if event.id in flag.events]
            if same_day:
                yield self._line(event, same_day[0], due)
            elif flags:
                reason = flags[0].reason
                age = self._age(flags[0].course, reason, flags[0].day)
                owner = self._owners.get(reason, "")
                yield blank._replace(bill=bill, state="held", reason=reason, owner=owner, age_days=age)
            elif not technical:
                yield blank._replace(bill=bill, state="nothing due", reason=" ".join(spot.flags))
            else:
                yield blank._replace(bill=bill, state="missing", reason="no line, no hold, no work item")

    # -- small questions -----------------------------------------------------------------------------------------

    def _entry(self, event: TreatmentEvent, charge: Charge, state: str, reason: str,
               postings: str = "") -> Entry:  # fmt: skip
        age = self._age(charge.course, reason, charge.day) if state == "held" else None
        return Entry(event.day, self._book.number, charge.course, event.id, charge.bill, state,
                     "-".join((charge.code, *charge.modifiers)), reason, self._owners.get(reason, ""), age,
                     postings)  # fmt: skip

    def _destinations(self, bill: str) -> list[str]:
        return [name for name, one in self._site.destinations.items() if bill in one.bills]

    def _key(self, charge: Charge) -> _Key:
        return line_key(charge), self._accounts.of(charge)

    def _standing_lines(self, due: Due) -> dict[tuple[str, _Key], list[tuple[Line, int]]]:
        found: defaultdict[tuple[str, _Key], list[tuple[Line, int]]] = defaultdict(list)
        for name, destination in self._site.destinations.items():
            standing = self._book.standing(name, self._modes.get(name, "live"))
            charges = [charge for charge in due.charges if charge.bill in destination.bills]
            for stands in self._accounts.placed(standing, charges, line_key):
                key = line_key(stands), stands.account
                found[name, key].append((self._book.lines[stands.posting], stands.units))
        return found

    def _stands(self, charge: Charge) -> bool:
        key = self._key(charge)
        return any((name, key) in self._standing for name in self._destinations(charge.bill))

    def _per_day(self, charge: Charge) -> bool:
        row = self._site.rulebook.on(charge.day).catalogue.row(charge.code, charge.day)
        return row is not None and row.basis == "per day"

    def _age(self, course: str, reason: str, day: date | None) -> int | None:
        """Return since how many days something waits, as the books say."""
        told = day.isoformat() if day else ""
        since = [self._since[item.key] for item in self._book.items.values()
                 if item.reason == reason and item.course == course and item.place.endswith(told)]  # fmt: skip
        return days_since(min(since), self._now) if since else None


def days_since(label: str, now: datetime) -> int:
    """Return the whole days from a label of the books to an instant."""
    return max((now - datetime.fromisoformat(label)).days, 0)


def _is_of_session(charge: Charge) -> bool:
    """Tell whether a line charges the session itself: not what it was guided by, nor a count of sessions."""
    return not charge.slot and charge.family not in ("guidance", "port")


def _worst(entries: Sequence[Entry]) -> Entry:
    """Return the entry of the worst line of a bill, with the codes of all of them."""
    worst = min(entries, key=lambda entry: RANK[entry.state])
    same = [entry for entry in entries if entry.state == worst.state]
    codes = " ".join(dict.fromkeys(e.codes for e in (same if worst.state in FINDINGS else entries) if e.codes))
    postings = " ".join(dict.fromkeys(entry.postings for entry in entries if entry.postings))
    return worst._replace(codes=codes, postings=postings)
