"""A site that keeps books in the plainest way, so that the engine can be judged without the real tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

from fhir_radcharge.engine import Engine, Heard, Outcome, Rooms
from fhir_radcharge.errors import MessageError, RuleError
from fhir_radcharge.ledger import Ledger
from fhir_radcharge.model import Charge, Correction, Corrections, Due, Flag, Standing, TreatmentEvent, Why
from fhir_radcharge.wire import ack, er7


class Destination(NamedTuple):
    bills: tuple[str, ...]
    on_ambiguous: str = "hold"
    needs_charge_code: bool = False
    name: str = "PB"


class Sender(NamedTuple):
    charset: str | None = None
    answers: str = "original"
    control_ids: str = "unique"
    name: str = "rv"


class Reading(NamedTuple):
    patient: str
    account: str
    events: tuple[TreatmentEvent, ...]
    problems: tuple[MessageError, ...] = ()
    notices: tuple[str, ...] = ()


class ChargeMaster(NamedTuple):
    codes: frozenset[str] = frozenset({"77412"})

    def row(self, destination: str, code: str, modifiers: tuple[str, ...], day: date) -> str | None:
        return code if code in self.codes else None


class Site(NamedTuple):
    destinations: Mapping[str, Destination]
    senders: Mapping[str, Sender] = {
        "RV": Sender(),
        "LOOSE": Sender(control_ids="reused", name="loose"),
        "ENH": Sender(answers="enhanced", name="enh"),
    }
    digest: str = "tables-1"
    rulebook: str = "rulebook"
    chargemaster: ChargeMaster = ChargeMaster()

    def sender_for(self, header: Any) -> Sender:
        if header.sending_application not in self.senders:
            raise MessageError("MSH-3", "the sender is not known", "add a profile")
        return self.senders[header.sending_application]

    def credits_negative(self, payer: str | None, day: date) -> bool:
        return payer == "minus"

    def today(self, now: datetime) -> date:
        return now.date()


SITE = Site({"PB": Destination(("professional", "global"))})
TWO = Site({"PB": Destination(("professional",), "resend"), "HB": Destination(("facility",))})


def read_dft(message: er7.Message, sender: Sender, site: Site, number: int) -> Reading:
    """FT1: 2 id | 3 revision | 4 day | 6 CG or CD | 7 code | 8 bill | 9 hold | 10 units | 11 course."""
    patient = account = ""
    events = []
    problems = []
    for segment in message.segments:
        field = segment + [""] * 20
        if segment[0] == "PID":
            patient, account = field[3], field[18]
        if segment[0] != "FT1":
            continue
        if field[7] == "UNREADABLE":
            problems.append(MessageError("FT1-7", "the code is in no table", "add it", "103"))
            continue
        if field[7] == "DEFECT":
            raise ZeroDivisionError(f"patient {patient}")
        facts = {
            "code": field[7],
            "bill": field[8] or "global",
            "hold": field[9],
            "units": int(field[10] or 1),
        }
        events.append(
            TreatmentEvent(
                "RV", field[2], "service", date.fromisoformat(field[4]), course=field[11] or "C1", facts=facts,
                revision=(int(field[3] or 0),), voided=field[6] == "CD", message=number,
            )
        )  # fmt: skip
    return Reading(patient, account, tuple(events), tuple(problems))


def charges_due(events: Sequence[TreatmentEvent], rulebook: Any, as_of: date | None = None) -> Due:
    charges, flags, wakes = [], [], None
    released = {(event.facts["code"], event.facts["date"]) for event in events if event.kind == "release"}
    for event in events:
        if event.kind == "release":
            continue
        code = event.facts["code"]
        if code == "NORULE":
            raise RuleError("imrt_delivery: no row answers")
        if code == "BUG":
            raise KeyError("DOE^JANE")
        if code == "FLAG":
            flags.append(Flag("look", event.course or "", event.day, (event.id,)))
            continue
        hold = event.facts["hold"] or None
        if (code, event.day.isoformat()) in released:
            hold = None
        if code == "LATER" and (as_of is None or as_of < event.day + timedelta(days=3)):
            hold, wakes = "waits", event.day + timedelta(days=3)
        charges.append(
            Charge(
                event.facts["bill"], event.course or "", code, (), event.day, None, event.facts["units"], "11", None,
                False, hold, "service", "", event.id, (event.id,), (Why("service", "row-1", (("code", code),)),),
            )
        )  # fmt: skip
    return Due(tuple(charges), tuple(flags), wakes)


def line_key(line: Charge | Standing) -> str:
    return f"{line.bill}/{line.course}/{line.code}/{line.day}/{line.dated_by}"


def corrections(
    charges: Sequence[Charge], standing: Sequence[Standing], accounts: Mapping[str, str]
) -> Corrections:
    due = {(line_key(charge), accounts[charge.dated_by]): charge for charge in charges if charge.hold is None}
    found: list[Correction] = []
    units: dict[tuple[str, str], int] = {}
    for stands in standing:
        key = line_key(stands), stands.account
        charge = due.get(key)
        want = charge.units - units.get(key, 0) if charge else 0
        if stands.units > want:
            found.append(
                Correction("CREDIT", stands.units - max(want, 0), "gone" if charge is None else "units", None, stands)
            )
        units[key] = units.get(key, 0) + min(stands.units, max(want, 0))
    for key, charge in due.items():
        if charge.units > units.get(key, 0):
            found.append(Correction("CHARGE", charge.units - units.get(key, 0), "new", charge))
    return Corrections(tuple(found), ())


def posting_id(destination: str, key: str, kind: str, previous: str | None) -> str:
    return blake2b(f"{destination}|{key}|{kind}|{previous}".encode(), digest_size=6).hexdigest().upper()


def message_for(postings: Any, destination: Any, heard: er7.Message, control_id: str, at: str, site: Any) -> bytes:
    (posting,) = postings
    if posting.line.code == "UNSAYABLE":
        raise MessageError("MSH-18", "a character is not in the receiver's set", "set UTF-8", "102")
    sign = "CG" if posting.kind == "CHARGE" else "CD"
    patient = next(segment[3] for segment in heard.segments if segment[0] == "PID")
    return (
        f"MSH|^~\\&|||||{at}||DFT^P03|{control_id}|P|2.5.1\rPID|1||{patient}\r"
        f"FT1|1|{posting.id}||{posting.line.day}||{sign}|{posting.line.code}|||{posting.units}\r"
    ).encode()


ROOMS = Rooms(
    ack.header,
    ack.answer,
    ack.answer_code,
    ack.wanted,
    ack.NO_HEADER,
    er7.read_message,
    read_dft,
    message_for,
    charges_due,
    corrections,
    line_key,
    posting_id,
)


class Clock:
    """Goes on by a second each time it is asked."""

    def __init__(self) -> None:
        self.now = datetime(2026, 3, 2, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


def ft1(event: str, code: str = "77412", *, day: str = "2026-03-02", revision: int = 0, sign: str = "CG",
        bill: str = "global", hold: str = "", units: int = 1, course: str = "C1") -> str:  # fmt: skip
    return f"FT1|1|{event}|{revision}|{day}||{sign}|{code}|{bill}|{hold}|{units}|{course}"


def dft(control_id: str, patient: str, *lines: str, application: str = "RV", processing: str = "P",
        version: str = "2.5.1", kind: str = "DFT^P03", account: str = "V1", accept: str = "") -> bytes:  # fmt: skip
    head = f"MSH|^~\\&|{application}|NORTH|CHG|X|20260302||{kind}|{control_id}|{processing}|{version}|||{accept}"
    return "\r".join([head, f"PID|1||{patient}|||||||||||||||{account}", *lines, ""]).encode()


class Desk:
    """An engine with its ledger, and a biller that keeps what it was sent."""

    def __init__(self, path: Path, site: Site = SITE, *, pages_max: int | None = None, activate: bool = True,
                 rooms: Rooms = ROOMS, remembered_max: int = 20_000, clock: Clock | None = None,
                 credits_max: int | None = None) -> None:  # fmt: skip
        self.path, self.site, self.rooms, self.remembered_max = path, site, rooms, remembered_max
        self.clock = clock or Clock()
        self.credits_max = credits_max
        self.seen: list[tuple[str, bytes]] = []
        self.open(pages_max)
        if activate and not self.ledger.read("select 1 from activation"):
            self.engine.decisions.activate(site.digest, "all", "ada", "first tables")

    def open(self, pages_max: int | None = None) -> None:
        self.ledger = Ledger(self.path, pages_max=pages_max)
        try:
            self.engine = Engine(self.ledger, self.site, self.clock, self.rooms, self.remembered_max, self.credits_max)
        except BaseException:
            self.ledger.close()
            raise

    def crash(self) -> None:
        """Lose the process: nothing is finished, nothing is closed in order; then start again."""
        self.ledger.close()
        self.open()

    def hear(self, *raws: bytes) -> list[bytes | None]:
        with self.ledger.transaction():
            return self.engine.receive([Heard("rv", "127.0.0.1", raw) for raw in raws])

    def codes(self, *raws: bytes) -> list[str]:
        return [ack.read_answer(answer).code if answer else "" for answer in self.hear(*raws)]

    def work(self) -> None:
        for _ in range(1000):
            if not self.engine.work(100):
                return
        raise AssertionError("work does not end")

    def send(self, destination: str = "PB", kind: str = "accepted", lanes: int = 4) -> list[tuple[str, str, str, int]]:
        """Send until nothing goes out; return what was said: sign, code, day, units."""
        said = []
        for _ in range(1000):
            sends = self.engine.take(destination, range(lanes), lanes)
            if not sends:
                return said
            for send in sends:
                self.seen.append((destination, send.body))
                said.append(line_of(send.body))
            self.engine.settle([Outcome(send.seq, send.attempt, kind, "AA", b"") for send in sends])  # type: ignore[arg-type]
            if kind == "not_taken":
                return said
        raise AssertionError("sending does not end")

    def queue(self) -> list[tuple[str, str]]:
        rows = self.ledger.read(
            "select category, reason from open_item where category != 'dismissed' order by category, reason"
        )
        return [tuple(row) for row in rows]

    def item(self, category: str) -> str:
        ((key,),) = self.ledger.read("select key from open_item where category = ?", (category,))
        return str(key)

    def standing(self) -> list[tuple[str, str, str, int]]:
        """What finally stands at each destination, from the books alone."""
        return standing(self.ledger)


def line_of(body: bytes) -> tuple[str, str, str, int]:
    field = body.decode().split("\rFT1|")[1].split("\r")[0].split("|")
    return field[5], field[6], field[3], int(field[9].strip())


def standing(ledger: Ledger) -> list[tuple[str, str, str, int]]:
    rows = ledger.read(
        """select p.destination, p.code, p.day, p.units - coalesce((
               select sum(c.units) from posting c where c.credits = p.id
                  and c.id not in (select posting from struck)), 0) as units
           from posting p where p.kind = 'CHARGE' and p.mode != 'shadow' and p.id not in (select posting from struck)"""
    )
    return sorted(tuple(row) for row in rows if row[3])
