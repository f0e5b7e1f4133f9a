"""Stored messages into events appended to the books, and the patients whose charges they touch."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from fhir_radcharge.engine.fhir_reading import is_fhir, opened, said
from fhir_radcharge.engine.items import Item, clear, hold, item_key, items_of
from fhir_radcharge.engine.patients import Patients, Saying
from fhir_radcharge.engine.rooms import Rooms
from fhir_radcharge.errors import LedgerError, MessageError, RadchargeError
from fhir_radcharge.ledger import Ledger
from fhir_radcharge.ledger.codec import event_body, event_content, event_key, revision_text, told_order
from fhir_radcharge.model import TreatmentEvent
from fhir_radcharge.wire.adt import Statement, read_adt
from fhir_radcharge.wire.dft import Reading

_PARSED_BYTES_MAX = 1 << 20
_MARKS_MAX = 500
# Items of a message that are opened anew each time it is read.
READ_AGAIN = ("unreadable", "nonconforming", "not_admitted", "notice", "defect")


class Stored(NamedTuple):
    """A message as it lies in the books."""

    number: int
    disposition: str
    raw: bytes


class Told(NamedTuple):
    """One event of a message, spelled as it will be stored."""

    key: bytes
    event: TreatmentEvent
    patient: str
    account: str
    revision: str
    body: str
    content: bytes


class Parsed:
    """The messages that were parsed lately: most postings are rendered from the message that was just read."""

    def __init__(self, ledger: Ledger, rooms: Rooms, site: Any) -> None:
        self._ledger = ledger
        self._rooms = rooms
        self._site = site
        self._kept: OrderedDict[int, Any] = OrderedDict()
        self._bytes = 0

    def add(self, number: int, message: Any) -> None:
        """Keep a parsed message for as long as few others come."""
        if number not in self._kept:
            self._bytes += len(message.raw)
        self._kept[number] = message

    def trim(self) -> None:
        """Forget all but the newest, by their size."""
        while self._bytes > _PARSED_BYTES_MAX:
            _, gone = self._kept.popitem(last=False)
            self._bytes -= len(gone.raw)

    def message(self, number: int) -> Any:
        """Return a message whose patient, visit and insurance a posting carries."""
        if number not in self._kept:
            rows = self._ledger.read("select raw from message where number = ?", (number,))
            if not rows:
                raise MessageError(
                    "message",
                    "no message tells the patient's identifiers",
                    "let the sender send one of this patient",
                )
            raw = rows[0][0]
            fhir = is_fhir(raw)
            self.add(number, opened(raw, self._site, number) if fhir else parse(self._rooms, self._site, raw)[2])
        return self._kept[number]


def parse(rooms: Rooms, site: Any, raw: bytes) -> tuple[Any, Any, Any]:
    """Return header, sender and message; raise MessageError where the sender is not known."""
    header = rooms.header(raw)
    sender = site.sender_for(header)
    return header, sender, rooms.read_message(raw, sender.charset)


class Reader:
    """Reads stored messages; what cannot be read is parked with its place, and the next one is unharmed."""

    def __init__(self, ledger: Ledger, site: Any, rooms: Rooms, parsed: Parsed, patients: Patients) -> None:
        self._ledger = ledger
        self._site = site
        self._rooms = rooms
        self._parsed = parsed
        self._patients = patients
        self._stated: list[tuple[int, Statement]] = []

    def read(self, messages: Sequence[Stored], edition: int, at: str) -> set[int]:
        """Append the events of the messages and return the numbers of the patients that they touch."""
        told: list[Told] = []
        parked: list[Item] = []
        self._stated = []
        for message in messages:
            told += self._events(message, parked)
        hold(self._ledger, parked, at)
        touched = self.append(told, edition) if told else set()
        return touched | self._identify() if self._stated else touched

    def read_again(self, messages: Sequence[Stored], edition: int, at: str) -> set[int]:
        """Close what was open about the messages, then read them."""
        for message in messages:
            clear(
                self._ledger,
                [i for i in items_of(self._ledger, "message", message.number) if i.category in READ_AGAIN],
                at,
            )
        return self.read(messages, edition, at)

    def _events(self, message: Stored, parked: list[Item]) -> list[Told]:
        try:
            heard, readings = self._read(message)
            told = [_told(event, one.patient, one.account) for one in readings for event in one.events]
        except MessageError as problem:
            parked.append(_unreadable(message.number, problem))
            return []
        except LedgerError:
            raise
        except RadchargeError as problem:
            parked.append(_unreadable(message.number, MessageError("message", str(problem), "mend it and release")))
            return []
        except Exception as error:  # noqa: BLE001 -- our own bug in one message must not stop the others
            parked.append(defect(error, message=message.number))
            return []
        for one in readings:
            parked += [_unreadable(message.number, problem) for problem in one.problems]
            parked += [_notice(message.number, self._ledger.key(one.patient).hex(), text) for text in one.notices]
        self._parsed.add(message.number, heard)
        return told

    def _read(self, message: Stored) -> tuple[Any, tuple[Reading, ...]]:
        if is_fhir(message.raw):
            return said(message.raw, self._site, message.number)
        header, sender, heard = parse(self._rooms, self._site, message.raw)
        if header.type == "ADT":
            self._stated += [(message.number, said) for said in read_adt(heard, sender, self._site)]
            return heard, ()
        return heard, (self._rooms.read_dft(heard, sender, self._site, message.number),)

    def _identify(self) -> set[int]:
        """Append what was said of identity; every record whose charges it may move is touched."""
        named = {name for _, said in self._stated for name in (said.patient, said.other) if name}
        numbers = self.patient_numbers(named)
        touched = self._patients.identities.append(
            [(said.kind, numbers[said.patient], numbers[said.other] if said.other else 0, self._visit(said), said.payer,
              said.insurance, said.revision, message) for message, said in self._stated]
        )  # fmt: skip
        for number in touched:
            self._patients.forget(number)
        return touched

    def supply(self, patient: int, event: TreatmentEvent) -> set[int]:
        """Append an event that a person says of a patient whom the books know."""
        ((key,),) = self._ledger.read("select key from patient where number = ?", (patient,))
        return self.append([_told(event, key.hex(), "")], 0, {key.hex(): patient})

    def append(self, told: Sequence[Told], edition: int = 0, numbers: Mapping[str, int] | None = None) -> set[int]:
        """Append events that are not there yet and return the numbers of the patients that they touch."""
        if numbers is None:
            numbers = self.patient_numbers({each.patient for each in told})
        accounts = {account: self.account(account) for account in {each.account for each in told}}
        known = self._known({each.key for each in told})
        number = self._ledger.next_number("event")
        rows: list[tuple[Any, ...]] = []
        touched: set[int] = set()
        for each in told:
            patient = numbers[each.patient]
            sayings = known.setdefault(each.key, {})
            name = each.revision, each.content
            if name in sayings:
                continue  # the same id with the same content: a repeat
            self._move(each.key, {*sayings.values(), patient}, touched)
            sayings[name] = patient
            event = each.event
            account = accounts[each.account]
            rows.append(
                (number + len(rows), each.key, event.source, event.id, each.revision, event.kind, patient, account,
                 int(event.voided), event.message, edition, each.content, each.body)
            )  # fmt: skip
            touched.add(patient)
            book = self._patients.recent(patient)
            if book is not None:
                order = told_order(event.revision, each.revision, event.voided, each.content)
                book.hear(each.key, Saying(order, event, account, patient))
        self._ledger.append("event", rows)
        for book in map(self._patients.recent, touched):
            if book is not None:
                self._patients.weigh(book)
        return touched

    def _move(self, key: bytes, patients: set[int], touched: set[int]) -> None:
        """Note an event that was told of two patients: its greatest revision says whose it is."""
        if len(patients) == 1:
            return
        for patient in patients:
            self._ledger.write("insert or ignore into moved (patient, key) values (?, ?)", (patient, key))
            self._patients.forget(patient)
        touched |= patients

    def _known(self, keys: set[bytes]) -> dict[bytes, dict[tuple[str, bytes], int]]:
        known: dict[bytes, dict[tuple[str, bytes], int]] = {}
        for some in _parts(list(keys)):
            marks = ",".join("?" * len(some))
            for key, revision, content, patient in self._ledger.read(
                f"select key, revision, content, patient from event where key in ({marks})",  # noqa: S608
                some,
            ):
                known.setdefault(key, {})[revision, content] = patient
        return known

    def patient_numbers(self, identities: set[str]) -> dict[str, int]:
        keys = {identity: self._ledger.key(identity) for identity in identities}
        numbers: dict[bytes, int] = {}
        for some in _parts(list(keys.values())):
            marks = ",".join("?" * len(some))
            numbers.update(self._ledger.read(f"select key, number from patient where key in ({marks})", some))  # noqa: S608
        new = [key for key in dict.fromkeys(keys.values()) if key not in numbers]
        first = self._ledger.next_number("patient")
        rows = [(first + i, key) for i, key in enumerate(sorted(new))]
        self._ledger.append("patient", rows)
        for number, key in rows:
            self._patients.begin(number, key)
            numbers[key] = number
        return {identity: numbers[key] for identity, key in keys.items()}

    def _visit(self, said: Statement) -> str:
        visit = self.account(said.account)
        return f"{self.account(said.prior)}/{visit}" if said.prior else visit

    def account(self, account: str) -> str:
        return self._ledger.key(f"account\0{account}").hex() if account else ""


def _told(event: TreatmentEvent, patient: str, account: str) -> Told:
    body = event_body(event)
    return Told(
        event_key(event.source, event.id),
        event,
        patient,
        account,
        revision_text(event.revision),
        body,
        event_content(event.kind, f"{patient}\0{account}", event.voided, body),
    )


def tell(event: TreatmentEvent, patient: str, account: str) -> Told:
    """Return an event that a person supplies, spelled as it will be stored."""
    return _told(event, patient, account)


def defect(error: Exception, message: int = 0, patient: int = 0, hexed: str = "") -> Item:
    """Return the alarm of our own bug; it names the place in our code, because the text might name a person."""
    at = error.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    place = f"{at.tb_frame.f_code.co_name}:{at.tb_lineno}" if at is not None else ""
    return Item(
        item_key("defect", message, hexed),
        "defect",
        type(error).__name__,
        patient,
        message=message,
        place=place,
        note="a defect of this program; report it, then release",
    )


def _unreadable(number: int, problem: MessageError) -> Item:
    return Item(
        item_key("message", number, problem.place, problem.code, problem.problem),
        "unreadable",
        problem.code,
        message=number,
        place=problem.place,
        note=f"{problem.problem}; {problem.remedy}",
    )


def _notice(number: int, hexed: str, text: str) -> Item:
    """Return a notice: one for each patient and text, however many messages say it."""
    return Item(item_key("notice", hexed, text), "notice", "notice", message=number, note=text)


def _parts(values: list[bytes]) -> list[list[bytes]]:
    return [values[i : i + _MARKS_MAX] for i in range(0, len(values), _MARKS_MAX)]
