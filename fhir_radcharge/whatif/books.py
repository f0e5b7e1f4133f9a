"""Turns all that was ever heard into what other tables would change, and into the corrections that they would send.

The corrections are those of `engine.reckoning.plan` itself, the code that runs after an activation, over books
that are only read: what is shown here is what is sent then, posting by posting.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime
from typing import Any, NamedTuple

from fhir_radcharge.engine.accounts import Accounts
from fhir_radcharge.engine.identity import Identities
from fhir_radcharge.engine.patients import PatientBook
from fhir_radcharge.engine.reading import Parsed
from fhir_radcharge.engine.reckoning import Moment, Plan, Said, plan
from fhir_radcharge.engine.starts import QUARANTINED
from fhir_radcharge.engine.state import cursor, destination_modes, latest_day
from fhir_radcharge.errors import RadchargeError
from fhir_radcharge.model import Due, TreatmentEvent
from fhir_radcharge.patient_stream import asked, books
from fhir_radcharge.reconcile import line_key
from fhir_radcharge.rules.charging import charges_due
from fhir_radcharge.rules.edits import EDIT_REASONS
from fhir_radcharge.rules.rulebook import Edits, Rulebook
from fhir_radcharge.site import Site
from fhir_radcharge.watched import Ear, watched
from fhir_radcharge.whatif.answers import Span, Tally, changed_rows, changes
from fhir_radcharge.whatif.sayable import proving_rooms

STATES = {None: "accepted", 0: "queued", 1: "sent", 2: "unanswered", 3: "blocked"}
NOTHING_DUE = Due((), ())


class Side(NamedTuple):
    """One set of tables: the site that it makes, and the edits of its lines."""

    site: Site
    edits: Edits | None


class Foreseen(NamedTuple):
    """One posting that an activation would make; `stands_as` is what became of the charge that a credit takes back.

    `pending` says that the tables of today make it too: it waits for work or for a person, not for the draft.
    """

    patient: int
    id: str
    kind: str
    destination: str
    line_key: str
    bill: str
    course: str
    code: str
    modifiers: str
    day: date
    units: int
    credits: str | None
    cause: str
    stands_as: str
    pending: bool


class Unsendable(NamedTuple):
    """A correction that an activation would owe and could not put into a message: it opens a work item instead."""

    patient: int
    destination: str
    reason: str
    note: str


class Answers(NamedTuple):
    """What is due of one patient under both sets of tables; the same value where they agree."""

    before: Due
    after: Due
    failed_before: str
    failed_after: str
    recomputed: bool


class Comparer:
    """Computes what is due under two rulebooks, the second time only where an answer of its tables is another."""

    def __init__(self, base: Side, draft: Side) -> None:
        self._base, self._draft = base, draft
        self._rulebook, self._ear = base.site.rulebook, Ear()
        self._watching = False
        self.changed_rows = changed_rows(base.site.rulebook, draft.site.rulebook)
        found = watched(base.site.rulebook, draft.site.rulebook) if _same_edits(base, draft) else None
        if found is not None:
            self._rulebook, self._ear = found
            self._watching = True

    def answers(self, events: Sequence[TreatmentEvent], as_of: date | None) -> Answers:
        """Return both answers; one that the tables do not give is empty, and says why."""
        self._ear.reset()
        before, failed_before = _due(events, self._rulebook, as_of, self._base.edits)
        if self._watching and not self._ear.has_heard and not failed_before:
            return Answers(before, before, "", "", False)
        after, failed_after = _due(events, self._draft.site.rulebook, as_of, self._draft.edits)
        if before == after:
            after = before
        return Answers(before, after, failed_before, failed_after, True)


def compared(
    connection: sqlite3.Connection, base: Side, draft: Side, span: Span, tally: Tally,
    say: Callable[[Any], None], watch: Callable[[int], None],
) -> None:  # fmt: skip
    """Compare patient by patient into the tally; hand each change and each foreseen posting to `say`.

    `watch` is told how many events of a patient were gone through.
    """
    comparer = Comparer(base, draft)
    foresight = _Foresight(connection, base, draft)
    for book in books(connection):
        events = book.events()
        answers = comparer.answers(events, foresight.as_of)
        found = changes(answers.before, answers.after, comparer.changed_rows)
        tally.patients += 1
        tally.events += len(book.sayings)
        tally.recomputed += answers.recomputed
        for side, failed in (("before", answers.failed_before), ("after", answers.failed_after)):
            if failed:
                tally.failed[side, failed] += 1
        tally.add(str(book.number), answers.before, answers.after, found, span)
        for change in found:
            if span.has(change):
                say((book.number, change))
        for one in foresight.postings(book, answers):
            if isinstance(one, Unsendable) or span.holds(one.day):
                say(one)
        watch(len(book.sayings))


class Waits(NamedTuple):
    """What would be read or computed before an activation could send exactly this."""

    messages: int
    parked: int
    as_of: date | None
    active: str


def waits(connection: sqlite3.Connection) -> Waits:
    """Return what is not yet worked through, and the digest of the tables that compute now (empty: none do)."""
    ledger = asked(connection)
    ((newest,),) = ledger.read("select coalesce(max(number), 0) from message")
    ((parked,),) = ledger.read("select count(*) from open_item where category = 'unreadable'")
    active = ledger.read("select digest from activation order by number desc limit 1")
    return Waits(newest - cursor(ledger, "work"), parked, latest_day(ledger), active[0][0] if active else "")


class _Foresight:
    """What the engine would say of a patient under other tables."""

    def __init__(self, connection: sqlite3.Connection, base: Side, draft: Side) -> None:
        self._books = asked(connection)
        self._identities = Identities(self._books)
        self._base, self._draft = base, draft
        self.as_of = latest_day(self._books)
        self._moment = Moment(self.as_of, self.as_of or date.min, datetime.min.replace(tzinfo=UTC).strftime("%Y"))
        self._modes = destination_modes(self._books, {*base.site.destinations, *draft.site.destinations})
        self._rooms = proving_rooms()
        self._parsed = {id(side): Parsed(self._books, self._rooms, side.site) for side in (base, draft)}

    def postings(self, book: PatientBook, answers: Answers) -> Iterator[Foreseen | Unsendable]:
        """Yield the postings that an activation would make of a patient, credits and charges in their order."""
        if any(item.category == QUARANTINED for item in book.items.values()):
            return  # the engine leaves this patient alone until a person releases the item
        if answers.failed_after:
            return
        if answers.before is answers.after and self._is_settled(book, self._draft, answers.after):
            return
        made = self._plan(book, self._draft, answers.after)
        pending = set()
        if made.said and not answers.failed_before and not self._is_settled(book, self._base, answers.before):
            pending = {one.line.id for one in self._plan(book, self._base, answers.before).said}
        states = self._states(book, made.said)
        for one in made.said:
            yield self._foreseen(book, one, states, one.line.id in pending)
        for key, item in made.items.items():
            if item.category == "unsendable" and key not in book.items:
                yield Unsendable(book.number, item.destination, item.reason, item.note)

    def _is_settled(self, book: PatientBook, side: Side, due: Due) -> bool:
        """Tell, without spelling a key, that what stands is what is due: then nothing is to be said.

        A line that an edit holds keeps postings from being compared, so such a patient is never settled here.
        """
        if any(charge.hold in EDIT_REASONS for charge in due.charges):
            return False
        try:
            accounts = Accounts(book, book.live(), due.charges, self._parsed[id(side)])
        except RadchargeError:
            return False
        # What makes two lines one, and the slot and account: slices, because this is hot.
        lines = [(c.bill, (*c[:6], *c[7:10], c.slot, accounts.of(c)), c.units) for c in due.charges if c.hold is None]
        for name, destination in side.site.destinations.items():
            units: defaultdict[tuple[Any, ...], int] = defaultdict(int)
            for bill, line, count in lines:
                if bill in destination.bills:
                    units[line] += count
            standing = book.standing(name, self._modes.get(name, "live"))
            for s in accounts.placed(standing, due.charges, line_key):
                units[(*s[1:7], *s[8:13])] -= s.units
            if any(units.values()):
                return False
        return True

    def _plan(self, book: PatientBook, side: Side, due: Due) -> Plan:
        doors = self._rooms._replace(charges_due=lambda *_: due)
        made = plan(book, side.site, doors, self._parsed[id(side)], self._modes, self._moment, self._identities)
        self._parsed[id(side)].trim()
        return made

    def _foreseen(self, book: PatientBook, one: Said, states: dict[int, int], pending: bool) -> Foreseen:
        line, charge = one.line, one.charge
        return Foreseen(
            line.patient, line.id, line.kind, line.destination, line.line_key, charge.bill, charge.course, charge.code,
            "-".join(charge.modifiers), charge.day, line.units, line.credits, one.cause,
            _stands_as(book, line.credits, states), pending,
        )  # fmt: skip

    def _states(self, book: PatientBook, said: Sequence[Said]) -> dict[int, int]:
        """Return the states of the sends of the charges that are taken back, without those that were accepted."""
        old = [book.lines[one.line.credits] for one in said if one.line.credits in book.lines]
        sends = json.dumps([line.send for line in old if line.send is not None])
        return dict(self._books.read("select seq, state from outbox where seq in (select value from json_each(?))",
                                     (sends,)))  # fmt: skip


def _stands_as(book: PatientBook, credited: str | None, states: dict[int, int]) -> str:
    """Return what became of the charge that a posting takes back, in one word."""
    if credited is None:
        return ""
    old = book.lines.get(credited)
    if old is None:
        return "foreseen"
    return old.mode if old.send is None else STATES[states.get(old.send)]


def _due(
    events: Sequence[TreatmentEvent], rulebook: Rulebook, as_of: date | None, edits: Edits | None
) -> tuple[Due, str]:
    try:
        return charges_due(events, rulebook, as_of, tables=edits), ""
    except RadchargeError as problem:
        return NOTHING_DUE, str(problem)


def _same_edits(base: Side, draft: Side) -> bool:
    """Tell whether the edits of both sides answer alike: the same official tables, and the same charge master."""
    if base.edits is draft.edits:
        return True
    needing = [{name: d.bills for name, d in side.site.destinations.items() if d.needs_charge_code}
               for side in (base, draft)]  # fmt: skip
    masters = [side.site.chargemaster for side in (base, draft)]
    official = [getattr(side.edits, "digest", None) for side in (base, draft)]
    return needing[0] == needing[1] and (not needing[0] or masters[0] == masters[1]) and official[0] == official[1]


class Totals:
    """The foreseen postings summed by destination, kind and what became of the credited charge."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str, str]] = Counter()
        self.units: Counter[tuple[str, str, str]] = Counter()
        self.unsendable: Counter[tuple[str, str]] = Counter()
        self.pending = 0

    def add(self, one: Foreseen | Unsendable) -> None:
        """Count a posting, or one that could not be made."""
        if isinstance(one, Unsendable):
            self.unsendable[one.destination, one.reason] += 1
            return
        key = (one.destination, one.kind, one.stands_as)
        self.counts[key] += 1
        self.units[key] += one.units
        self.pending += one.pending
