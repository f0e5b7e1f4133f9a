"""Turns what a bill must carry and what it does carry into the differences that a reader needs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from fhir_radcharge.cases.checks import Emitted, Expected
from fhir_radcharge.cases.lines import Line, written
from fhir_radcharge.model import Charge, Standing


def line_of(charge: Charge | Standing) -> Line:
    """Return a charge as a line of a case; a standing one is never held."""
    hold = charge.hold if isinstance(charge, Charge) else None
    return Line(
        charge.code, charge.modifiers, charge.day, charge.end, charge.units, charge.packaged, hold,
        charge.place_of_service, charge.provider,
    )


def differences(expected: Expected, actual: Iterable[Line], raised: frozenset[str]) -> Iterator[str]:
    """Yield what is missing from a bill and what it carries beyond, then the flags that were not raised."""
    yield from _told(expected.lines, tuple(actual), "expected but missing: ", "not expected: ")
    for flag in expected.flags:
        if flag not in raised:
            yield f"expected but missing: FLAG {flag}"


def differences_emitted(expected: Sequence[Emitted], actual: Sequence[Emitted]) -> Iterator[str]:
    """Yield what a step should have newly sent and did not, and what it sent beyond."""
    for verb in ("CREDIT", "CHARGE"):
        wanted = tuple(one.line for one in expected if one.verb == verb)
        given = tuple(one.line for one in actual if one.verb == verb)
        yield from _told(wanted, given, f"should be newly sent: {verb} ", f"should not be sent: {verb} ")


def _told(wanted: Sequence[Line], given: Sequence[Line], missing: str, beyond: str) -> Iterator[str]:
    lacking, left = unmatched(wanted, given)
    yield from (missing + text for text in written(lacking))
    yield from (beyond + text for text in written(left))


def unmatched(wanted: Sequence[Line], given: Sequence[Line]) -> tuple[tuple[Line, ...], tuple[Line, ...]]:
    """Return the wanted lines that were not given, and the given ones that were not wanted.

    Lines alike in all that the case states are one line with summed units. A place or provider counts only
    where the wanted line states it, so those that state most choose first.
    """
    pool = _summed(given)
    lacking: list[Line] = []
    for line in sorted(_summed(wanted), key=lambda line: -(bool(line.pos) + bool(line.by))):
        match = [one for one in pool if _answers(line, one)]
        if match and sum(one.units for one in match) == line.units:
            for one in match:
                pool.remove(one)
        else:
            lacking.append(line)
    return tuple(lacking), tuple(_as_stated(pool, wanted))


def _answers(wanted: Line, given: Line) -> bool:
    alike = wanted[:4] + wanted[5:7] == given[:4] + given[5:7]
    return alike and (wanted.pos is None or wanted.pos == given.pos) and wanted.by in (None, given.by)


def _summed(lines: Iterable[Line]) -> list[Line]:
    units: dict[Line, int] = {}
    for line in lines:
        key = line._replace(units=0)
        units[key] = units.get(key, 0) + line.units
    return [key._replace(units=total) for key, total in units.items()]


def _as_stated(left: Iterable[Line], wanted: Sequence[Line]) -> Iterator[Line]:
    """Yield what is left over with a place and a provider only where a wanted line of the code states one."""
    placed = {line.code for line in wanted if line.pos}
    signed = {line.code for line in wanted if line.by}
    yield from _summed(
        line._replace(
            pos=line.pos if line.code in placed else None, by=line.by if line.code in signed else None
        )
        for line in left
    )
