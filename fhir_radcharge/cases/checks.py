"""Turns the texts of a case's bills into expected lines, and says what is wrong with each text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple

from fhir_radcharge.cases.lines import Line, parsed
from fhir_radcharge.rules.catalogue import Catalogue
from fhir_radcharge.rules.policy import Reason
from fhir_radcharge.tables.strict_yaml import line_of


class Expected(NamedTuple):
    """What one bill must carry after a step: its lines, sent and held, and the work items to be open."""

    lines: tuple[Line, ...]
    flags: tuple[str, ...]


class Emitted(NamedTuple):
    """One credit or charge that a step must newly send."""

    verb: Literal["CREDIT", "CHARGE"]
    line: Line


Problems = list[tuple[int, str]]


class LineCheck:
    """Checks lines against the catalogue and the reasons; `families` are those that the case speaks about."""

    def __init__(self, catalogue: Catalogue, reasons: Sequence[Reason]) -> None:
        self.catalogue = catalogue
        self.reasons = {reason.reason: reason for reason in reasons}
        self.families: frozenset[str] | None = None

    def expected(self, bill: str, texts: Sequence[Any]) -> tuple[Expected, Problems]:
        """Return what the texts of a bill say, and each mistake with its line."""
        lines: list[Line] = []
        flags: list[str] = []
        problems: Problems = []
        for text in texts:
            if text.startswith("FLAG "):
                told = list(self._flag(text[5:], flags))
                flags.append(text[5:])
            else:
                told = list(self._lines(bill, text, lines))
            problems += [(line_of(text), f"'{text}' {problem}") for problem in told]
        return Expected(tuple(lines), tuple(flags)), problems

    def emitted(self, bill: str, texts: Sequence[Any]) -> tuple[tuple[Emitted, ...], Problems]:
        """Return what the texts of a bill newly send, and each mistake with its line."""
        emitted: list[Emitted] = []
        problems: Problems = []
        for text in texts:
            verb, _, rest = text.partition(" ")
            lines = [one.line for one in emitted if one.verb == verb]
            before = len(lines)
            if verb not in ("CREDIT", "CHARGE"):
                told = ["is neither CREDIT nor CHARGE; write CREDIT LINE or CHARGE LINE"]
            else:
                told = list(self._lines(bill, rest, lines))
                emitted += [Emitted(verb, line) for line in lines[before:]]
                if any(line.hold for line in lines[before:]):
                    told.append("is held, and a held line is not sent; leave HOLD out")
            problems += [(line_of(text), f"'{text}' {problem}") for problem in told]
        return tuple(emitted), problems

    def _flag(self, reason: str, flags: Sequence[str]) -> Iterator[str]:
        if reason not in self.reasons:
            yield "has a reason that is not known; see reasons.yaml"
        elif reason in flags:
            yield "stands twice; keep one"

    def _lines(self, bill: str, text: str, lines: list[Line]) -> Iterator[str]:
        """Add the lines of a text, and yield what is wrong with them."""
        try:
            found = parsed(text)
        except ValueError as problem:
            yield str(problem)
            return
        yield from self._code(bill, found[0])
        for line in found:
            bare = line._replace(units=1)
            if any(other._replace(units=1) == bare for other in lines):
                yield f"states the line on {line.day} twice; write its units together"
            lines.append(line)
            yield from self._on_its_day(line)

    def _code(self, bill: str, line: Line) -> Iterator[str]:
        family = self.catalogue.family(line.code)
        if family is None:
            yield f"has {line.code}, which is not in the code catalogue; correct it"
        elif self.families is not None and family not in self.families:
            yield f"is of family {family}, which the case does not compare; add it to compare"
        if line.hold and line.hold not in self.reasons:
            yield f"has the reason {line.hold}, which is not known; see reasons.yaml"
        elif line.hold and not self.reasons[line.hold].holds:
            yield f"is held for {line.hold}, which only flags; write FLAG {line.hold}"
        if line.packaged and bill != "hospital":
            yield "is packaged outside the hospital bill; leave packaged out"
        if bill == "hospital" and {"26", "TC"} & set(line.modifiers):
            yield "has 26 or TC on a hospital bill, which takes neither; leave it out"
        if bill == "physician" and "TC" in line.modifiers:
            yield "has TC on a physician bill, which takes none; leave it out"

    def _on_its_day(self, line: Line) -> Iterator[str]:
        if not self.catalogue.known(line.code):
            return
        row = self.catalogue.row(line.code, line.day)
        if row is None:
            if not line.hold:
                yield f"has {line.code}, which has no row on {line.day}; correct the code or the date"
        elif "26" in line.modifiers and not row.modifier_26:
            yield f"has 26, which {line.code} does not take on {line.day}; leave it out"
        elif "TC" in line.modifiers and row.component != "split":
            yield f"has TC, which {line.code} does not take on {line.day}; leave it out"
