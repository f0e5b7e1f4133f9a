"""Turns the charge lines of a case (`77387-26 x2 @ 2026-02-01 pos 22`) into values, and values into lines."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date
from typing import NamedTuple

_DAYS = r"\d{4}-\d\d-\d\d(?:\.\.\d{4}-\d\d-\d\d)?"
_LINE = re.compile(
    r"(?:HOLD (?P<hold>[a-z0-9_]+) )?(?P<code>[0-9A-Z]\d{3}[0-9A-Z])(?P<modifiers>(?:-[0-9A-Z]{2}){0,4})"
    rf"(?: x(?P<units>[1-9]\d*))? @ (?P<days>{_DAYS}(?:, {_DAYS})*)"
    r"(?P<packaged> packaged)?(?: pos (?P<pos>\d\d))?(?: by (?P<by>\w+))?"
)
GRAMMAR = "[HOLD REASON] CODE[-MOD] [xUNITS] @ DATE[, DATE] [packaged] [pos NN] [by ID]"


class Line(NamedTuple):
    """One charge line on one date or span; `pos` and `by` are None where the case does not state them."""

    code: str
    modifiers: tuple[str, ...]
    day: date
    end: date | None = None
    units: int = 1
    packaged: bool = False
    hold: str | None = None
    pos: str | None = None
    by: str | None = None


def parsed(text: str) -> tuple[Line, ...]:
    """Return the lines that a text states, one for each of its dates; raise ValueError with the way out."""
    match = _LINE.fullmatch(text)
    if not match:
        raise ValueError(f"is not a charge line; write {GRAMMAR}")
    spans = [span.split("..") for span in match["days"].split(", ")]
    days = [tuple(_day(day) for day in span) for span in spans]
    if days != sorted(set(days)):
        raise ValueError("has its dates out of order or twice; write each once, the earliest first")
    if any(span[-1] < span[0] for span in days):
        raise ValueError("has a span that ends before it begins; swap the dates")
    return tuple(
        Line(
            code=match["code"],
            modifiers=tuple(match["modifiers"].split("-")[1:]),
            day=span[0],
            end=span[1] if len(span) == 2 else None,
            units=int(match["units"] or 1),
            packaged=bool(match["packaged"]),
            hold=match["hold"],
            pos=match["pos"],
            by=match["by"],
        )
        for span in days
    )


def written(lines: Iterable[Line]) -> tuple[str, ...]:
    """Return lines as a case writes them: those alike but for the date in one text, the earliest first."""
    alike: dict[Line, list[Line]] = {}
    for line in sorted(lines, key=lambda line: (line.day, line.end or line.day)):
        alike.setdefault(line._replace(day=date.min, end=None), []).append(line)
    return tuple(_text(given) for given in alike.values())


def _text(lines: list[Line]) -> str:
    line = lines[0]
    parts = [f"HOLD {line.hold}"] if line.hold else []
    parts.append("-".join((line.code, *line.modifiers)))
    if line.units != 1:
        parts.append(f"x{line.units}")
    parts += ["@", ", ".join(f"{one.day}..{one.end}" if one.end else str(one.day) for one in lines)]
    if line.packaged:
        parts.append("packaged")
    if line.pos:
        parts += ["pos", line.pos]
    if line.by:
        parts += ["by", line.by]
    return " ".join(parts)


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ValueError(f"has {text}, which is no date") from None
