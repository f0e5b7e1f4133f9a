"""What an edition changed against the one known before it, and which past days it asks to be judged anew."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import date
from typing import Literal, NamedTuple

from .names import Kind
from .rows import code_text
from .store import Edition, OfficialStore, editions

SAMPLE_MAX = 20
What = Literal["added", "ended", "indicator", "value"]


class Change(NamedTuple):
    """One row that differs: `other` is the second code of a pair or a modifier; `was`, `now` in our words."""

    what: What
    code: str
    other: str
    was: str
    now: str


class Changes(NamedTuple):
    """Counts of what changed since the edition named `since`, some of it, and how much of it reaches back.

    `value` counts unit limits, amounts and the dates of a pair; `reaches_back` counts changes that give
    another answer for a day before the edition was known.
    """

    since: str
    added: int
    ended: int
    indicator: int
    value: int
    reaches_back: int
    sample: tuple[Change, ...]


class Reevaluation(NamedTuple):
    """A code, or a pair of codes, whose answer for past days is now another, both days included."""

    kind: Kind
    code: str
    other: str
    from_day: date
    to_day: date
    was: str
    now: str


class _Difference(NamedTuple):
    change: Change
    from_day: int
    to_day: int | None


def before(database: sqlite3.Connection, edition: Edition) -> Edition | None:
    """Return the edition that answered for `edition`'s first day just before it was known; None: none did."""
    earlier = [
        other for other in editions(database, edition.kind)
        if other.complete and other.as_of <= edition.as_of
        and (other.known_from, other.id) < (edition.known_from, edition.id)
    ]
    return max(earlier, key=lambda other: (other.as_of, other.known_from, other.id), default=None)


def changes(store: OfficialStore, edition: Edition) -> Changes | None:
    """Count what an edition changed; None for the first of its kind."""
    previous = before(store.database, edition)
    if previous is None:
        return None
    counts: dict[What, int] = {"added": 0, "ended": 0, "indicator": 0, "value": 0}
    reaches_back = 0
    samples: dict[What, list[Change]] = {what: [] for what in counts}
    for difference in _differences(store.database, previous, edition):
        what = difference.change.what
        counts[what] += 1
        reaches_back += _past(difference, edition) is not None
        if len(samples[what]) < SAMPLE_MAX // len(counts):
            samples[what].append(difference.change)
    sample = tuple(change for some in samples.values() for change in some)
    return Changes(previous.name, **counts, reaches_back=reaches_back, sample=sample)


def reevaluations(store: OfficialStore, edition: Edition) -> Iterator[Reevaluation]:
    """Yield what an edition changed for days before it was known; nothing for the first of its kind.

    An edit deleted with a date in the past, or gone as if it had never been, is among them: lines held or
    flagged by it on these days are to be judged again by a person's choice, never silently.
    """
    previous = before(store.database, edition)
    if previous is None:
        return
    for difference in _differences(store.database, previous, edition):
        past = _past(difference, edition)
        if past is not None:
            change = difference.change
            yield Reevaluation(edition.kind, change.code, change.other, *past, change.was, change.now)


def _past(difference: _Difference, edition: Edition) -> tuple[date, date] | None:
    last = edition.known_from.toordinal() - 1
    to_day = last if difference.to_day is None else min(last, difference.to_day)
    if difference.from_day > to_day:
        return None
    return date.fromordinal(difference.from_day), date.fromordinal(to_day)


def _differences(database: sqlite3.Connection, old: Edition, new: Edition) -> Iterator[_Difference]:
    if new.kind.startswith("ptp"):
        yield from _pair_differences(database, old, new)
        return
    followers = [
        other.as_of.toordinal() - 1 for other in editions(database, new.kind)
        if other.complete and other.as_of > new.as_of and other.known_from <= new.known_from
    ]
    first, last = new.as_of.toordinal(), min(followers, default=None)
    rows = _LIMITS if new.kind.startswith("mue") else _FEES
    for code, other, judged_old, value_old, judged_new, value_new in database.execute(
        rows, {"old": old.id, "new": new.id}
    ):
        what: What = (
            "added" if judged_old is None else "ended" if judged_new is None
            else "indicator" if judged_old != judged_new else "value"
        )
        was, now = _said(judged_old, value_old), _said(judged_new, value_new)
        yield _Difference(Change(what, code_text(code), other, was, now), first, last)


def _said(judged: str | None, value: str | None) -> str:
    return "not listed" if judged is None else f"{judged}: {value}"


def _pair_differences(database: sqlite3.Connection, old: Edition, new: Edition) -> Iterator[_Difference]:
    for first, second, effective, end_old, mark_old, end_new, mark_new in database.execute(
        _PAIRS, {"old": old.id, "new": new.id}
    ):
        what: What = (
            "added" if mark_old is None else "indicator" if mark_new is not None and mark_new != mark_old
            else "ended" if mark_new is None or end_old is None else "value"
        )
        was, now = _span(effective, end_old, mark_old), _span(effective, end_new, mark_new)
        change = Change(what, code_text(first), code_text(second), was, now)
        if what in ("added", "indicator") or mark_new is None:
            ends = [end for end, mark in ((end_old, mark_old), (end_new, mark_new)) if mark is not None]
            yield _Difference(change, effective, None if None in ends else max(ends))
        else:
            ends = sorted(end for end in (end_old, end_new) if end is not None)
            yield _Difference(change, ends[0] + 1, ends[1] if len(ends) == 2 else None)


def _span(effective: int, end: int | None, mark: int | None) -> str:
    if mark is None:
        return "no edit"
    last = "open" if end is None else str(date.fromordinal(end))
    return f"indicator {mark}, {date.fromordinal(effective)} to {last}"


_PAIRS = """
select n.first, n.second, n.effective, o.deleted, o.indicator, n.deleted, n.indicator
from ptp n left join ptp o
  on o.edition = :old and o.first = n.first and o.second = n.second and o.effective = n.effective
where n.edition = :new and (o.first is null or o.deleted is not n.deleted or o.indicator <> n.indicator)
union all
select o.first, o.second, o.effective, o.deleted, o.indicator, null, null
from ptp o left join ptp n
  on n.edition = :new and n.first = o.first and n.second = o.second and n.effective = o.effective
where o.edition = :old and n.first is null
"""

_LIMITS = """
select n.code, '', 'MAI ' || o.mai, o.units, 'MAI ' || n.mai, n.units
from mue n left join mue o on o.edition = :old and o.code = n.code
where n.edition = :new and (o.code is null or o.units <> n.units or o.mai <> n.mai)
union all
select o.code, '', 'MAI ' || o.mai, o.units, null, null
from mue o left join mue n on n.edition = :new and n.code = o.code
where o.edition = :old and n.code is null
"""

_FEES = """
select n.code, n.modifier, trim(o.status || ' ' || o.component || ' ' || o.supervision),
  trim(o.apc || ' ' || o.amount), trim(n.status || ' ' || n.component || ' ' || n.supervision),
  trim(n.apc || ' ' || n.amount)
from schedule n left join schedule o on o.edition = :old and o.code = n.code and o.modifier = n.modifier
where n.edition = :new and (o.code is null or (o.status, o.component, o.supervision, o.apc, o.amount)
  <> (n.status, n.component, n.supervision, n.apc, n.amount))
union all
select o.code, o.modifier, trim(o.status || ' ' || o.component || ' ' || o.supervision),
  trim(o.apc || ' ' || o.amount), null, null
from schedule o left join schedule n on n.edition = :new and n.code = o.code and n.modifier = o.modifier
where o.edition = :old and n.code is null
"""
