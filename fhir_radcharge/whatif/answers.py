"""Turns what is due under two sets of tables into what would change, folded by cause.

Lines of the two answers are the same line where bill, course, code, modifiers, dates and place agree; else the
same thing charged otherwise, where they are one counted unit or come from one event. What is left was added or
dropped.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from typing import Any, Literal, NamedTuple

from fhir_radcharge.model import Charge, Due
from fhir_radcharge.rules.rulebook import Rulebook

Effect = Literal["added", "dropped", "changed", "held", "released"]
EFFECTS: tuple[Effect, ...] = ("added", "dropped", "changed", "held", "released")
SAMPLES_MAX = 5
NOTHING = "nothing"

Step = tuple[str, str]
"""A table and one of its rows."""


class Change(NamedTuple):
    """One line that differs: what it was, what it becomes, in which columns, and the rows that decided.

    `reason` is why it is held after, or was held before, or the work item that stands in its place.
    """

    effect: Effect
    before: Charge | None
    after: Charge | None
    columns: tuple[str, ...]
    decided_before: str
    decided_after: str
    reason: str

    @property
    def line(self) -> Charge:
        """The line as it was, or as it becomes where it was not."""
        line = self.before or self.after
        assert line is not None
        return line


def changes(before: Due, after: Due, changed_rows: frozenset[Step]) -> list[Change]:
    """Return every line that differs, in the order of service; none where the answers carry the same lines."""
    left, right = _without_same(before.charges, after.charges)
    if not left and not right:
        return []
    known = set(before.flags)
    raised = {name: flag.reason for flag in after.flags if flag not in known for name in flag.events}
    found: list[Change] = []
    for alike in _LIKENESSES:
        pairs, left, right = _paired(left, right, alike)
        found.extend(_change(old, new, changed_rows, raised) for old, new in pairs)
    found.extend(_change(old, None, changed_rows, raised) for old in left)
    found.extend(_change(None, new, changed_rows, raised) for new in right)
    return sorted(found, key=lambda change: (change.line.day, change.line.bill, change.line.code, change.effect))


def changed_rows(before: Rulebook, after: Rulebook) -> frozenset[Step]:
    """Return the rows, of tables and counts, that one rulebook lacks or has with another content."""
    ours, theirs = dict(_rows(before)), dict(_rows(after))
    return frozenset(step for step in {**ours, **theirs} if ours.get(step) != theirs.get(step))


def _rows(rulebook: Rulebook) -> Iterator[tuple[Step, Any]]:
    for table in rulebook.tables.values():
        for row in table.rows:
            asked = tuple((ask.name, want) for ask, want in zip(table.asks, row.asks, strict=True) if want is not None)
            yield (table.name, row.id), (asked, dict(row.gives), row.start, row.end)
    for rule in rulebook.counting:
        yield ("counting", rule.id), rule._replace(place="", sources=())


# -- which line is which ---------------------------------------------------------------------------------------


def _whole(charge: Charge) -> Any:
    # What makes it a line, with its units and hold: slices here and below, because this is hot.
    return charge[:11]


def _line(charge: Charge) -> Any:
    return (*charge[:6], *charge[7:10])


def _unit(charge: Charge) -> Any:
    return (charge.bill, charge.course, charge.slot) if charge.slot else None


def _service(charge: Charge) -> Any:
    return None if charge.slot else (charge.bill, charge.course, charge.dated_by, charge.family)


def _session(charge: Charge) -> Any:
    return None if charge.slot else (charge.bill, charge.course, charge.dated_by)


# The closest likeness first: the line itself, the counted unit, the service of an event, whatever the event earned.
_LIKENESSES: tuple[Callable[[Charge], Any], ...] = (_line, _unit, _service, _session)

Lines = Sequence[Charge]


def _without_same(before: Lines, after: Lines) -> tuple[Lines, Lines]:
    if before == after:
        return (), ()
    same = Counter(map(_whole, before)) & Counter(map(_whole, after))
    if not same:
        return before, after
    return _less(before, same), _less(after, same)


def _less(charges: Lines, same: Mapping[Any, int]) -> Lines:
    left = Counter(same)
    kept = []
    for charge in charges:
        key = _whole(charge)
        if left[key] > 0:
            left[key] -= 1
        else:
            kept.append(charge)
    return kept


def _paired(
    left: Lines, right: Lines, alike: Callable[[Charge], Any]
) -> tuple[list[tuple[Charge, Charge]], Lines, Lines]:
    by_key: defaultdict[Any, list[Charge]] = defaultdict(list)
    for charge in right:
        key = alike(charge)
        if key is not None:
            by_key[key].append(charge)
    pairs, alone = [], []
    for charge in left:
        key = alike(charge)
        others = by_key.get(key) if key is not None else None
        if others:
            pairs.append((charge, others.pop(0)))
        else:
            alone.append(charge)
    taken = {id(new) for _, new in pairs}
    return pairs, alone, [charge for charge in right if id(charge) not in taken]


_COLUMNS = ("code", "modifiers", "units", "day", "end", "place_of_service", "provider", "packaged", "hold")


def _change(
    old: Charge | None, new: Charge | None, changed: frozenset[Step], raised: Mapping[str, str]
) -> Change:
    columns: tuple[str, ...] = ()
    reason = ""
    effect: Effect
    if old is None or new is None:
        effect = "added" if old is None else "dropped"
        line = old or new
        assert line is not None
        reason = line.hold or ""
        if new is None:
            reason = next((raised[name] for name in line.events if name in raised), reason)
    else:
        columns = tuple(name for name in _COLUMNS if getattr(old, name) != getattr(new, name))
        effect = "held" if new.hold and not old.hold else "released" if old.hold and not new.hold else "changed"
        reason = new.hold or old.hold or ""
    return Change(effect, old, new, columns, _decider(old, new, changed), _decider(new, old, changed), reason)


def _decider(charge: Charge | None, other: Charge | None, changed: frozenset[Step]) -> str:
    """Return the row that made this line what it is: one whose content differs, else one that the other lacks."""
    if charge is None:
        return NOTHING
    steps = [why[:2] for why in charge.why]
    if not steps:
        return "no table"
    others = {why[:2] for why in other.why} if other is not None else set()
    differing = [step for step in steps if step in changed] or [step for step in steps if step not in others]
    table, row = (differing or steps)[-1]
    return f"{table}/{row}"


# -- folded ----------------------------------------------------------------------------------------------------


class Cause(NamedTuple):
    """What lines of one group have in common: the same two rows decided, with the same kind of change."""

    effect: Effect
    columns: tuple[str, ...]
    decided_before: str
    decided_after: str
    reason: str


@dataclass
class Group:
    """All lines that changed for one cause; `samples` are courses to look at, patient number and course."""

    lines: int = 0
    courses: int = 0
    codes: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    samples: list[tuple[str, str]] = field(default_factory=list)


@dataclass
class Tally:
    """The sums of a comparison, patient by patient; its size does not grow with the number of patients."""

    patients: int = 0
    events: int = 0
    unchanged: int = 0
    recomputed: int = 0
    effects: Counter[str] = field(default_factory=Counter)
    by_code: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    by_row: dict[str, Counter[str]] = field(default_factory=dict)
    flags: Counter[tuple[str, str]] = field(default_factory=Counter)
    groups: dict[Cause, Group] = field(default_factory=dict)
    failed: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, patient: str, before: Due, after: Due, found: Iterable[Change], span: Span) -> None:
        """Add one patient's answers and what differs between them, within the dates of service."""
        mine = [change for change in found if span.has(change)]
        self._count_codes(before, (0, 1) if after is before else (0,), span)
        if after is not before:
            self._count_codes(after, (1,), span)
        touched = sum(1 for change in mine if change.before is not None)
        self.unchanged += sum(1 for charge in before.charges if span.holds(charge.day)) - touched
        courses: defaultdict[Cause, set[str]] = defaultdict(set)
        for change in mine:
            cause = Cause(change.effect, change.columns, change.decided_before, change.decided_after, change.reason)
            group = self.groups.setdefault(cause, Group())
            group.lines += 1
            group.codes[change.line.bill, _code(change.before), _code(change.after)] += 1
            courses[cause].add(change.line.course)
            self.effects[change.effect] += 1
            for row in {change.decided_before, change.decided_after} - {NOTHING}:
                self.by_row.setdefault(row, Counter())[change.effect] += 1
        for cause, names in courses.items():
            group = self.groups[cause]
            group.courses += len(names)
            group.samples.extend((patient, name) for name in sorted(names)[: SAMPLES_MAX - len(group.samples)])
        if before is not after:
            self._count_flags(before, after, span)

    def _count_codes(self, due: Due, sides: Sequence[int], span: Span) -> None:
        by_code = self.by_code
        for charge in due.charges:
            if charge.hold is None and span.holds(charge.day):
                key = (charge.bill, _spelled(charge.code, charge.modifiers))
                counts = by_code.get(key)
                if counts is None:
                    counts = by_code[key] = [0, 0]
                for side in sides:
                    counts[side] += charge.units

    def _count_flags(self, before: Due, after: Due, span: Span) -> None:
        old, new = set(before.flags), set(after.flags)
        for word, flags in (("raised", new - old), ("gone", old - new)):
            for flag in flags:
                if flag.day is None or span.holds(flag.day):
                    self.flags[flag.reason, word] += 1

    @property
    def changed(self) -> int:
        """How many lines would not be as they are."""
        return sum(self.effects.values())

    def folded(self) -> list[tuple[Cause, Group]]:
        """Return the groups, the largest first."""
        return sorted(self.groups.items(), key=lambda item: (-item[1].lines, item[0]))


class Span(NamedTuple):
    """The dates of service that are looked at; open ends are None."""

    first: date | None = None
    last: date | None = None

    def holds(self, day: date) -> bool:
        """Tell whether a date of service lies within."""
        return (self.first is None or day >= self.first) and (self.last is None or day <= self.last)

    def has(self, change: Change) -> bool:
        """Tell whether a line lies within, as it was or as it becomes."""
        return any(self.holds(line.day) for line in (change.before, change.after) if line is not None)


def _code(charge: Charge | None) -> str:
    return "-" if charge is None else _spelled(charge.code, charge.modifiers)


@lru_cache(1024)
def _spelled(code: str, modifiers: tuple[str, ...]) -> str:
    return "-".join((code, *modifiers))
