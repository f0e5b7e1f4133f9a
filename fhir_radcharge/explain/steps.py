"""The stored trace of a line into its steps: the row that answered, what it was asked, its sources and its knobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from fhir_radcharge.rules.rulebook import LAST_DAY, CountRule, Rulebook
from fhir_radcharge.rules.tables import KNOB

Row = dict[str, Any]
_COUNTING = "counting"


def because(why: Sequence[Mapping[str, Any]], payer: str | None, day: date, rulebook: Rulebook) -> list[Row]:
    """Return each step of a decision, its row looked up in the tables that are loaded (`place` empty: not there)."""
    rulebook = rulebook.on(day)
    return [_step(step["table"], step["row"], step["asked"], payer, day, rulebook) for step in why]


def _step(
    table: str, name: str, asked: Sequence[Sequence[str]], payer: str | None, day: date, rulebook: Rulebook
) -> Row:
    told: Row = {
        "table": table,
        "row": name,
        "asked": [list(pair) for pair in asked],
        "sources": [],
        "place": "",
        "from": None,
        "to": None,
    }
    knobs = [ask[len(KNOB) :] for ask, _ in asked if ask.startswith(KNOB)]
    if table == _COUNTING:
        rule = next((rule for rule in rulebook.counting if rule.id == name), None)
        if rule is not None:
            told |= _of_row(rule.sources, rule.place, rule.start, rule.end)
            knobs += _knobs_of(rule)
    else:
        rows = rulebook.tables[table].rows if table in rulebook.tables else ()
        row = next((row for row in rows if row.id == name), None)
        if row is not None:
            told |= _of_row(row.sources, row.place, row.start, row.end)
    told["knobs"] = [
        _knob(knob, payer, day, rulebook) for knob in dict.fromkeys(knobs) if knob in rulebook.policy.declared
    ]
    return told


def _of_row(sources: Sequence[str], place: str, start: date, end: date) -> Row:
    return {
        "sources": list(sources),
        "place": place,
        "from": start.isoformat(),
        "to": None if end == LAST_DAY else end.isoformat(),
    }


def _knobs_of(rule: CountRule) -> list[str]:
    return [cell[len(KNOB) :] for cell in rule if isinstance(cell, str) and cell.startswith(KNOB)]


def _knob(name: str, payer: str | None, day: date, rulebook: Rulebook) -> Row:
    value = rulebook.policy.knobs(payer, day)[name]
    origin = rulebook.policy.origin(payer, day, name)
    word = ("true" if value else "false") if isinstance(value, bool) else value
    return {
        "knob": name,
        "value": list(word) if isinstance(word, tuple) else str(word),
        "profile": origin.profile,
        "from": origin.start.isoformat(),
        "sources": list(origin.sources),
    }
