"""The site's charge master: code and modifiers, per destination and date of service, to its own charge code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import NamedTuple

ANY = "*"


class Row(NamedTuple):
    """What a destination wants beside the code; the price is absent where the site sends none."""

    first: date
    last: date | None
    charge_code: str
    department: str
    revenue_code: str
    price: Decimal | None


Key = tuple[str, str, str]


class ChargeMaster:
    """Dated rows by destination, code and modifiers; a row for any modifiers answers where no exact one does."""

    __slots__ = ("_rows",)

    def __init__(self, rows: Mapping[Key, Sequence[Row]]) -> None:
        self._rows = {key: tuple(found) for key, found in rows.items()}

    def row(self, destination: str, code: str, modifiers: Sequence[str], day: date) -> Row | None:
        """Return the row for a line on a date of service; None if the charge master has none."""
        for written in ("-".join(modifiers), ANY):
            for row in self._rows.get((destination, code, written), ()):
                if row.first <= day and (row.last is None or day <= row.last):
                    return row
        return None


def overlap(first: date, last: date | None, other: date, other_last: date | None) -> bool:
    """Say whether two spans of dates share a day; no last day: until further notice."""
    return (last is None or other <= last) and (other_last is None or first <= other_last)
