"""The work queue: what waits for a person, appended as `held` and `cleared` when it changes."""

from __future__ import annotations

from base64 import b32encode
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Any, NamedTuple

from fhir_radcharge.ledger import Ledger

# A course waits at a destination while one of these is open.
BLOCKING = ("refused", "unanswered")
# What a recomputation of the patient opens and clears by itself.
DERIVED = frozenset({"hold", "flag", "rule_error", "defect", "unsendable"})
# What a recomputation clears when the correction is no longer due.
REFUSALS = frozenset({"refused", "dismissed"})


class Item(NamedTuple):
    """One thing that waits for a person: `patient`, `message` are 0 and texts empty where they do not apply."""

    key: str
    category: str
    reason: str
    patient: int = 0
    course: str = ""
    destination: str = ""
    message: int = 0
    place: str = ""
    note: str = ""


def item_key(*parts: object) -> str:
    """Return the name of an item, short enough to be typed."""
    text = "\0".join(map(str, parts))
    return b32encode(blake2b(text.encode(), digest_size=8).digest()).decode().rstrip("=")[:12]


def hold(ledger: Ledger, items: Iterable[Item], at: str) -> None:
    """Open items that are not open yet; age counts from the first time one was ever opened."""
    rows: list[Sequence[Any]] = []
    number = ledger.next_number("hold")
    for item in {item.key: item for item in items}.values():
        found = ledger.read("select category from open_item where key = ?", (item.key,))
        if found:
            continue
        first = ledger.read("select at from hold where key = ? order by number limit 1", (item.key,))
        ledger.write(
            "insert into open_item (key, category, reason, patient, course, destination, message, place, note, since)"
            " values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*item, first[0][0] if first else at),
        )
        rows.append(_row(number + len(rows), "held", item, at))
    ledger.append("hold", rows)


def clear(ledger: Ledger, items: Iterable[Item], at: str) -> None:
    """Close open items."""
    rows: list[Sequence[Any]] = []
    number = ledger.next_number("hold")
    for item in items:
        if ledger.write("delete from open_item where key = ?", (item.key,)):
            rows.append(_row(number + len(rows), "cleared", item, at))
    ledger.append("hold", rows)


def open_item(ledger: Ledger, key: str) -> Item | None:
    """Return an open item by its name, None if it is not open."""
    rows = ledger.read(f"select {COLUMNS} from open_item where key = ?", (key,))  # noqa: S608
    return Item(*rows[0]) if rows else None


def items_of(ledger: Ledger, where: str, value: int) -> list[Item]:
    """Return the open items of a patient or a message."""
    assert where in ("patient", "message")
    rows = ledger.read(f"select {COLUMNS} from open_item where {where} = ? order by key", (value,))  # noqa: S608
    return [Item(*row) for row in rows]


COLUMNS = "key, category, reason, patient, course, destination, message, place, note"


def _row(number: int, action: str, item: Item, at: str) -> tuple[Any, ...]:
    key, category, reason, patient, course, destination, message, place, note = item
    return number, key, action, category, reason, patient, course, destination, message, place, note, at
