"""Turns payer profiles and their dated knobs into the one value of each knob on a date of service."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from itertools import pairwise
from types import MappingProxyType
from typing import Any, NamedTuple

from fhir_radcharge.errors import TableError, did_you_mean

FIRST_DAY = date(2015, 1, 1)
"""The first day on which every knob must have a value; an earlier date of service is answered like it."""

OVERRIDE = "override"
"""What `Policy.origin` calls the profile of a value that a case or an operator set on top."""


class Knob(NamedTuple):
    """One rule that payers, contractors or sites read differently, and the values it may take.

    `kind` is `word` (one of `allowed`), `number` (a whole number, `least` or more) or `list` (texts out of
    `allowed`; any texts where `allowed` is empty).
    """

    name: str
    meaning: str
    kind: str
    allowed: tuple[Any, ...]
    least: int
    confidence: str
    sources: tuple[str, ...]
    against: tuple[str, ...] = ()
    place: str = ""

    def problem(self, value: Any) -> str | None:
        """Return what is wrong with a value, with the way out; None where it may stand."""
        if self.kind == "number":
            good = type(value) is int and value >= self.least
            form = f"a whole number from {self.least}"
            return None if good else f"{self.name} takes {form}; found {_said(value)}"
        if self.kind == "list":
            texts = isinstance(value, list | tuple) and all(isinstance(item, str) for item in value)
            good = texts and len(set(value)) == len(value)
            good = good and all(item in self.allowed for item in value if self.allowed)
            of = f" out of {', '.join(self.allowed)}" if self.allowed else ""
            wrong = next((item for item in value if item not in self.allowed), "") if texts and self.allowed else ""
            near = did_you_mean(wrong, self.allowed)
            return None if good else f"{self.name} takes a list of different texts{of}; found {_said(value)}{near}"
        # `1 == True`, so the type is compared too.
        if any(type(value) is type(item) and value == item for item in self.allowed):
            return None
        near = did_you_mean(str(value), map(str, self.allowed))
        return f"{self.name} takes {' or '.join(map(_said, self.allowed))}; found {_said(value)}{near}"


class KnobRow(NamedTuple):
    """The value of one knob in one profile during one span of dates of service."""

    knob: str
    start: date
    end: date | None
    value: Any
    sources: tuple[str, ...]
    place: str = ""


class Profile(NamedTuple):
    """A payer's reading of the rules: its own rows, and for all else those of the profile it is based on."""

    name: str
    who: str
    based_on: str | None
    rows: tuple[KnobRow, ...]
    place: str = ""


class Origin(NamedTuple):
    """Which row decided a knob: its profile, its first day and what it cites."""

    profile: str
    start: date
    sources: tuple[str, ...]


class Reason(NamedTuple):
    """Why a line is held or a person is asked; the order of the reasons is the order in which one shows."""

    reason: str
    holds: bool
    flags: bool
    meaning: str
    owner: str
    way_out: str


class _Era(NamedTuple):
    knobs: Mapping[str, Any]
    origins: Mapping[str, Origin]


class Policy:
    """The knobs of every payer profile, proved to have exactly one value each on every day."""

    __slots__ = ("_default", "_eras", "_knobs", "_profiles")

    def __init__(self, knobs: Iterable[Knob], profiles: Iterable[Profile], default: str, place: str = "payers") -> None:
        """Resolve every profile; raise TableError, with its place, for a gap, an overlap or a wrong value."""
        self._knobs = {knob.name: knob for knob in knobs}
        self._profiles = {profile.name: profile for profile in profiles}
        if default not in self._profiles:
            near = did_you_mean(default, self._profiles)
            raise TableError(f"{place}: the default profile '{default}' is not declared; name another{near}")
        self._default = default
        proved(self._knobs, self._profiles)
        self._eras = {name: _eras(self._knobs, lineage(self._profiles, name)) for name in self._profiles}

    def knobs(self, payer: str | None, day: date) -> Mapping[str, Any]:
        """Return every knob of a payer's profile on a date of service; those of the default profile where the
        payer has none (`known` tells)."""
        starts, eras = self._eras.get(payer or "") or self._eras[self._default]
        # From 1: a day before the first era is answered like its first day.
        return eras[bisect_right(starts, day, 1) - 1].knobs

    def known(self, payer: str | None) -> bool:
        """Return whether the payer has a profile."""
        return payer in self._eras

    def origin(self, payer: str | None, day: date, knob: str) -> Origin:
        """Return which row gave `knobs(payer, day)[knob]`."""
        starts, eras = self._eras.get(payer or "") or self._eras[self._default]
        return eras[bisect_right(starts, day, 1) - 1].origins[knob]

    def overridden(self, values: Mapping[str, Any]) -> Policy:
        """Return a policy in which these knobs have these values for every payer on every day."""
        for name, value in values.items():
            problem = self.problem(name, value)
            if problem:
                raise TableError(f"policy: {problem}")
        if not values:
            return self
        given = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
        mine = {name: Origin(OVERRIDE, FIRST_DAY, ()) for name in given}
        over: Policy = Policy.__new__(Policy)
        over._knobs, over._profiles, over._default = self._knobs, self._profiles, self._default
        over._eras = {
            name: (
                starts,
                tuple(
                    _Era(MappingProxyType({**era.knobs, **given}), MappingProxyType({**era.origins, **mine}))
                    for era in eras
                ),
            )
            for name, (starts, eras) in self._eras.items()
        }
        return over

    def problem(self, name: str, value: Any) -> str | None:
        """Return what is wrong with a knob's name or value, None where it may be set."""
        knob = self._knobs.get(name)
        if knob is None:
            return f"no knob is called '{name}'; see `knobs` in payers.yaml{did_you_mean(name, self._knobs)}"
        return knob.problem(value)

    def starts(self, profile: Profile) -> tuple[date, ...]:
        """Return the days on which some knob of a profile changes, the first day of all included."""
        return self._eras[profile.name][0]

    @property
    def default(self) -> str:
        """The profile that answers for a payer without one."""
        return self._default

    @property
    def profiles(self) -> tuple[Profile, ...]:
        """Every profile, in the order of the files."""
        return tuple(self._profiles.values())

    @property
    def declared(self) -> Mapping[str, Knob]:
        """Every knob by its name."""
        return MappingProxyType(self._knobs)


