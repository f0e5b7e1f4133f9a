"""Imported editions as the rule engine's `OfficialTables`, as they were known on one day."""

from __future__ import annotations

import hashlib
import sqlite3
from bisect import bisect_right
from collections.abc import Iterable
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple
from urllib.parse import quote

from ..errors import LedgerError
from .names import Kind
from .rows import code_number
from .store import Edition, editions
from .tables import ENDED_STATUS, BillKind, PairEdit, ScheduleRow, Source, UnitLimit

Programme = Literal["medicare", "medicaid"]
CACHED_MAX = 1 << 16

_PAIR_KINDS: dict[tuple[Programme, BillKind], Kind] = {
    ("medicare", "practitioner"): "ptp_practitioner", ("medicare", "hospital"): "ptp_hospital",
    ("medicaid", "practitioner"): "ptp_medicaid_practitioner",
    ("medicaid", "hospital"): "ptp_medicaid_hospital",
}
_LIMIT_KINDS: dict[BillKind, Kind] = {"practitioner": "mue_practitioner", "hospital": "mue_hospital"}
_FEE_KINDS: dict[BillKind, tuple[Kind, ...]] = {"practitioner": ("pfs_qpp", "pfs"), "hospital": ("opps",)}

_PAIR = (
    "select effective, coalesce(deleted, 3652059), indicator, part, line, 0 from ptp"
    " where edition = ?1 and first = ?2 and second = ?3"
    " union all select effective, coalesce(deleted, 3652059), indicator, part, line, 1 from ptp"
    " where edition = ?1 and first = ?3 and second = ?2"
)
_LIMIT = "select units, mai, line from mue where edition = ? and code = ?"
_FEE = (
    "select modifier, status, component, supervision, apc, amount, line from schedule"
    " where edition = ? and code = ? order by modifier"
)


# First day, last day, edit.
_Span = tuple[int, int, PairEdit]


class _Timeline(NamedTuple):
    """Editions by the day from which each answers."""

    days: tuple[int, ...]
    editions: tuple[Edition, ...]

    def at(self, day: date) -> Edition | None:
        """Return the edition that answers on a day; None before the first."""
        at = bisect_right(self.days, day.toordinal())
        return self.editions[at - 1] if at else None


