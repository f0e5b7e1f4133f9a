"""Turns the rows of the code catalogue into answers about a code on a date of service."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date
from itertools import pairwise
from typing import Literal, NamedTuple

from fhir_radcharge.errors import TableError

Component = Literal["technical", "professional", "split"]
Payable = Literal["billable", "bundled", "carrier_priced", "not_billable", "not_recognized", "packaged"]

Basis = Literal["per session", "per fraction", "per five fractions", "per day", "per plan", "per course", "event"]

FAMILIES = (
    "delivery",
    "stereotactic",
    "superficial",
    "brachytherapy",
    "particle",
    "intraoperative",
    "guidance",
    "port",
    "management",
    "physics",
    "planning",
    "device",
)


class CodeRow(NamedTuple):
    """What one code is during one span of dates of service; open ends are `date.min` and `date.max`.

    `freestanding`, `hospital` and `physician` say how each claim treats the code, `computed` whether the
    engine computes it from facts (a report of it is then evidence, never a charge). `mue_per_day` is for
    information: edits act on imported tables alone.
    """

    code: str
    system: str
    family: str
    label: str
    valid_from: date
    valid_to: date
    component: Component
    freestanding: Payable
    hospital: Payable
    physician: Payable
    modifier_26: bool
    mue_per_day: int | None
    basis: str
    computed: bool
    sources: tuple[str, ...]
    confidence: str
    notes: str
    place: str = ""


class Catalogue:
    """Every code that the tables know, with one row at most on any date of service."""

    __slots__ = ("_rows",)

    def __init__(self, rows: Iterable[CodeRow]) -> None:
        """Keep the rows; raise TableError where two of one code overlap or differ in family or `computed`."""
        by_code: dict[str, list[CodeRow]] = {}
        for row in rows:
            by_code.setdefault(row.code, []).append(row)
        self._rows = {code: tuple(sorted(given, key=_start)) for code, given in by_code.items()}
        for given in self._rows.values():
            _check(given)

    def row(self, code: str, day: date) -> CodeRow | None:
        """Return the row of a code on a date of service, None where it has none."""
        for row in self._rows.get(code, ()):
            if row.valid_from <= day <= row.valid_to:
                return row
        return None

    def known(self, code: str) -> bool:
        """Return whether the code stands in the catalogue at all."""
        return code in self._rows

    def family(self, code: str) -> str | None:
        """Return the family of a code, None where the code is not known."""
        rows = self._rows.get(code)
        return rows[0].family if rows else None

    def computed(self, code: str) -> bool:
        """Return whether the engine computes the code from facts; False where the code is not known."""
        rows = self._rows.get(code)
        return rows is not None and rows[0].computed

    def ended(self, code: str, day: date) -> bool:
        """Return whether the code is known and every row of it ended before the day."""
        rows = self._rows.get(code)
        return rows is not None and rows[-1].valid_to < day

    def __iter__(self) -> Iterator[CodeRow]:
        """Return every row, by code and then by date."""
        for code in sorted(self._rows):
            yield from self._rows[code]

    def __len__(self) -> int:
        return sum(map(len, self._rows.values()))


class Either(Catalogue):
    """What is known to one of two catalogues, the first asked first: for what is read under both."""

    __slots__ = ("_one", "_other")

    def __init__(self, one: Catalogue, other: Catalogue) -> None:
        self._rows = {**other._rows, **one._rows}
        self._one, self._other = one, other

    def row(self, code: str, day: date) -> CodeRow | None:
        """Return the row of a code on a date of service, None where it has none in either."""
        return self._one.row(code, day) or self._other.row(code, day)


def _start(row: CodeRow) -> date:
    return row.valid_from


def _check(rows: tuple[CodeRow, ...]) -> None:
    for row in rows:
        if row.valid_to < row.valid_from:
            raise TableError(f"{row.place}: {row.code} ends on {row.valid_to}, before it begins; swap them")
    for before, row in pairwise(rows):
        if row.valid_from <= before.valid_to:
            raise TableError(
                f"{row.place}: {row.code} overlaps its row at {before.place};"
                f" end that one before {row.valid_from}"
            )
        if (row.family, row.computed) != (before.family, before.computed):
            raise TableError(
                f"{row.place}: {row.code} differs in family or computed from its row at {before.place};"
                " a code has one family"
            )
