"""Turns cells into ones that no spreadsheet takes for a formula; figures stay figures."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Any

# A text that begins so is computed by a spreadsheet that opens the file (ASVS 1.2.10).
_STARTS = ("=", "+", "-", "@", "\t", "\r")


def cells(row: Iterable[Any]) -> list[Any]:
    """Return the cells of a row: numbers and dates as they are, risky texts behind a quote, None empty."""
    return [_cell(cell) for cell in row]


def _cell(cell: Any) -> Any:
    if cell is None:
        return ""
    if isinstance(cell, int | float | date):
        return cell
    text = str(cell)
    return f"'{text}" if text.startswith(_STARTS) else text
