"""Fee schedules into rows: the physician file (CSV or fixed width) and the outpatient Addendum B.

Descriptors belong to the AMA and are dropped here, on reading.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from ..errors import TableError
from .limits import HEADING_RECORDS_MAX, csv_records, folded
from .rows import Faults, FeeRow, amount, code_number

Records = Iterator[tuple[int, Sequence[str]]]
_MODIFIERS = frozenset({"", "26", "TC", "53"})
_OUTPATIENT = {"SI": "status", "STATUSINDICATOR": "status", "APC": "apc", "PAYMENTRATE": "rate"}


def physician_rows(lines: Iterable[str], faults: Faults) -> Iterator[FeeRow]:
    """Yield the rows of a PPRRVU CSV file; TableError where its heading is not where and what it was."""
    records = csv_records(lines, faults.file)
    columns, supervision_at = _physician_heading(records, faults.file)
    for line, cells in records:
        if not any(cell.strip() for cell in cells):
            continue
        try:
            if len(cells) != columns:
                raise ValueError(f"{len(cells)} columns, not {columns}")
            yield _physician_row(
                (cells[0], cells[1], cells[3], cells[13], cells[supervision_at], cells[11], cells[12]), line
            )
        except ValueError as error:
            faults.add(line, str(error))


def physician_fixed_rows(lines: Iterable[str], faults: Faults) -> Iterator[FeeRow]:
    """Yield the rows of a fixed-width PPRRVU text file."""
    found = 0
    for line, text in enumerate(lines, 1):
        if not text.strip() or text.startswith("HDR"):
            continue
        found += 1
        try:
            yield _fixed_row(text, line)
        except ValueError as error:
            faults.add(line, str(error))
    if not found:
        raise TableError(f"{faults.file}:1: no row in it; take the file as published")


def outpatient_rows(records: Records, faults: Faults) -> Iterator[FeeRow]:
    """Yield the rows of Addendum B from its records; TableError where no heading is found."""
    columns = _outpatient_heading(records, faults.file)
    for line, cells in records:
        if not any(cell.strip() for cell in cells):
            continue
        try:
            yield _outpatient_row(cells, columns, line)
        except ValueError as error:
            faults.add(line, str(error))


def _physician_heading(records: Iterator[tuple[int, list[str]]], file: str) -> tuple[int, int]:
    """Return the number of columns and where supervision stands: 2026 put a column before it."""
    for _, (line, cells) in zip(range(HEADING_RECORDS_MAX), records, strict=False):
        heading = [folded(cell) for cell in cells]
        if heading[:2] != ["HCPCS", "MOD"]:
            continue
        known = heading[3:4] == ["CODE"] and heading[11:15] == ["TOTAL", "TOTAL", "IND", "DAYS"]
        if len(heading) not in (31, 32) or not known or heading.count("PROCEDURES") != 1:
            raise TableError(f"{file}:{line}: the columns are not of a known PPRRVU file; report its heading")
        return len(heading), heading.index("PROCEDURES")
    raise TableError(f"{file}:1: no heading that begins with HCPCS, MOD; take the CSV file as published")


def _physician_row(cells: tuple[str, str, str, str, str, str, str], line: int) -> FeeRow:
    code, modifier, status, component, supervision, outside, inside = (cell.strip() for cell in cells)
    if modifier not in _MODIFIERS:
        raise ValueError(f"modifier {modifier[:20]!r} is none of 26, TC and 53")
    if len(status) != 1 or not (status.isascii() and status.isalpha() and status.isupper()):
        raise ValueError(f"status {status[:20]!r} is not one letter")
    if len(component) != 1 or not (component.isascii() and component.isdigit()):
        raise ValueError(f"PC/TC indicator {component[:20]!r} is not one digit")
    if len(supervision) > 2 or not supervision.isascii() or not (supervision or "0").isalnum():
        raise ValueError(f"supervision {supervision[:20]!r} is not a two-character level")
    totals = f"{amount(outside, 'total')}/{amount(inside, 'total')}"
    return FeeRow(code_number(code), modifier, status, component, supervision, "", totals, line)


# The conversion factor anchors the line: a file with 2026's additional column has it one further.
_FIXED = re.compile(
    r"[0-9A-Z]{5}(..).{50}([A-Z]).{44}([0-9])(?:XXX|YYY|ZZZ|MMM|0[0-9]0).{27,28}[0-9]{2}\.[0-9]{4} (..)"
)


def _fixed_row(text: str, line: int) -> FeeRow:
    found = _FIXED.match(text)
    if not found:
        raise ValueError("not a line of the fixed-width layout; it was cut short or is of another year")
    modifier, status, component, supervision = found.groups()
    totals = (text[89:96], text[96:102])
    return _physician_row((text[:5], modifier, status, component, supervision, *totals), line)


def _outpatient_heading(records: Records, file: str) -> dict[str, int]:
    for _, (_, cells) in zip(range(HEADING_RECORDS_MAX), records, strict=False):
        heading = [folded(cell) for cell in cells]
        if not heading or heading[0] not in ("HCPCS", "HCPCSCODE", "HCPCS/CPTCODE"):
            continue
        columns = {_OUTPATIENT[name]: at for at, name in enumerate(heading) if name in _OUTPATIENT}
        if {"status", "apc", "rate"} <= columns.keys():
            return columns
    raise TableError(
        f"{file}:1: no heading with HCPCS Code, SI, APC and Payment Rate in the first {HEADING_RECORDS_MAX}"
        " records; take Addendum B as published"
    )


def _outpatient_row(cells: Sequence[str], columns: dict[str, int], line: int) -> FeeRow:
    if len(cells) <= max(columns.values()):
        raise ValueError(f"{len(cells)} columns; the line was cut short")
    status, apc = cells[columns["status"]].strip(), cells[columns["apc"]].strip()
    if not 1 <= len(status) <= 2 or not status.isascii() or not status.isalnum() or not status[0].isupper():
        raise ValueError(f"status indicator {status[:20]!r} is not a letter and at most one more")
    if apc and (len(apc) > 5 or not apc.isascii() or not apc.isdigit()):
        raise ValueError(f"APC {apc[:20]!r} is not a number")
    rate = amount(cells[columns["rate"]], "payment rate")
    return FeeRow(code_number(cells[0].strip()), "", status, "", "", apc, rate, line)