class ImportedTables:
    """The tables in an official file as known on `known_on` (None: all that is there when this is made).

    What is imported later is not seen, so the same question has always the same answer; make a new one to see
    it. A pair or unit table answers from its first day until the next edition's; a fee schedule not beyond
    its calendar year, since codes begin and end with the year. Calls must not overlap.
    """

    def __init__(
        self, path: Path | str, known_on: date | None = None, programme: Programme = "medicare"
    ) -> None:
        try:
            uri = f"file:{quote(str(path))}?mode=ro"
            self._database = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
            visible = [
                edition for edition in editions(self._database)
                if edition.complete and (known_on is None or edition.known_from <= known_on)
            ]
            self._pairs = {
                bill: _newest(visible, kind) for (for_programme, bill), kind in _PAIR_KINDS.items()
                if for_programme == programme
            }
            # Medicaid's own unit limits are not read; Medicare's must not stand in for them.
            limits = _LIMIT_KINDS if programme == "medicare" else {}
            self._limits = {bill: _timeline(visible, (kind,)) for bill, kind in limits.items()}
            self._fees = {bill: _timeline(visible, kinds) for bill, kinds in _FEE_KINDS.items()}
            self._files, self._digest = self._contents()
        except sqlite3.Error as error:
            raise LedgerError(f"{path}: the official tables cannot be opened ({error})") from None
        self._spans = lru_cache(CACHED_MAX)(self._read_spans)
        self._limit = lru_cache(CACHED_MAX)(self._read_limit)
        self._rows = lru_cache(CACHED_MAX)(self._read_rows)

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    @property
    def digest(self) -> str:
        """Name the content of all editions that can answer."""
        return self._digest

    def unit_limit(self, code: str, bill_kind: BillKind, day: date) -> int | None:
        """Return the units a day may carry; None: no table for that day, or the code is not in it."""
        row = self.limit_row(code, bill_kind, day)
        return None if row is None else row.units

    def limit_row(self, code: str, bill_kind: BillKind, day: date) -> UnitLimit | None:
        """Return the unit limit with its row; None as in `unit_limit`."""
        timeline = self._limits.get(bill_kind)
        edition = timeline and timeline.at(day)
        return self._limit(edition, code) if edition else None

    def pair(self, code1: str, code2: str, bill_kind: BillKind, day: date) -> PairEdit | None:
        """Return the edit in force between two codes in either order; None where there is none."""
        edition = self._pairs[bill_kind]
        if edition is None:
            return None
        ordinal = day.toordinal()
        low, high = (code1, code2) if code1 <= code2 else (code2, code1)
        for from_day, to_day, edit in self._spans(edition, low, high):
            if from_day <= ordinal <= to_day:
                return edit
        return None

    def listed(self, code: str, bill_kind: BillKind, day: date) -> bool | None:
        """Tell whether the fee schedule of that day lists the code; None: none was imported."""
        edition = self._schedule(bill_kind, day)
        return None if edition is None else any(
            row.status not in ENDED_STATUS for row in self._rows(edition, code)
        )

    def schedule_row(
        self, code: str, bill_kind: BillKind, day: date, modifier: str = ""
    ) -> ScheduleRow | None:
        """Return the schedule's row for a code and modifier; None where there is none."""
        edition = self._schedule(bill_kind, day)
        rows = () if edition is None else self._rows(edition, code)
        return next((row for row in rows if row.modifier == modifier), None)

    def schedule_edition(self, bill_kind: BillKind, day: date) -> str | None:
        """Name the schedule that answers `listed` for that day; None where none was imported."""
        edition = self._schedule(bill_kind, day)
        return None if edition is None else edition.name

    def _schedule(self, bill_kind: BillKind, day: date) -> Edition | None:
        edition = self._fees[bill_kind].at(day)
        return edition if edition is not None and edition.as_of.year == day.year else None

    def _read_spans(self, edition: Edition, low: str, high: str) -> tuple[_Span, ...]:
        spans = []
        rows = self._database.execute(_PAIR, (edition.id, _number(low), _number(high)))
        for begin, end, indicator, part, line, turned in rows:
            codes = (high, low) if turned else (low, high)
            edit = PairEdit(*codes, indicator, Source(edition.name, self._files[edition.id, part], line))
            spans.append((begin, end, edit))
        return tuple(spans)

    def _read_limit(self, edition: Edition, code: str) -> UnitLimit | None:
        row = self._database.execute(_LIMIT, (edition.id, _number(code))).fetchone()
        return None if row is None else UnitLimit(row[0], row[1], self._source(edition, row[2]))

    def _read_rows(self, edition: Edition, code: str) -> tuple[ScheduleRow, ...]:
        rows = self._database.execute(_FEE, (edition.id, _number(code)))
        return tuple(
            ScheduleRow(code, modifier, status, component, level, apc, rate, self._source(edition, line))
            for modifier, status, component, level, apc, rate, line in rows
        )

    def _source(self, edition: Edition, line: int) -> Source:
        return Source(edition.name, self._files[edition.id, 1], line)

    def _contents(self) -> tuple[dict[tuple[int, int], str], str]:
        used = {edition.id for edition in self._pairs.values() if edition}
        for timeline in (*self._limits.values(), *self._fees.values()):
            used.update(edition.id for edition in timeline.editions)
        files: dict[tuple[int, int], str] = {}
        hashes: list[str] = []
        query = (
            "select edition, part, file, kind, name, sha256 from part join edition on edition.id = edition"
            " order by kind, name, part, sha256"
        )
        for edition, part, file, *identity in self._database.execute(query):
            files[edition, part] = file
            if edition in used:
                hashes.append(f"{part} {' '.join(identity)}")
        return files, hashlib.sha256("\n".join(hashes).encode()).hexdigest()


def _newest(visible: Iterable[Edition], kind: Kind) -> Edition | None:
    """A pair file holds all history, so the newest edition answers for every day."""
    return max((edition for edition in visible if edition.kind == kind), key=_rank, default=None)


def _timeline(visible: Iterable[Edition], kinds: tuple[Kind, ...]) -> _Timeline:
    """Of several editions for one first day the last known answers; of two kinds, the last named."""
    standing: dict[int, Edition] = {}
    for edition in sorted(visible, key=_rank):
        for_day = standing.get(edition.as_of.toordinal())
        if edition.kind in kinds and (
            for_day is None or kinds.index(edition.kind) >= kinds.index(for_day.kind)
        ):
            standing[edition.as_of.toordinal()] = edition
    days = tuple(sorted(standing))
    return _Timeline(days, tuple(standing[day] for day in days))


def _rank(edition: Edition) -> tuple[date, date, int]:
    return edition.as_of, edition.known_from, edition.id


@lru_cache(CACHED_MAX)
def _number(code: str) -> int:
    """Return the code's number; -1, which no row has, for what is no such code."""
    try:
        return code_number(code)
    except ValueError:
        return -1
