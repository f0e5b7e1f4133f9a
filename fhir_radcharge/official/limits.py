"""A unit limit file (CSV) into rows."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator

from ..errors import TableError
from .names import Kind
from .rows import Faults, LimitRow, code_number, whole

HEADING_RECORDS_MAX = 30
_SERVICE: dict[Kind, str] = {
    "mue_practitioner": "PRACTITIONER", "mue_hospital": "OUTPATIENTHOSPITAL", "mue_dme": "DMESUPPLIER",
}


def limit_rows(lines: Iterable[str], kind: Kind, faults: Faults) -> Iterator[LimitRow]:
    """Yield the unit limits of a file; TableError where it is not the table that its name says."""
    records = csv_records(lines, faults.file)
    _find_heading(records, kind, faults.file)
    for line, cells in records:
        if not any(cell.strip() for cell in cells):
            continue
        try:
            yield _row(cells, line)
        except ValueError as error:
            faults.add(line, str(error))


def csv_records(lines: Iterable[str], file: str) -> Iterator[tuple[int, list[str]]]:
    """Yield CSV records with the number of their last line; TableError where a quote is never closed."""
    reader = csv.reader(lines, strict=True)
    try:
        for cells in reader:
            yield reader.line_num, cells
    except csv.Error as error:
        raise TableError(f"{file}:{reader.line_num}: {error}; take the CSV file as published") from None


def folded(cell: str) -> str:
    """Return a heading without blanks and line breaks, in capitals, so that headings compare."""
    return "".join(cell.split()).upper()


def _find_heading(records: Iterator[tuple[int, list[str]]], kind: Kind, file: str) -> None:
    for _, (line, cells) in zip(range(HEADING_RECORDS_MAX), records, strict=False):
        heading = [folded(cell) for cell in cells]
        if len(heading) < 3 or not (heading[0].startswith("HCPCS") and "MUEVALUE" in heading[1]):
            continue
        if not heading[1].startswith(_SERVICE[kind]) or "INDICATOR" not in heading[2]:
            raise TableError(
                f"{file}:{line}: the heading is of another table than the name says; name it as published"
            )
        return
    raise TableError(
        f"{file}:1: no heading with HCPCS/CPT Code and MUE Values in the first {HEADING_RECORDS_MAX} records;"
        " take the CSV file as published"
    )


def _row(cells: list[str], line: int) -> LimitRow:
    if len(cells) < 3:
        raise ValueError(f"{len(cells)} columns, at least 3 expected; the line was cut short")
    indicator, _, words = cells[2].strip().partition(" ")
    if indicator not in ("1", "2", "3") or not words:
        raise ValueError(f"adjudication indicator {cells[2][:20]!r} is not 1, 2 or 3 and its words")
    return LimitRow(
        code_number(cells[0].strip()), whole(cells[1].strip(), "unit limit", 1_000_000), int(indicator), line
    )
