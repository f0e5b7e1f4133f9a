"""Turns the rule tables into ChargeItemDefinition resources: what each code is charged for, in words, with its sources.

One resource for each code and each span of dates of service in which the same rows give it. The conditions are
words for people; they are no expressions, and nothing is computed from them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import Any, NamedTuple, Protocol

from fhir_radcharge.rules.catalogue import CodeRow
from fhir_radcharge.rules.rulebook import LAST_DAY, CountRule, Exclusion, Rulebook
from fhir_radcharge.rules.tables import Row, Table
from fhir_radcharge.wire.fhir.own_extensions import BASE as OWN

BASE = "https://fhir-radcharge.example/ChargeItemDefinition/"
# R4 has no relatedArtifact here, R5 one for each condition, and a row may cite several.
SOURCE = OWN + "rule-source"
SYSTEMS = {"CPT": "http://www.ama-assn.org/go/cpt"}
HCPCS = "http://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets"
_DAY = timedelta(days=1)


class Cited(Protocol):
    """What a source key stands for."""

    @property
    def title(self) -> str:
        """Return its title."""

    @property
    def address(self) -> str | None:
        """Return its public address, None where it has none."""


class _Giving(NamedTuple):
    """One row that gives a code, in words, within its dates."""

    start: date
    end: date
    words: str
    sources: tuple[str, ...]


def charge_item_definitions(
    rulebook: Rulebook, sources: Mapping[str, Cited]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield a resource with its id for each code and span; a code that no row gives passes as it was reported."""
    giving = _giving(rulebook)
    for code in rulebook.catalogue:
        rows = [one for one in giving.get(code.code, ()) if one.start <= code.valid_to and one.end >= code.valid_from]
        for start, end in _spans(code, rows):
            mine = [one for one in rows if one.start <= start and one.end >= end]
            if code.computed and not mine:
                continue  # valid, and in no table on these dates: nothing is charged
            name = f"{code.code}-{start.isoformat()}"
            yield name, _resource(name, code, start, end, mine, rulebook, sources)


def _giving(rulebook: Rulebook) -> Mapping[str, Sequence[_Giving]]:
    found: dict[str, list[_Giving]] = {}
    for table in rulebook.tables.values():
        for row in table.rows:
            code = row.text("code")
            if code is not None:
                start, end = max(row.start, table.start), min(row.end, table.end)
                found.setdefault(code, []).append(_Giving(start, end, _row_words(table, row), row.sources))
    for rule in rulebook.counting:
        found.setdefault(rule.code, []).append(_Giving(rule.start, rule.end, _count_words(rule), rule.sources))
    return found


def _spans(code: CodeRow, rows: Sequence[_Giving]) -> Iterator[tuple[date, date]]:
    """Yield the spans of a code's validity between the dates on which a row begins or ends."""
    starts = {code.valid_from}
    starts |= {one.start for one in rows if one.start > code.valid_from}
    starts |= {one.end + _DAY for one in rows if one.end < code.valid_to}
    ordered = sorted(starts)
    for start, following in zip(ordered, [*ordered[1:], None], strict=True):
        yield start, code.valid_to if following is None else following - _DAY


def _resource(
    name: str, code: CodeRow, start: date, end: date, rows: Sequence[_Giving], rulebook: Rulebook,
    sources: Mapping[str, Cited],
) -> dict[str, Any]:  # fmt: skip
    conditions = [(one.words, one.sources) for one in rows]
    if not rows:
        conditions.append(("charged where it is reported: no row computes it from facts", code.sources))
    conditions += [(_exclusion_words(one), one.sources) for one in rulebook.exclusions
                   if code.code in one.excludes and _meets(one, start, end)]  # fmt: skip
    return {
        "resourceType": "ChargeItemDefinition",
        "id": name,
        "url": BASE + name,
        "version": rulebook.digest[:16],
        "title": f"{code.code}: {code.label}",
        "status": "active",
        "description": _description(code),
        "effectivePeriod": _period(start, end),
        "code": {"coding": [{"system": SYSTEMS.get(code.system, HCPCS), "code": code.code}], "text": code.label},
        "applicability": [
            {"extension": [_artifact(key, sources.get(key)) for key in cited], "description": words}
            for words, cited in conditions
        ],
    }


def _row_words(table: Table, row: Row) -> str:
    asked = [
        f"{ask.name.removeprefix('knob.')} is {_either(want)}"
        for ask, want in zip(table.asks, row.asks, strict=True)
        if want is not None
    ]
    held = row.text("hold")
    told = f"table {table.name}, row {row.id}: " + ("; ".join(asked) or "in every other case")
    first = ", where no row above it answers" if table.first_match else ""
    return told + first + (f"; held: {held}" if held else "")


def _count_words(rule: CountRule) -> str:
    said = {
        "counted": rule.counts, "way": rule.way, "size": rule.size, "remainder from": rule.remainder_min,
        "sessions from": rule.total_min, "sessions up to": rule.total_max, "whole below": rule.whole_under,
        "dated": rule.dated, "units": rule.units, "if stopped": rule.stopped, "needs": rule.needs,
    }  # fmt: skip
    return f"count {rule.id}: " + "; ".join(f"{name} {value}" for name, value in said.items() if value)


def _exclusion_words(one: Exclusion) -> str:
    return f"exclusion {one.id}: not charged where {_either(one.has)} is due (same {one.scope.replace('_', ' ')})"


def _either(words: frozenset[str]) -> str:
    return " or ".join(sorted(words))


def _meets(one: Exclusion, start: date, end: date) -> bool:
    return one.start <= end and one.end >= start


def _description(code: CodeRow) -> str:
    return (
        f"{code.label}; {code.component}, {code.basis}. Freestanding claim: {code.freestanding.replace('_', ' ')};"
        f" hospital claim: {code.hospital.replace('_', ' ')}; physician claim: {code.physician.replace('_', ' ')}."
    )


def _period(start: date, end: date) -> dict[str, str]:
    period = {}
    if start > date.min:
        period["start"] = start.isoformat()
    if end < date.max and end < LAST_DAY:
        period["end"] = end.isoformat()
    return period


def _artifact(key: str, source: Cited | None) -> dict[str, Any]:
    told = {"type": "citation", "label": key, "display": source.title if source is not None else key}
    if source is not None and source.address and source.address.startswith(("https://", "http://")):
        # An address may go on in words, or name a second page; an address of FHIR has no space.
        told["url"] = source.address.split()[0]
        if told["url"] != source.address:
            told["citation"] = source.address
    return {"url": SOURCE, "valueRelatedArtifact": told}
