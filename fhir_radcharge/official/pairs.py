"""A pair edit file (tab text) into rows: Medicare's seven columns, or Medicaid's six."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ..errors import TableError
from .rows import Codes, Days, Faults, PairRow

HEADING_LINES_MAX = 12
_INDICATORS = {b"0": 0, b"1": 1, b"9": 9}


class PairReader:
    """Reads one pair file block by block. `tombstones` counts rows with indicator 9, which are left out:
    they say that an edit never held."""

    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        self.tombstones = 0
        self._codes = Codes()
        self._days = Days()
        self._width = 0

    def rows(self, blocks: Iterable[tuple[int, list[bytes]]]) -> Iterator[list[PairRow]]:
        """Yield the rows in lists, in the order of the file; TableError where it is not a pair file."""
        in_body = False
        for start, lines in blocks:
            if not in_body:
                skipped = self._heading(start, lines)
                in_body = True
                start, lines = start + skipped, lines[skipped:]
            yield self._block(start, lines)
        if not in_body:
            raise self._wrong_heading()

    def _heading(self, start: int, lines: list[bytes]) -> int:
        """Find the column names in the first lines and return how many lines come before the first row."""
        named_at = -1
        for at, line in enumerate(lines[:HEADING_LINES_MAX]):
            cells = [cell.strip().strip(b'"').lower() for cell in line.split(b"\t")]
            if len(cells) > 4 and cells[0].startswith(b"column 1") and cells[1].startswith(b"column 2"):
                self._width = 7 if b"existence" in cells[2] else 6
                named_at = at
                break
        if named_at < 0:
            raise self._wrong_heading()
        # Column names run over several lines; none of these has a date.
        for skipped in range(named_at + 1, min(len(lines), named_at + HEADING_LINES_MAX)):
            if any(len(cell) == 8 and cell.isdigit() for cell in lines[skipped].split(b"\t")):
                return skipped
        return named_at + 1

    def _block(self, start: int, lines: list[bytes]) -> list[PairRow]:
        codes, days, indicators, width = self._codes, self._days, _INDICATORS, self._width
        effective_at = width - 4
        rows: list[PairRow] = []
        for number, line in enumerate(lines, start):
            cells = line.split(b"\t")
            try:
                first, second = codes[cells[0]], codes[cells[1]]
                effective, deleted = days[cells[effective_at]], days[cells[effective_at + 1]]
                indicator = indicators[cells[effective_at + 2]]
            except (ValueError, KeyError, IndexError) as error:
                if line.strip():
                    self.faults.add(number, self._problem(cells, error))
                continue
            if effective is None or len(cells) != width or first == second or (
                deleted is not None and deleted < effective
            ):
                self.faults.add(number, self._contradiction(cells, effective))
            elif indicator == 9:
                self.tombstones += 1
            else:
                rows.append(PairRow(first, second, effective, deleted, indicator, number))
        return rows

    def _problem(self, cells: list[bytes], error: Exception) -> str:
        if isinstance(error, ValueError):
            return str(error)
        if isinstance(error, KeyError):
            shown = cells[self._width - 2][:20].decode("latin-1")
            return f"indicator {shown!r} is not 0, 1 or 9"
        return f"{len(cells)} columns, not {self._width}; the line was cut short"

    def _contradiction(self, cells: list[bytes], effective: int | None) -> str:
        if effective is None:
            return "an edit without an effective date"
        if len(cells) != self._width:
            return f"{len(cells)} columns, not {self._width}"
        return "an edit of a code with itself" if cells[0] == cells[1] else "deleted before it took effect"

    def _wrong_heading(self) -> TableError:
        return TableError(
            f"{self.faults.file}:1: no line with 'Column 1' and 'Column 2' in the first {HEADING_LINES_MAX};"
            " take the tab-separated .txt file as published"
        )
