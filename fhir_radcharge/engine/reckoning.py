"""What one patient's events make due, minus what stands, into the postings that say the difference."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from typing import Any, NamedTuple

from fhir_radcharge.engine.accounts import Accounts
from fhir_radcharge.engine.due_items import flagged, held, unsendable
from fhir_radcharge.engine.identified import with_insurance, with_patient, with_visit
from fhir_radcharge.engine.identity import Identities
from fhir_radcharge.engine.items import REFUSALS, Item, item_key
from fhir_radcharge.engine.patients import PatientBook
from fhir_radcharge.engine.reading import Parsed, defect
from fhir_radcharge.engine.rooms import Rooms
from fhir_radcharge.errors import LedgerError, MessageError, RadchargeError
from fhir_radcharge.ledger.codec import Line
from fhir_radcharge.model import Charge, Correction, Flag, Posting


class Said(NamedTuple):
    """One new posting: what is remembered of it, its line with the trace, and its frozen bytes (None: shadow).

    A `joined` one is said in the message of the posting before it.
    """

    line: Line
    charge: Charge
    previous: str | None
    cause: str
    posted: date
    body: bytes | None
    joined: bool = False


# Postings in one message, where a destination takes many.
LINES_MAX = 50


class Plan(NamedTuple):
    """What a recomputation of one patient changes: new postings, and the items that are open afterwards.

    `answered` are the destinations whose corrections were computed (None: the computation failed): only their
    refusals may be cleared.
    """

    said: tuple[Said, ...]
    items: dict[str, Item]
    refusals_wanted: frozenset[str]
    answered: frozenset[str] | None
    wake: str | None


class Moment(NamedTuple):
    """What a recomputation is told of time: the day that is its only "as of", and labels."""

    as_of: date | None
    posted: date
    msh7: str


def plan(
    book: PatientBook, site: Any, rooms: Rooms, parsed: Parsed, modes: dict[str, str], moment: Moment,
    identities: Identities | None = None,
) -> Plan:  # fmt: skip
    """Return what is to be said about a patient; what goes wrong in this patient is an item of this patient.

    Without `identities` the bytes name patient and insurance as the treatment's own message does.
    """
    try:
        return _Reckoning(book, site, rooms, parsed, moment, identities).plan(modes)
    except LedgerError:
        raise
    except RadchargeError as problem:
        item = Item(
            item_key("rule_error", book.hex),
            "rule_error",
            type(problem).__name__,
            book.number,
            note=f"{problem}; mend the tables and activate them",
        )
    except Exception as error:  # noqa: BLE001 -- our own bug in one patient must not stop the others
        item = defect(error, patient=book.number, hexed=book.hex)
    kept = {key: old for key, old in book.items.items() if old.category not in REFUSALS}
    return Plan((), {**kept, item.key: item}, frozenset(), None, book.wake)


class _Reckoning:
    def __init__(
        self, book: PatientBook, site: Any, rooms: Rooms, parsed: Parsed, moment: Moment,
        identities: Identities | None,
    ) -> None:  # fmt: skip
        self._identities = identities
        self._book = book
        self._site = site
        self._rooms = rooms
        self._parsed = parsed
        self._moment = moment
        self._sayings = book.live()
        self._accounts = Accounts(book, (), (), parsed)
        self._said: list[Said] = []
        self._items: dict[str, Item] = {}
        self._refusals: set[str] = set()
        self._last: dict[tuple[str, str], str] = {}
        self._stopped: set[tuple[str, str]] = set()
        self._payers: dict[str, str | None] | None = None
        self._refused = {key for key, item in book.items.items() if item.category in REFUSALS}

    def plan(self, modes: dict[str, str]) -> Plan:
        events = tuple(saying.event for saying in self._sayings)
        due = self._rooms.charges_due(events, self._site.rulebook, self._moment.as_of)
        self._accounts = Accounts(self._book, self._sayings, due.charges, self._parsed)
        bills = {bill for destination in self._site.destinations.values() for bill in destination.bills}
        for charge in due.charges:
            if charge.hold is not None or charge.bill not in bills:
                self._add(held(self._book, charge, self._accounts.message_of(charge)))
        self._flag(due.flags)
        answered = []
        for name, destination in self._site.destinations.items():
            mode = modes.get(name, "live")
            if mode == "drain":
                continue
            answered.append(name)
            charges = [charge for charge in due.charges if charge.bill in destination.bills]
            standing = self._accounts.placed(self._book.standing(name, mode), charges, self._rooms.line_key)
            result = self._rooms.corrections(charges, standing, self._accounts.of_events)
            self._flag(result.flags)
            first = len(self._said)
            for correction in _as_understood(result.corrections, charges, destination, self._rooms.line_key):
                self._say(correction, name, destination, mode)
            if mode == "live" and getattr(destination, "per_message", "one") == "many":
                self._join(first, destination)
        wake = due.wakes.isoformat() if due.wakes is not None else None
        return Plan(tuple(self._said), self._items, frozenset(self._refusals), frozenset(answered), wake)

    def _add(self, item: Item) -> None:
        self._items[item.key] = item

    def _flag(self, flags: Sequence[Flag]) -> None:
        for flag in flags:
            self._add(flagged(self._book, flag))

    def _say(self, correction: Correction, name: str, destination: Any, mode: str) -> None:
        credited = correction.credits
        if credited is not None:
            old = self._book.lines[credited.posting]
            # The books remember a line without its trace, so a credit must be the same where memory still has one.
            charge = old.charge._replace(events=(), why=(), note="")
            line_key, account = old.line_key, old.account
            message, of, patient = old.message, credited.posting, old.patient
        else:
            assert correction.charge is not None
            charge, of, patient = correction.charge, None, self._book.number
            line_key = f"{self._book.hex}/{self._rooms.line_key(charge)}"
            # The account by which it was compared, or it would be taken back the next time.
            message, account = self._accounts.message_of(charge), self._accounts.of(charge)
        if self._refused:
            key = item_key("refused", name, correction.kind, line_key, charge.units, correction.units, of)
            if key in self._refused:
                self._refusals.add(key)
                return
        previous = self._last.get((name, line_key)) or self._book.previous(name, mode, line_key)
        world = f"shadow:{name}" if mode == "shadow" else name
        posting = self._rooms.posting_id(world, line_key, correction.kind, previous)
        line = Line(
            posting,
            correction.kind,
            mode,
            name,
            line_key,
            charge,
            correction.units,
            of,
            message,
            account,
            None,
            patient,
        )
        if (name, charge.course) in self._stopped:
            return
        try:
            self._refuse_uncoded(charge, destination)
            body = None if mode == "shadow" else self._body([line], destination)
        except MessageError as problem:
            self._add(unsendable(self._book, line, problem))
            if of is not None:
                # No charge may overtake the credit that should have gone first.
                self._stopped.add((name, charge.course))
            return
        self._last[name, line_key] = posting
        self._said.append(Said(line, charge, previous, correction.cause, self._moment.posted, body))

    def _join(self, first: int, destination: Any) -> None:
        """Say together what follows one another and carries the same patient, account, course and session's message."""
        while first < len(self._said):
            head = self._said[first]
            last = first + 1
            while last < min(len(self._said), first + LINES_MAX) and _carries(self._said[last]) == _carries(head):
                last += 1
            if last - first > 1:
                body = self._body([said.line for said in self._said[first:last]], destination)
                self._said[first] = head._replace(body=body)
                for i in range(first + 1, last):
                    self._said[i] = self._said[i]._replace(body=None, joined=True)
            first = last

    def _refuse_uncoded(self, charge: Charge, destination: Any) -> None:
        if not destination.needs_charge_code:
            return
        if self._site.chargemaster.row(destination.name, charge.code, charge.modifiers, charge.day) is None:
            raise MessageError(
                "FT1-7",
                f"{charge.code} has no charge code on this date",
                f"add a row for {destination.name} to the chargemaster",
                "no_charge_code",
            )

    def _body(self, lines: Sequence[Line], destination: Any) -> bytes:
        first = lines[0]
        message = first.message or self._book.message
        heard = self._identified(first, message)
        postings = [self._posting(line, message) for line in lines]
        body = self._rooms.message_for(postings, destination, heard, first.id, self._moment.msh7, self._site)
        assert isinstance(body, bytes)
        return body

    def _posting(self, line: Line, message: int) -> Posting:
        # What is said is this posting's own units; the line may have grown by several postings.
        own = self._book.lines[line.credits].units if line.credits is not None else line.units
        charge = line.charge if line.charge.units == own else line.charge._replace(units=own)
        negative = line.kind == "CREDIT" and self._site.credits_negative(self._payer_of(charge), charge.day)
        return Posting(
            line.id, line.kind, line.destination, charge, line.units, line.credits, message, self._moment.posted,
            negative,
        )  # fmt: skip

    def _payer_of(self, charge: Charge) -> str | None:
        """Return the payer told with the event that dates a line, be it voided since."""
        if self._payers is None:
            # Where several senders gave one id, the first that was read.
            self._payers = {s.event.id: s.event.payer for s in reversed(self._book.sayings.values())}
        return self._payers.get(charge.dated_by)

    def _identified(self, line: Line, number: int) -> Any:
        """Return the message that a line is written from, with the patient and insurance that it is charged to."""
        heard = self._parsed.message(number)
        identities, book = self._identities, self._book
        if identities is None:
            return heard
        if len(book.group) > 1 and identities.named_in(number) not in (0, line.patient):
            heard = with_patient(heard, self._parsed.message(identities.message_naming(line.patient)))
        # What an earlier system charged may have no account.
        _, visit, *insurance = line.account.split("/") if line.account else ("", "")
        if visit and book.visits and identities.visit_in(number) not in ("", visit):
            heard = with_visit(heard, self._parsed.message(identities.message_of_visit(visit, book.group)))
        if insurance:
            heard = with_insurance(heard, self._parsed.message(identities.insured_in(insurance[0], book.group)))
        return heard


def _as_understood(
    corrections: Sequence[Correction], charges: Sequence[Charge], destination: Any, line_key: Callable[[Any], str]
) -> list[Correction]:
    """Return the corrections as a destination can be told them: one that takes back whole charges only gets the rest
    of a charge anew."""
    if not getattr(destination, "credits_whole", False):
        return list(corrections)
    due = {line_key(charge): charge for charge in charges}
    found: list[Correction] = []
    for one in corrections:
        of = one.credits
        rest = of.units - one.units if of is not None else 0
        charge = due.get(line_key(of)) if of is not None and rest > 0 else None
        if of is None or charge is None:
            found.append(one)
        else:
            found += [one._replace(units=of.units), Correction("CHARGE", rest, one.cause, charge)]
    return found


def _carries(said: Said) -> tuple[int, str, int, str]:
    return said.line.patient, said.line.account, said.line.message, said.charge.course
