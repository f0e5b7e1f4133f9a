"""The words of a sender profile, turned into facts by place and into what an activity code states."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from fhir_radcharge.errors import did_you_mean
from fhir_radcharge.profiles.sender import StatesRow
from fhir_radcharge.wire.charset import CHARSETS, is_known
from fhir_radcharge.wire.facts import COUNTS, FLAGS, VOCABULARY
from fhir_radcharge.wire.paths import captured, keyed
from fhir_radcharge.wire.sender import Fact, FactSources, States


def sources(facts: Iterable[tuple[tuple[str, ...], Fact]], allowed: frozenset[str]) -> FactSources:
    """Return the facts that one kind of event may have, by the place where they stand."""
    by_key: dict[str, Fact] = {}
    by_observation: dict[str, Fact] = {}
    by_capture: dict[str, Fact] = {}
    elsewhere: list[Fact] = []
    for paths, fact in facts:
        if fact.name not in allowed:
            continue
        for path in paths:
            key, capture = keyed(path), captured(path)
            if capture is not None:
                by_capture[capture] = fact
            elif key is not None:
                (by_observation if key[0] == "OBX" else by_key)[key[1]] = fact
            elif fact not in elsewhere:
                elsewhere.append(fact)
    some = bool(by_key or by_observation or by_capture or elsewhere)
    return FactSources(some, by_key, by_observation, by_capture, tuple(elsewhere))


def states(row: StatesRow) -> States:
    """Return what an activity states on some dates; raise ValueError unless it is exactly one thing."""
    if row.complexity is not None and row.level is None:
        return States(row.from_, row.to, "complexity", row.complexity)
    if row.level is not None and row.complexity is None:
        return States(row.from_, row.to, "level", row.level)
    raise ValueError("a row of `states` has either `complexity` or `level`")


def check_states(rows: Sequence[States]) -> None:
    """Raise ValueError unless at most one row speaks on each day."""
    for number, row in enumerate(rows):
        if row.last is not None and row.last < row.first:
            raise ValueError(f"the row of `states` from {row.first} ends before it begins; swap the dates")
        for other in rows[:number]:
            first, last = (row, other) if row.first < other.first else (other, row)
            if first.last is None or last.first <= first.last:
                raise ValueError(f"two rows of `states` speak on {last.first}; end the one from {first.first} before")


def check_charset(name: str) -> None:
    """Raise ValueError for a character set in which nothing can be read."""
    if not is_known(name):
        near = did_you_mean(name.upper(), CHARSETS)
        raise ValueError(f"charset '{name}' is none that is read here{near or '; write one such as UTF-8 or 8859/1'}")


def check_values(name: str, values: Iterable[Any]) -> None:
    """Raise ValueError for a value that the fact cannot have."""
    for value in values:
        if name in FLAGS and not isinstance(value, bool):
            raise ValueError(f"{name} is true or false, not '{value}'")
        if name in COUNTS and (isinstance(value, bool) or not isinstance(value, int)):
            raise ValueError(f"{name} is a whole number, not '{value}'")
        if name in VOCABULARY and value not in VOCABULARY[name]:
            raise ValueError(f"{name} is one of {', '.join(VOCABULARY[name])}, not '{value}'")
