"""Turns `mappings/chargemaster/*.csv` into the charge master, row by row, each with its file and line in errors."""

from __future__ import annotations

import csv
import io
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path

from fhir_radcharge.chargemaster import ChargeMaster, Key, Row, overlap
from fhir_radcharge.errors import TableError, did_you_mean

_COLUMNS = [
    "destination",
    "code",
    "modifiers",
    "from",
    "to",
    "charge_code",
    "department",
    "revenue_code",
    "price",
]


def load_chargemaster(mappings: Path, destinations: frozenset[str]) -> ChargeMaster:
    """Return the charge master of a mappings folder; raise TableError with `file:line` for each wrong row."""
    rows: dict[Key, list[Row]] = {}
    problems: list[str] = []
    for path in sorted((mappings / "chargemaster").glob("*.csv")):
        name = f"{mappings.name}/chargemaster/{path.name}"
        read = csv.reader(io.StringIO(path.read_text(encoding="utf-8-sig")), strict=True)
        if next(read, []) != _COLUMNS:
            problems.append(f"{name}:1: the columns are {','.join(_COLUMNS)}")
            continue
        for cells in read:
            try:
                key, row = _charge_row(cells, destinations)
                if any(overlap(row.first, row.last, one.first, one.last) for one in rows.get(key, [])):
                    raise ValueError("another row answers for this code on these dates; end one first")
                rows.setdefault(key, []).append(row)
            except ValueError as error:
                problems.append(f"{name}:{read.line_num}: {error}")
    if problems:
        raise TableError("\n".join(problems))
    return ChargeMaster(rows)


def _charge_row(cells: list[str], destinations: frozenset[str]) -> tuple[Key, Row]:
    if len(cells) != len(_COLUMNS):
        raise ValueError(f"has {len(cells)} cells and needs {len(_COLUMNS)}")
    destination, code, modifiers, first, last, charge_code, department, revenue_code, price = cells
    if destinations and destination not in destinations:
        raise ValueError(f"there is no destination '{destination}'{did_you_mean(destination, destinations)}")
    if not code or not charge_code:
        raise ValueError("code and charge_code must be filled")
    try:
        amount = Decimal(price) if price else None
    except InvalidOperation as error:
        raise ValueError(f"the price '{price}' is not an amount") from error
    if amount is not None and (not amount.is_finite() or amount < 0):
        raise ValueError(f"the price '{price}' is not an amount")
    row = Row(
        _day("from", first),
        _day("to", last) if last else None,
        charge_code,
        department,
        revenue_code,
        amount,
    )
    return (destination, code, modifiers), row


def _day(column: str, text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{column} is '{text}'; write a date as 2026-01-31") from None
