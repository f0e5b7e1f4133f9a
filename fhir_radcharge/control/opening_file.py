"""A CSV of charges that an earlier system has made into rows of an opening; every mistake is told with its line."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from fhir_radcharge.errors import TableError
from fhir_radcharge.wire.destination import Destination

COLUMNS = (
    "patient",
    "destination",
    "course",
    "bill",
    "code",
    "modifiers",
    "date",
    "end",
    "units",
    "place_of_service",
    "provider",
    "packaged",
    "unit",
    "account",
    "reference",
)
_NEEDED = ("patient", "destination", "course", "bill", "code", "date", "units", "reference")
_MISTAKES_MAX = 50
_CODE = re.compile(r"[A-Z0-9]{5}", re.A)
_MODIFIER = re.compile(r"[A-Z0-9]{2}", re.A)
_POS = re.compile(r"[0-9]{2}", re.A)
_UNITS_MAX = 999


def read_opening(path: Path, destinations: Mapping[str, Destination]) -> list[dict[str, Any]]:
    """Return the rows of an opening file; raise one TableError with a line for each mistake, and load nothing then."""
    rows: list[dict[str, Any]] = []
    mistakes: list[str] = []
    seen: dict[tuple[str, str], int] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            read = csv.reader(file, strict=True)
            if tuple(next(read, ())) != COLUMNS:
                raise TableError(f"{path.name}:1: the columns are {','.join(COLUMNS)}; see docs/opening.md")
            for cells in read:
                place = f"{path.name}:{read.line_num}"
                try:
                    row = _row(cells, destinations)
                    before = seen.setdefault((row["destination"], row["reference"]), read.line_num)
                    if before != read.line_num:
                        raise ValueError(f"reference: stands on line {before} too; give each charge its own")
                    rows.append(row)
                except ValueError as mistake:
                    mistakes.append(f"{place}: {mistake}")
    except (UnicodeDecodeError, csv.Error) as error:
        raise TableError(
            f"{path.name}:{len(rows) + 2}: is not CSV in UTF-8 ({type(error).__name__}); save it so"
        ) from None
    if mistakes:
        more = len(mistakes) - _MISTAKES_MAX
        raise TableError("\n".join(mistakes[:_MISTAKES_MAX] + ([f"and {more} more lines"] if more > 0 else [])))
    return rows


def _row(cells: Sequence[str], destinations: Mapping[str, Destination]) -> dict[str, Any]:
    if len(cells) != len(COLUMNS):
        raise ValueError(f"has {len(cells)} cells and needs {len(COLUMNS)}")
    told = {name: cell.strip() for name, cell in zip(COLUMNS, cells, strict=True)}
    for name in _NEEDED:
        if not told[name]:
            raise ValueError(f"{name}: is empty; fill it")
    destination = destinations.get(told["destination"])
    if destination is None:
        raise ValueError(f"destination: '{told['destination']}' is none of {', '.join(sorted(destinations))}")
    if told["bill"] not in destination.bills:
        raise ValueError(f"bill: {told['destination']} takes {', '.join(destination.bills)}, not '{told['bill']}'")
    day, end = _day("date", told["date"]), _day("end", told["end"]) if told["end"] else None
    if end is not None and end < day:
        raise ValueError("end: is before date; swap them")
    unit = _number("unit", told["unit"]) if told["unit"] else None
    return {
        "patient": told["patient"],
        "destination": told["destination"],
        "course": told["course"],
        "bill": told["bill"],
        "code": _like("code", told["code"], _CODE, "a code of five characters"),
        "modifiers": [
            _like("modifiers", one, _MODIFIER, "two characters each, with blanks between")
            for one in told["modifiers"].split()
        ],
        "day": day.isoformat(),
        "end": end.isoformat() if end else None,
        "units": _number("units", told["units"]),
        "place_of_service": _pos(told["place_of_service"]),
        "provider": told["provider"],
        "packaged": _truth(told["packaged"]),
        "slot": f"{told['code']}/{told['course']}/{unit}" if unit else "",
        "account": told["account"],
        "reference": told["reference"],
    }


def _day(name: str, text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{name}: is not a date YYYY-MM-DD") from None


def _number(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= _UNITS_MAX):
        raise ValueError(f"{name}: is not a whole number from 1 to {_UNITS_MAX}")
    return int(text)


def _like(name: str, text: str, form: re.Pattern[str], words: str) -> str:
    if form.fullmatch(text) is None:
        raise ValueError(f"{name}: is not {words}")
    return text


def _pos(text: str) -> str:
    return _like("place_of_service", text, _POS, "two digits") if text else ""


def _truth(text: str) -> bool:
    if text not in ("", "yes", "no"):
        raise ValueError("packaged: is yes, no or empty")
    return text == "yes"
