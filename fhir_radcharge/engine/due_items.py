"""The work items that a recomputation opens: lines held, sessions flagged, lines that cannot be written."""

from __future__ import annotations

from fhir_radcharge.engine.items import Item, item_key
from fhir_radcharge.engine.patients import PatientBook
from fhir_radcharge.errors import MessageError
from fhir_radcharge.ledger.codec import Line
from fhir_radcharge.model import Charge, Flag


def held(book: PatientBook, charge: Charge, message: int) -> Item:
    """Return the item of a line that waits, with its reason; one without a reason has no destination to go to."""
    reason = charge.hold or "no_destination"
    key = item_key(
        "hold", book.hex, reason, charge.bill, charge.code, charge.modifiers, charge.day, charge.slot, charge.dated_by,
        *charge.events[:1],
    )  # fmt: skip
    place = f"{charge.bill} {'-'.join((charge.code or '?', *charge.modifiers))} {charge.day.isoformat()}"
    return Item(key, "hold", reason, book.number, charge.course, message=message, place=place, note=charge.note)


def flagged(book: PatientBook, flag: Flag) -> Item:
    """Return the item of something that lets lines go and that somebody looks at."""
    day = flag.day.isoformat() if flag.day else ""
    key = item_key("flag", book.hex, flag.reason, flag.course, day, *flag.events)
    return Item(key, "flag", flag.reason, book.number, flag.course, place=day, note=flag.note)


def unsendable(book: PatientBook, line: Line, problem: MessageError) -> Item:
    """Return the item of a line that cannot be written for its destination."""
    key = item_key("unsendable", line.destination, line.kind, line.line_key, line.units, problem.place, problem.code)
    return Item(
        key, "unsendable", problem.code, book.number, line.charge.course, line.destination, line.message,
        problem.place, f"{problem.problem}; {problem.remedy}",
    )  # fmt: skip
