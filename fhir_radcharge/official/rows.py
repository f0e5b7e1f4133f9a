"""The small words of every official file: codes, days, numbers, and a count of rows that are wrong."""

from __future__ import annotations

from datetime import date
from typing import NamedTuple

from ..errors import TableError

PLACES_MAX = 20
_LEARNT_MAX = 200_000


class Faults:
    """Counts bad rows of one file: up to `tolerate` are left out and told, one more refuses the file."""

    def __init__(self, file: str, tolerate: int) -> None:
        self.file = file
        self.tolerate = tolerate
        self.count = 0
        self.places: list[str] = []

    def add(self, line: int, problem: str) -> None:
        """Count a bad row, or raise TableError where it is one too many."""
        self.count += 1
        place = f"{self.file}:{line}: {problem}"
        if self.count > self.tolerate:
            raise TableError(f"{place}; take the file as published, or import with a tolerance of bad rows")
        if len(self.places) < PLACES_MAX:
            self.places.append(place)


class PairRow(NamedTuple):
    """A pair edit as stored: codes as numbers, days as ordinals, `deleted` the last day in force or None."""

    first: int
    second: int
    effective: int
    deleted: int | None
    indicator: int
    line: int


class LimitRow(NamedTuple):
    """A unit limit as stored."""

    code: int
    units: int
    mai: int
    line: int


class FeeRow(NamedTuple):
    """A fee schedule row as stored."""

    code: int
    modifier: str
    status: str
    component: str
    supervision: str
    apc: str
    amount: str
    line: int


def code_number(text: str) -> int:
    """Return a five-character code as a number that sorts like the code; ValueError for anything else."""
    if len(text) != 5 or not text.isascii() or not text.isalnum() or text != text.upper():
        raise ValueError(f"{_shown(text)} is not a five-character code")
    return int(text, 36)


def code_text(number: int) -> str:
    """Return the code that a number stands for."""
    digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    text = ""
    for _ in range(5):
        number, digit = divmod(number, 36)
        text = digits[digit] + text
    return text


def whole(text: str, name: str, most: int) -> int:
    """Return a whole number from 0 to `most`; ValueError for anything else."""
    if not text.isascii() or not text.isdigit() or len(text) > 9 or int(text) > most:
        raise ValueError(f"{name} {_shown(text)} is not a whole number up to {most}")
    return int(text)


def amount(text: str, name: str) -> str:
    """Return a decimal as plain text without sign marks; nothing for a blank or a placeholder."""
    plain = text.strip().replace("$", "").replace(",", "").strip()
    if plain in ("", ".", "NA", "N/A", "-"):
        return ""
    whole_part, _, fraction = plain.partition(".")
    if not plain.isascii() or not (whole_part + fraction).isdigit() or len(plain) > 20:
        raise ValueError(f"{name} {_shown(text)} is not an amount")
    return plain


class Codes(dict[bytes, int]):
    """Codes already seen, so that each is judged once; bounded, since a hostile file may hold any number."""

    def __missing__(self, cell: bytes) -> int:
        if len(self) > _LEARNT_MAX:
            self.clear()
        number = self[cell] = code_number(cell.strip().decode("latin-1"))
        return number


class Days(dict[bytes, int | None]):
    """Days already seen, yyyymmdd as ordinals; `*` and nothing mean that there is no day."""

    def __missing__(self, cell: bytes) -> int | None:
        if len(self) > _LEARNT_MAX:
            self.clear()
        text = cell.strip().decode("latin-1")
        if text in ("", "*"):
            ordinal = None
        elif len(text) == 8 and text.isascii() and text.isdigit() and "1980" <= text[:4] <= "2099":
            try:
                ordinal = date(int(text[:4]), int(text[4:6]), int(text[6:])).toordinal()
            except ValueError:
                raise ValueError(f"{_shown(text)} is not a day of the calendar") from None
        else:
            raise ValueError(f"{_shown(text)} is not a date yyyymmdd or *")
        self[cell] = ordinal
        return ordinal


def _shown(text: str) -> str:
    return repr(text[:20])
