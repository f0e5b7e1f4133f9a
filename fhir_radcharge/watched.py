"""Turns a rulebook and a draft of it into one that tells whether an answer would have been other under the draft.

What is due is a function of the events and of what the tables answer. Where every answer that a computation was
given is the answer that the draft would have given to the same question, the computation under the draft takes
the same steps, and need not be done. Nothing is guessed: where a part other than a table differs, all is computed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

from fhir_radcharge.errors import RuleError
from fhir_radcharge.rules.rulebook import Rulebook
from fhir_radcharge.rules.tables import Answer, Table


@dataclass
class Ear:
    """Whether, since it was last reset, a question was asked that the draft answers otherwise.

    `aside` holds what had been heard before each computation that is under way and will be remembered.
    """

    differs: bool = False
    aside: dict[Any, bool] = field(default_factory=dict)

    def reset(self) -> None:
        """Forget what was heard."""
        self.differs = False
        self.aside.clear()

    @property
    def has_heard(self) -> bool:
        """Whether any question was answered otherwise, also in a computation that was never remembered."""
        return self.differs or any(self.aside.values())


@dataclass(frozen=True)
class _Watched(Table):
    """A table that puts each question to its draft too."""

    draft: Table | None = None
    ear: Ear = field(default_factory=Ear)
    same: dict[tuple[int, int], bool] = field(default_factory=dict, repr=False, compare=False)

    def answer(self, facts: Mapping[str, Any], knobs: Mapping[str, Any], day: date) -> Answer:
        """Return this table's answer; the ear is told where the draft's is another."""
        try:
            found = super().answer(facts, knobs, day)
            theirs = self.draft.answer(facts, knobs, day) if self.draft is not None else None
        except (RuleError, KeyError):
            self.ear.differs = True
            return super().answer(facts, knobs, day)
        if theirs is None:
            self.ear.differs = True
            return found
        # Both tables keep their answers for ever, so that the identities stay true.
        pair = (id(found), id(theirs))
        same = self.same.get(pair)
        if same is None:
            same = self.same[pair] = found.why == theirs.why and _plain(found.row) == _plain(theirs.row)
        if not same:
            self.ear.differs = True
        return found


class _Memory(dict[Any, Any]):
    """What a rulebook remembers, and of which of it the ear must be told again when it is remembered.

    What is remembered is first looked for and then set: in between the ear hears that computation alone. Each value
    is kept with whether the draft answers otherwise in it, so that a key is looked up once.
    """

    def __init__(self, ear: Ear) -> None:
        super().__init__()
        self._ear = ear

    def get(self, key: Any, default: Any = None) -> Any:
        """Return what is remembered; the ear hears what it would have heard."""
        kept = _kept(self, key)
        if kept is None:
            self._ear.aside[key] = self._ear.aside.get(key, False) or self._ear.differs
            self._ear.differs = False
            return default
        if kept[1]:
            self._ear.differs = True
        return kept[0]

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__(key, (value, self._ear.differs))
        self._ear.differs |= self._ear.aside.pop(key, False)

    def setdefault(self, key: Any, default: Any = None) -> Any:
        """Remember what was found just now, and return it."""
        self[key] = default
        return default


_kept = dict.get


def watched(rulebook: Rulebook, draft: Rulebook) -> tuple[Rulebook, Ear] | None:
    """Return the rulebook with an ear in each table that differs; None where more than tables differs."""
    if rulebook.earlier or draft.earlier:
        return None
    if _beside_tables(rulebook) != _beside_tables(draft):
        return None
    ear = Ear()
    tables: dict[str, Table] = {}
    for name, table in rulebook.tables.items():
        other = draft.tables.get(name)
        if other is not None and _content(table) == _content(other):
            tables[name] = table
            continue
        tables[name] = _Watched(
            table.name, table.asks, table.gives, table.rows, table.first_match, table.start, table.end,
            draft=other, ear=ear,
        )  # fmt: skip
    found = replace(rulebook, tables=tables)
    # What is remembered for a span of days must hold for the draft too, so the spans are those of both.
    object.__setattr__(found, "_eras", tuple(sorted({*rulebook._eras, *draft._eras})))
    object.__setattr__(found, "memo", _Memory(ear))
    return found, ear


def _beside_tables(rulebook: Rulebook) -> tuple[Any, ...]:
    policy = rulebook.policy
    profiles = [(p._replace(place="", rows=tuple(map(_plain, p.rows)))) for p in policy.profiles]
    return (
        list(map(_plain, rulebook.counting)), list(map(_plain, rulebook.exclusions)), rulebook.sites,
        list(map(_plain, policy.declared.values())), profiles, policy.default,
        list(map(_plain, rulebook.catalogue)), rulebook.reasons, rulebook.holidays,
    )  # fmt: skip


def _plain(row: Any) -> Any:
    """Return a row without the line of its file, which decides nothing."""
    return row._replace(place="")


def _content(table: Table) -> tuple[Any, ...]:
    return table.asks, table.gives, list(map(_plain, table.rows)), table.first_match, table.start, table.end
