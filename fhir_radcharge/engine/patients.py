"""What the books say about one patient, remembered for the patients that were busy lately."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from fhir_radcharge.engine.identity import Coverage, Identities, last
from fhir_radcharge.engine.items import Item, items_of
from fhir_radcharge.ledger import Ledger
from fhir_radcharge.ledger.codec import LINE_COLUMNS, Line, read_event, read_line, revision_order
from fhir_radcharge.model import Standing, TreatmentEvent

# Events and postings kept in memory, about 3 kB each: the process stays small whatever the books hold.
REMEMBERED_MAX = 15_000

_EVENTS = "select key, revision, voided, content, patient, account, source, event_id, kind, message, body from event"


class Saying(NamedTuple):
    """The standing revision of an event, with what sorts it and the account it was reported for."""

    order: tuple[Any, ...]
    event: TreatmentEvent
    account: str
    patient: int = 0


class PatientBook:
    """The standing events, postings and open items of one patient, whose records may be several (`group`)."""

    __slots__ = (
        "coverages", "group", "hex", "items", "last", "lines", "message", "number", "sayings", "struck", "visits",
        "wake",
    )  # fmt: skip

    def __init__(self, number: int, key: bytes) -> None:
        self.number = number
        self.hex = key.hex()
        self.group: Sequence[int] = (number,)
        self.visits: dict[str, str] = {}
        self.coverages: dict[str, Coverage] = {}
        self.sayings: dict[bytes, Saying] = {}
        self.lines: dict[str, Line] = {}
        self.last: dict[tuple[str, str], str] = {}
        self.struck: set[str] = set()
        self.items: dict[str, Item] = {}
        self.wake: str | None = None
        self.message = 0

    def hear(self, key: bytes, saying: Saying) -> None:
        """Let the greatest revision stand, whichever came first; `message` is the newest that named this patient."""
        self.message = max(self.message, saying.event.message)
        known = self.sayings.get(key)
        if known is None or saying.order > known.order:
            self.sayings[key] = saying

    def live(self) -> list[Saying]:
        """Return the sayings that are not voided, in the order of service; visit and payer are those of now."""
        live = sorted(
            (saying for saying in self.sayings.values() if not saying.event.voided),
            key=lambda saying: (saying.event.when, saying.event.source, saying.event.id),
        )
        return [self._identified(saying) for saying in live] if self.coverages or self.visits else live

    def events(self) -> tuple[TreatmentEvent, ...]:
        """Return the events from which it is computed what is due."""
        return tuple(saying.event for saying in self.live())

    def add_line(self, line: Line) -> None:
        """Remember a posting as the latest of its line."""
        self.lines[line.id] = line
        self.last[_world(line.destination, line.mode), line.line_key] = line.id

    def previous(self, destination: str, mode: str, line_key: str) -> str | None:
        """Return the id of the latest posting of a line at a destination, whatever became of it."""
        return self.last.get((_world(destination, mode), line_key))

    def standing(self, destination: str, mode: str) -> list[Standing]:
        """Return the charges said to a destination and not since credited; a refused one never happened.

        What a shadow would have said stands for the shadow alone.
        """
        units: dict[str, int] = {}
        for line in self.lines.values():
            if line.destination != destination or line.id in self.struck or line.mode not in (mode, "opening"):
                continue
            if line.credits is None:
                units[line.id] = units.get(line.id, 0) + line.units
            else:
                units[line.credits] = units.get(line.credits, 0) - line.units
        return [self.lines[name].standing(left) for name, left in units.items() if left > 0]

    def _identified(self, saying: Saying) -> Saying:
        visit = last(self.visits, saying.account)
        told = self.coverages.get(visit)
        event = saying.event if told is None else saying.event._replace(payer=told.payer)
        return saying._replace(event=event, account=visit)

    @property
    def weight(self) -> int:
        """How much of the memory's cap this book takes."""
        return 1 + len(self.sayings) + len(self.lines) + len(self.items)


