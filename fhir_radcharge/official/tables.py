"""What a rule may ask of the official tables: unit limits, pair edits and the fee schedule of a day.

Pure: the rule engine sees `OfficialTables` and never a file or a database. Every answer can name the edition
and the line it came from, so that a hold can show its row. Where no table was imported the answer is None,
which is neither "no limit" nor "not listed".
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from datetime import date
from typing import Literal, NamedTuple, Protocol

BillKind = Literal["practitioner", "hospital"]


class Source(NamedTuple):
    """Where an answer stands: the edition, the file as published, and the line (or sheet row) in it."""

    edition: str
    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.edition} ({self.file}:{self.line})"


class PairEdit(NamedTuple):
    """A procedure-to-procedure edit in force: `second` is not paid beside `first` on one date.

    Indicator 0 cannot be released with a modifier, 1 can where the services were separate.
    """

    first: str
    second: str
    indicator: int
    source: Source


class UnitLimit(NamedTuple):
    """The units of a code that one day may carry; `mai` 1 is per line, 2 and 3 per day (0: not said)."""

    units: int
    mai: int
    source: Source


class ScheduleRow(NamedTuple):
    """What a fee schedule says of a code: status letter, PC/TC indicator, supervision, APC and amount.

    `amount` is text as a decimal: the payment rate of an outpatient row, `non-facility/facility` total
    relative value units of a physician row. Descriptors are not kept.
    """

    code: str
    modifier: str
    status: str
    component: str
    supervision: str
    apc: str
    amount: str
    source: Source


# A row that only says that the code has ended lists nothing: PFS status D and F, outpatient status D.
ENDED_STATUS = frozenset({"D", "F"})


class OfficialTables(Protocol):
    """The official tables as they were known on one day; the same question has always the same answer."""

    @property
    def digest(self) -> str:
        """Name the content of all tables in view; it changes when and only when they do."""

    def unit_limit(self, code: str, bill_kind: BillKind, day: date) -> int | None:
        """Return the units a day may carry; None: no table for that day, or the code is not in it."""

    def limit_row(self, code: str, bill_kind: BillKind, day: date) -> UnitLimit | None:
        """Return the unit limit with its row; None as in `unit_limit`."""

    def pair(self, code1: str, code2: str, bill_kind: BillKind, day: date) -> PairEdit | None:
        """Return the edit in force between two codes in either order; None where there is none."""

    def listed(self, code: str, bill_kind: BillKind, day: date) -> bool | None:
        """Tell whether the fee schedule of that day lists the code; None: none was imported."""

    def schedule_row(
        self, code: str, bill_kind: BillKind, day: date, modifier: str = ""
    ) -> ScheduleRow | None:
        """Return the schedule's row for the code; None where there is none."""

    def schedule_edition(self, bill_kind: BillKind, day: date) -> str | None:
        """Name the schedule that answers `listed` for that day; None where none was imported."""


class InMemoryTables:
    """The same answers from rows handed in, for cases and tests: alike for both bills and on every day."""

    def __init__(
        self,
        mue: Mapping[str, int] | None = None,
        ptp: Iterable[tuple[str, str, int]] = (),
        absent: Collection[str] | None = None,
        edition: str = "case",
    ) -> None:
        self._edition = edition
        self._limits = {
            code: UnitLimit(units, 0, Source(edition, "mue", line))
            for line, (code, units) in enumerate(sorted((mue or {}).items()), 1)
        }
        self._pairs = {
            (first, second): PairEdit(first, second, int(indicator), Source(edition, "ptp", line))
            for line, (first, second, indicator) in enumerate(ptp, 1)
        }
        self._absent = None if absent is None else frozenset(absent)
        said = (sorted(self._limits.items()), sorted(self._pairs.items()), absent and sorted(absent))
        self._digest = hashlib.sha256(repr(said).encode()).hexdigest()

    @property
    def digest(self) -> str:
        """Name the content of these rows."""
        return self._digest

    def unit_limit(self, code: str, bill_kind: BillKind, day: date) -> int | None:
        """Return the units a day may carry; None where no row was handed in."""
        row = self._limits.get(code)
        return None if row is None else row.units

    def limit_row(self, code: str, bill_kind: BillKind, day: date) -> UnitLimit | None:
        """Return the unit limit with its row; None where no row was handed in."""
        return self._limits.get(code)

    def pair(self, code1: str, code2: str, bill_kind: BillKind, day: date) -> PairEdit | None:
        """Return the edit between two codes in either order; None where there is none."""
        low, high = sorted((code1, code2))
        return self._pairs.get((low, high)) or self._pairs.get((high, low))

    def listed(self, code: str, bill_kind: BillKind, day: date) -> bool | None:
        """Return False for a code handed in as absent, None where no schedule is supposed."""
        return None if self._absent is None else code not in self._absent

    def schedule_row(
        self, code: str, bill_kind: BillKind, day: date, modifier: str = ""
    ) -> ScheduleRow | None:
        """Return None: rows handed in carry no schedule."""
        return None

    def schedule_edition(self, bill_kind: BillKind, day: date) -> str | None:
        """Name the supposed schedule; None where none is supposed."""
        return None if self._absent is None else self._edition
