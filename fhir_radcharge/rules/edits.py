"""Turns drafts into lines: what the course lacks holds them, the imported tables edit them, alike ones are summed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from fhir_radcharge.model import Charge
from fhir_radcharge.rules.lines import Draft
from fhir_radcharge.rules.rulebook import Edits, Rulebook

EDIT_REASONS = frozenset({"mue_edit", "ptp_edit", "frequency", "code_not_effective"})
"""Reasons of an edit: a table that comes later flags a line that already stands and does not take it back."""

UNMAPPED = "unmapped"
"""The payer of an event whose plan was sent and stands in no row: its lines wait, because payers differ."""

_NO_BYPASS = frozenset({"22", "76", "77"})
"""Modifiers that let no pair edit through (NCCI-NOTES26)."""

_AUTHORIZED = frozenset({"delivery", "stereotactic"})
_KIND = {"facility": "hospital", "global": "practitioner", "professional": "practitioner"}

Release = tuple[tuple[str, ...], str | None, str | None]
"""The modifiers that a release adds, the one reason that it clears (None: the one shown), its course (None: any)."""

Releases = Mapping[tuple[str, date], Sequence[Release]]
"""What was released, by code and date."""


def missing_reason(charge: Charge, lacks: frozenset[str]) -> list[str]:
    """Return what the course lacks that holds this line, in the order in which one of several shows."""
    found = []
    if "diagnosis" in lacks:
        found.append("missing_diagnosis")
    if "rendering_npi" in lacks and charge.bill != "facility":
        found.append("missing_rendering_npi")
    if "ordering_npi" in lacks and charge.bill == "facility":
        found.append("missing_ordering_npi")
    if "authorization" in lacks and charge.family in _AUTHORIZED:
        found.append("missing_authorization")
    return found


def edited(
    drafts: Sequence[Draft],
    lacks: Mapping[str, frozenset[str]],
    releases: Releases,
    edits: Edits | None,
    rulebook: Rulebook,
    freed: Mapping[tuple[str, str], str],
) -> list[Charge]:
    """Return the lines in the order of service, each with the one reason that holds it now."""
    ordered = sorted(drafts, key=_order)
    charges = [draft.charge for draft in ordered]
    firm: set[int] = set()
    blocked = _edits(charges, lacks, edits, rulebook, firm)
    for number, draft in enumerate(ordered):
        charge = draft.charge
        if not (lacks or releases or blocked.get(number) or draft.payer == UNMAPPED):
            continue
        reasons = [charge.hold] if charge.hold else []
        if (charge.dated_by, charge.code) in freed:
            # The release that lets the session count is spent on that, not on what else the line lacks.
            reasons.insert(0, freed[charge.dated_by, charge.code])
        reasons += missing_reason(charge, lacks.get(charge.course, frozenset()))
        if draft.payer == UNMAPPED:
            reasons.append("payer_unknown")
        reasons += blocked.get(number, ())
        charges[number] = _held(charge, reasons, releases, number in firm)
    return charges


def _order(draft: Draft) -> tuple[Any, ...]:
    return draft.charge.day, draft.order, draft.charge.bill


def _held(charge: Charge, reasons: Sequence[str], releases: Releases, firm: bool) -> Charge:
    """Return the line with its first reason that no release has cleared, and the modifiers of its releases.

    A `firm` pair (indicator 0) is not released with a modifier.
    """
    left = list(dict.fromkeys(reasons))
    added: list[str] = []
    for modifiers, reason, course in releases.get((charge.code, charge.day), ()):
        if course not in (None, charge.course):
            continue
        cleared = left[0] if left and reason is None else reason
        if cleared == "ptp_edit" and modifiers and (firm or _NO_BYPASS.issuperset(modifiers)):
            continue
        if cleared in left:
            left.remove(cleared)
            added.extend(modifiers)
    hold = left[0] if left else None
    if hold == charge.hold and not added:
        return charge
    return charge._replace(hold=hold, modifiers=(*charge.modifiers, *added))


def _effective(code: str, day: date, rulebook: Rulebook) -> bool:
    """Return whether a code may stand on a day: it has a row, or stands in no table of ours at all."""
    key = ("effective", code, rulebook.era(day))
    found: bool | None = rulebook.memo.get(key)
    if found is None:
        catalogue = rulebook.catalogue
        found = not catalogue.known(code) or catalogue.row(code, day) is not None
        rulebook.memo[key] = found
    return found


def _edits(
    charges: Sequence[Charge],
    lacks: Mapping[str, frozenset[str]],
    edits: Edits | None,
    rulebook: Rulebook,
    firm: set[int],
) -> dict[int, list[str]]:
    """Return the reasons of the tables by the number of the line. A line that is held anyway admits nothing."""
    blocked: dict[int, list[str]] = defaultdict(list)
    for number, charge in enumerate(charges):
        if not _effective(charge.code, charge.day, rulebook):
            blocked[number].append("code_not_effective")
    if edits is None:
        return blocked
    admitted: dict[tuple[str, date, str], int] = defaultdict(int)
    by_day: dict[tuple[str, date], list[int]] = defaultdict(list)
    for number, charge in enumerate(charges):
        kind = _KIND[charge.bill]
        if number not in blocked and edits.listed(charge.code, kind, charge.day) is False:
            blocked[number].append("code_not_effective")
        lacking = lacks.get(charge.course)
        waits = charge.hold or number in blocked or (lacking and missing_reason(charge, lacking))
        if not waits:
            limit = edits.unit_limit(charge.code, kind, charge.day)
            key = (charge.bill, charge.day, charge.code)
            if limit is not None and admitted[key] + charge.units > limit:
                blocked[number].append("mue_edit")
            else:
                admitted[key] += charge.units
                by_day[charge.bill, charge.day].append(number)
        if edits.lacks_charge_code(charge):
            blocked[number].append("no_charge_code")
    for numbers in by_day.values():
        if len(numbers) > 1:
            _pairs(charges, numbers, edits, blocked, firm)
    return blocked


def _pairs(
    charges: Sequence[Charge],
    numbers: Sequence[int],
    edits: Edits,
    blocked: dict[int, list[str]],
    firm: set[int],
) -> None:
    codes = sorted({charges[n].code for n in numbers})
    kind, day = _KIND[charges[numbers[0]].bill], charges[numbers[0]].day
    for at, first in enumerate(codes):
        for second in codes[at + 1 :]:
            pair = edits.pair(first, second, kind, day)
            if pair is None or pair.indicator == 9:
                continue
            for number in numbers:
                if charges[number].code == pair.second:
                    blocked[number].insert(0, "ptp_edit")
                    if pair.indicator == 0:
                        firm.add(number)


def summed(charges: Sequence[Charge]) -> list[Charge]:
    """Return lines alike in bill, course, code, modifiers, date, place, provider and hold as one, units added."""
    found: dict[tuple[Any, ...], Charge] = {}
    for charge in charges:
        key: tuple[Any, ...] = (
            charge.bill,
            charge.course,
            charge.code,
            charge.modifiers,
            charge.day,
            charge.end,
            charge.place_of_service,
            charge.provider,
            charge.packaged,
            charge.hold,
            charge.slot,
        )
        other = found.get(key)
        found[key] = (
            charge
            if other is None
            else other._replace(units=other.units + charge.units, events=(*other.events, *charge.events))
        )
    return list(found.values())