class Patients:
    """The books of the patients that were busy lately; all are forgotten when a transaction fails."""

    def __init__(self, ledger: Ledger, remembered_max: int = REMEMBERED_MAX) -> None:
        self._ledger = ledger
        self.identities = Identities(ledger)
        self._max = remembered_max
        self._books: OrderedDict[int, PatientBook] = OrderedDict()
        self._weights: dict[int, int] = {}
        self._weight = 0
        self._generation = ledger.generation

    def recent(self, number: int) -> PatientBook | None:
        """Return the book of a patient if it is in memory."""
        if self._generation != self._ledger.generation:
            self._forget_all()
        return self._books.get(self.identities.survivor(number))

    def book(self, number: int) -> PatientBook:
        """Return the book of a patient, under the record that survives, read from the ledger if not in memory."""
        book = self.recent(number)
        if book is None:
            book = identified(self._ledger, self.identities, number)
            self._books[book.number] = book
        self._books.move_to_end(book.number)
        return book

    def begin(self, number: int, key: bytes) -> None:
        """Begin the book of a patient of whom the ledger has nothing yet."""
        if self.recent(number) is None:
            self._books[number] = PatientBook(number, key)

    def weigh(self, book: PatientBook) -> None:
        """Forget the books that were not busy for longest, until what is kept is within the cap."""
        self._weight += book.weight - self._weights.get(book.number, 0)
        self._weights[book.number] = book.weight
        while self._weight > self._max and len(self._books) > 1:
            number, _ = self._books.popitem(last=False)
            self._weight -= self._weights.pop(number, 0)

    def forget(self, number: int) -> None:
        """Forget one book, because the ledger changed beside it."""
        for each in {number, self.identities.survivor(number)}:
            if self._books.pop(each, None) is not None:
                self._weight -= self._weights.pop(each, 0)

    def _forget_all(self) -> None:
        self._books.clear()
        self._weights.clear()
        self._weight = 0
        self._generation = self._ledger.generation


def identified(ledger: Ledger, identities: Identities, number: int) -> PatientBook:
    """Read the book of whomever a record belongs to, under the record that survives, with the coverage told later."""
    survivor = identities.survivor(number)
    group = identities.group(survivor)
    book = load(ledger, survivor, group)
    book.visits = identities.visits(group)
    book.coverages = identities.coverages(group, book.visits)
    return book


def load(ledger: Ledger, number: int, group: Sequence[int] = ()) -> PatientBook:
    """Read the book of a patient from the ledger; `group` has every record that is this patient."""
    ((key,),) = ledger.read("select key from patient where number = ?", (number,))
    book = PatientBook(number, key)
    book.group = group = tuple(group) or (number,)
    of = f"where patient in ({','.join('?' * len(group))})"
    _hear_all(book, ledger.read(f"{_EVENTS} {of}", group))
    for (moved,) in ledger.read(f"select distinct key from moved {of}", group):  # noqa: S608
        # An event that was once reported for another patient stands where its greatest revision says.
        book.sayings.pop(moved, None)
        owner = max(ledger.read(f"{_EVENTS} where key = ?", (moved,)), key=_order)
        if owner[4] in group:
            _hear_all(book, [owner])
    for row in ledger.read(f"select {LINE_COLUMNS} from posting {of} order by number", group):  # noqa: S608
        book.add_line(read_line(row))
    book.struck.update(name for (name,) in ledger.read(f"select posting from struck {of}", group))  # noqa: S608
    for record in group:
        book.items.update((item.key, item) for item in items_of(ledger, "patient", record))
    for (day,) in ledger.read("select day from wake where patient = ?", (number,)):
        book.wake = day
    return book


def _hear_all(book: PatientBook, rows: Iterable[Any]) -> None:
    for row in rows:
        key, revision, voided, _, patient, account, source, event_id, kind, message, body = row
        event = read_event(source, event_id, kind, revision, voided, message, body)
        book.hear(key, Saying(_order(row), event, account, patient))


def _order(row: Any) -> tuple[Any, ...]:
    return revision_order(row[1], bool(row[2]), row[3])


def _world(destination: str, mode: str) -> str:
    return f"shadow:{destination}" if mode == "shadow" else destination
