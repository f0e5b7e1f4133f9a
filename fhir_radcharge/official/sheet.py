"""The first sheet of an .xlsx workbook into records of text.

The only place in this package that reads XML: no document type, hence no entities and nothing fetched; no
formulas, styles or dates; every size bounded.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, Any
from xml.parsers import expat

from ..errors import TableError
from .archive import BLOCK_BYTES, workbook_parts

TEXT_CHARS_MAX = 1 << 26
CELL_CHARS_MAX = 1 << 15
COLUMNS_MAX = 64
_STRINGS = "xl/sharedStrings.xml"
_SHEET = "xl/worksheets/sheet1.xml"


def sheet_records(stream: IO[bytes], size: int, file: str) -> Iterator[tuple[int, list[str]]]:
    """Yield row numbers and cells of the first sheet; TableError where it is not a plain workbook."""
    parts = workbook_parts(stream, file, size, (_STRINGS, _SHEET))
    if _SHEET not in parts:
        raise TableError(f"{file}:0: no first worksheet in it; take the CSV file instead")
    strings = _Strings(file)
    for _ in _parsed(parts.get(_STRINGS, b"<sst/>"), strings, file):
        pass
    sheet = _Sheet(file, strings.texts)
    for _ in _parsed(parts[_SHEET], sheet, file):
        yield from sheet.taken()


class _Strings:
    """Collects the shared strings; their phonetic guides are not part of the text."""

    def __init__(self, file: str) -> None:
        self.texts: list[str] = []
        self._file = file
        self._parts: list[str] = []
        self._chars = 0
        self._inside = self._phonetic = False

    def start(self, name: str, attributes: dict[str, str]) -> None:
        """Begin an element."""
        if name == "si":
            self._parts = []
        elif name == "rPh":
            self._phonetic = True
        self._inside = name == "t" and not self._phonetic

    def end(self, name: str) -> None:
        """End an element; a string is complete with its own."""
        self._inside = False
        if name == "rPh":
            self._phonetic = False
        elif name == "si":
            self.texts.append("".join(self._parts))

    def text(self, text: str) -> None:
        """Take a piece of text, where text is looked for."""
        if self._inside:
            self._chars += len(text) + 8
            if self._chars > TEXT_CHARS_MAX:
                raise TableError(f"{self._file}:0: too much text for a fee schedule; take the CSV file")
            self._parts.append(text)


class _Sheet:
    """Collects rows as they end; a cell that is not there is an empty text."""

    def __init__(self, file: str, strings: list[str]) -> None:
        self._file = file
        self._strings = strings
        self._rows: list[tuple[int, list[str]]] = []
        self._cells: list[str] = []
        self._row = self._chars = 0
        self._column = -1
        self._type = ""
        self._parts: list[str] = []
        self._inside = False

    def taken(self) -> list[tuple[int, list[str]]]:
        """Return the rows completed since the last time."""
        rows, self._rows = self._rows, []
        return rows

    def start(self, name: str, attributes: dict[str, str]) -> None:
        """Begin an element."""
        self._inside = name in ("v", "t")
        if name == "row":
            number = attributes.get("r", "")
            plain = number.isascii() and number.isdigit() and len(number) < 8
            self._row = int(number) if plain else self._row + 1
            self._cells, self._column = [], -1
        elif name == "c":
            self._column = _column(attributes.get("r", ""), self._column + 1)
            self._type, self._parts, self._chars = attributes.get("t", "n"), [], 0

    def end(self, name: str) -> None:
        """End an element; a row is complete with its own."""
        self._inside = False
        if name == "c" and self._column < COLUMNS_MAX:
            self._cells.extend([""] * (self._column + 1 - len(self._cells)))
            self._cells[self._column] = self._value()
        elif name == "row":
            # Empty cells at the end of a row are not written, so that every row is filled up.
            self._rows.append((self._row, self._cells + [""] * (COLUMNS_MAX - len(self._cells))))

    def text(self, text: str) -> None:
        """Take a piece of text, where text is looked for."""
        if self._inside:
            self._chars += len(text)
            if self._chars > CELL_CHARS_MAX:
                raise TableError(f"{self._file}:{self._row}: a cell of more than {CELL_CHARS_MAX} characters;"
                                 " take the CSV file instead")
            self._parts.append(text)

    def _value(self) -> str:
        text = "".join(self._parts)
        if self._type != "s":
            return text
        if not text.isascii() or not text.isdigit() or len(text) > 8 or int(text) >= len(self._strings):
            raise TableError(f"{self._file}:{self._row}: a cell names a text that is not there; take the CSV")
        return self._strings[int(text)]


def _column(reference: str, following: int) -> int:
    number = 0
    for letter in reference[:3]:
        if not "A" <= letter <= "Z":
            break
        number = number * 26 + ord(letter) - 64
    return number - 1 if number else following


def _parsed(content: bytes, taker: Any, file: str) -> Iterator[None]:
    """Feed a part to a taker block by block, and pause after each."""
    parser = expat.ParserCreate()

    def refuse(*_: Any) -> None:
        raise TableError(f"{file}:0: a document type in the workbook; take the CSV file instead")

    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    parser.StartElementHandler = lambda name, attributes: taker.start(name.rpartition(":")[2], attributes)
    parser.EndElementHandler = lambda name: taker.end(name.rpartition(":")[2])
    parser.CharacterDataHandler = taker.text
    try:
        for at in range(0, len(content), BLOCK_BYTES):
            parser.Parse(content[at:at + BLOCK_BYTES], False)
            yield
        parser.Parse(b"", True)
        yield
    except (expat.ExpatError, ValueError, LookupError) as error:
        # The last two are expat's words for an encoding that it does not have.
        raise TableError(f"{file}:0: not well-formed XML; download it again ({error})") from None