def lineage(profiles: Mapping[str, Profile], name: str) -> tuple[Profile, ...]:
    """Return a profile and those it is based on, nearest first; raise TableError where none or a ring is."""
    found: list[Profile] = []
    profile = profiles[name]
    while True:
        if profile in found:
            raise TableError(f"{profile.place}: profile '{profile.name}' is based on itself; break the ring")
        found.append(profile)
        if profile.based_on is None:
            return tuple(found)
        if profile.based_on not in profiles:
            raise TableError(
                f"{profile.place}: profile '{profile.name}' is based on '{profile.based_on}',"
                f" which is not declared; declare it or name another{did_you_mean(profile.based_on, profiles)}"
            )
        profile = profiles[profile.based_on]


def proved(knobs: Mapping[str, Knob], profiles: Mapping[str, Profile]) -> None:
    """Raise TableError unless every knob has exactly one good value in every profile on every day."""
    for profile in profiles.values():
        lineage(profiles, profile.name)
        by_knob: dict[str, list[KnobRow]] = {}
        for row in profile.rows:
            if row.knob not in knobs:
                told = f"{row.place}: no knob is called '{row.knob}'; declare it under `knobs`"
                raise TableError(told + did_you_mean(row.knob, knobs))
            problem = knobs[row.knob].problem(row.value)
            if problem:
                raise TableError(f"{row.place}: {problem}")
            by_knob.setdefault(row.knob, []).append(row)
        for rows in by_knob.values():
            _prove_apart(sorted(rows, key=lambda row: row.start))
        if profile.based_on is None:
            for name, knob in knobs.items():
                _prove_covered(profile, knob, sorted(by_knob.get(name, ()), key=lambda row: row.start))


def _prove_apart(rows: Sequence[KnobRow]) -> None:
    for row in rows:
        if row.end is not None and row.end < row.start:
            raise TableError(f"{row.place}: {row.knob} ends on {row.end}, before it begins; swap the dates")
    for before, row in pairwise(rows):
        if before.end is None or row.start <= before.end:
            raise TableError(
                f"{row.place}: {row.knob} has two values from {row.start} on, the other at {before.place};"
                " end that one the day before"
            )


def _prove_covered(profile: Profile, knob: Knob, rows: Sequence[KnobRow]) -> None:
    day = FIRST_DAY
    for row in rows:
        if row.start > day:
            break
        if row.end is None:
            return
        day = max(day, row.end + timedelta(days=1))
    raise TableError(
        f"{profile.place}: profile '{profile.name}' gives {knob.name} no value on {day};"
        " add a row from that day"
    )


def _eras(knobs: Mapping[str, Knob], chain: Sequence[Profile]) -> tuple[tuple[date, ...], tuple[_Era, ...]]:
    starts = {FIRST_DAY}
    for profile in chain:
        for row in profile.rows:
            starts.add(max(row.start, FIRST_DAY))
            if row.end is not None:
                starts.add(max(row.end + timedelta(days=1), FIRST_DAY))
    days = tuple(sorted(starts))
    return days, tuple(_era(knobs, chain, day) for day in days)


def _era(knobs: Mapping[str, Knob], chain: Sequence[Profile], day: date) -> _Era:
    values: dict[str, Any] = {}
    origins: dict[str, Origin] = {}
    for profile in reversed(chain):
        for row in profile.rows:
            if row.start <= day and (row.end is None or day <= row.end):
                values[row.knob] = tuple(row.value) if isinstance(row.value, list) else row.value
                origins[row.knob] = Origin(profile.name, row.start, row.sources)
    # The proof has shown that the root answers every knob.
    assert values.keys() == knobs.keys()
    return _Era(MappingProxyType(values), MappingProxyType(origins))


def _said(value: Any) -> str:
    """Return a value as one writes it in a table: a text that looks like a number is quoted."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'"{value}"' if value[:1].isdigit() else value
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_said, value))}]"
    return str(value)
