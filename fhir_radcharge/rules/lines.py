"""Turns a code that is due at a place into the billed lines of each claim, before they are held and summed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any, NamedTuple

from fhir_radcharge.model import BILLS, Bill, Charge, Flag, Place, TreatmentEvent, Why
from fhir_radcharge.rules.rulebook import Rulebook
from fhir_radcharge.rules.tables import Answer

FORM_MODIFIER = {
    "global": (),
    "own": (),
    "bare": (),
    "packaged": (),
    "technical": ("TC",),
    "professional": ("26",),
}


class Claim(NamedTuple):
    """One claim that a session goes on: its bill, what kind of claim it is, place of service, campus modifier."""

    bill: Bill
    kind: str
    place_of_service: str
    modifiers: tuple[str, ...]
    why: tuple[Why, ...]


class Spot(NamedTuple):
    """Where and for whom something was done: all that decides its claims and knobs on a day."""

    place: Place
    patient_class: str
    payer: str | None

    @staticmethod
    def of(event: TreatmentEvent) -> Spot:
        """Return the spot of an event."""
        return Spot(event.place, event.patient_class, event.payer)


class Claims(NamedTuple):
    """The claims of a spot on a day, the flags that the spot itself raises, and the knobs that apply."""

    claims: tuple[Claim, ...]
    flags: tuple[str, ...]
    knobs: Mapping[str, Any]


def claims(spot: Spot, day: date, rulebook: Rulebook) -> Claims:
    """Return the claims that a service at this spot goes on, remembered for as long as no table changes."""
    key = ("claims", spot, rulebook.era(day))
    found: Claims | None = rulebook.memo.get(key)
    if found is None:
        found = rulebook.memo[key] = _claims(spot, day, rulebook)
    return found


def _claims(spot: Spot, day: date, rulebook: Rulebook) -> Claims:
    knobs = rulebook.policy.knobs(spot.payer, day)
    flags = [] if rulebook.policy.known(spot.payer) else ["payer_unknown"]
    if spot.place.setting == "unknown":
        return Claims((), (*flags, "setting_unknown"), knobs)
    facts = {
        "setting": spot.place.setting,
        "ownership": spot.place.ownership,
        "campus": spot.place.campus,
        "patient_class": spot.patient_class,
    }
    row, why = rulebook.tables["claims"].answer(facts, knobs, day)
    found = []
    for bill in BILLS:
        kind = row.text(bill)
        if kind is None or kind == "none":
            continue
        at: Answer = rulebook.tables["places"].answer({**facts, "claim": kind}, knobs, day)
        modifier = at.row.text("modifier")
        found.append(
            Claim(bill, kind, at.row.text("pos") or "", (modifier,) if modifier else (), (why, at.why))
        )
    flag = row.text("flag")
    return Claims(tuple(found), (*flags, *((flag,) if flag else ())), knobs)


def form_of(code: str, claim: Claim, day: date, rulebook: Rulebook) -> tuple[str, tuple[Why, ...]]:
    """Return the form in which a claim carries a code on a day (`none`: not at all) and why."""
    key = ("form", code, claim.kind, rulebook.era(day))
    found: tuple[str, tuple[Why, ...]] | None = rulebook.memo.get(key)
    if found is None:
        found = rulebook.memo[key] = _form_of(code, claim, day, rulebook)
    return found


def _form_of(code: str, claim: Claim, day: date, rulebook: Rulebook) -> tuple[str, tuple[Why, ...]]:
    row = rulebook.catalogue.row(code, day)
    if row is None:
        return ("global" if claim.kind in ("office", "hospital") else "none"), ()
    found, why = rulebook.tables["components"].answer(
        {"claim": claim.kind, "component": row.component}, {}, day
    )
    form = found.text("form") or "none"
    payable = {"global": row.freestanding, "facility": row.hospital, "professional": row.physician}[
        claim.bill
    ]
    # A physician's part of a split centre is the freestanding reading of the code.
    if claim.kind == "office_professional":
        payable = row.freestanding if row.component != "technical" else "not_billable"
    if payable == "not_billable":
        return "none", (why,)
    if payable == "packaged" and claim.bill == "facility":
        return "packaged", (why,)
    return form, (why,)


class Part(NamedTuple):
    """One claim that carries a code, in which form, and why."""

    claim: Claim
    form: str
    why: tuple[Why, ...]


def parts_of(code: str, spot: Spot, day: date, rulebook: Rulebook) -> tuple[Part, ...]:
    """Return the claims that carry a code at a spot on a day, remembered for as long as no table changes."""
    key = ("parts", code, spot, rulebook.era(day))
    found: tuple[Part, ...] | None = rulebook.memo.get(key)
    if found is None:
        forms = [(claim, *form_of(code, claim, day, rulebook)) for claim in claims(spot, day, rulebook).claims]
        found = rulebook.memo[key] = tuple(
            Part(claim, form, (*claim.why, *why)) for claim, form, why in forms if form != "none"
        )
    return found


class Draft(NamedTuple):
    """A line before the edits: a charge with its order of service within the patient, and who pays."""

    charge: Charge
    order: tuple[Any, ...]
    payer: str | None


def line(
    code: str,
    claim: Claim,
    form: str,
    day: date,
    *,
    course: str,
    dated_by: str,
    events: tuple[str, ...],
    why: tuple[Why, ...],
    family: str,
    units: int = 1,
    hold: str | None = None,
    end: date | None = None,
    provider: str | None = None,
    slot: str = "",
    note: str = "",
    modifiers: tuple[str, ...] = (),
    keeps_date: bool = False,
) -> Charge:
    """Return one billed line; modifiers stand in the order component, own, campus."""
    return Charge(
        bill=claim.bill,
        course=course,
        code=code,
        modifiers=(*FORM_MODIFIER[form], *modifiers, *claim.modifiers),
        day=day,
        end=end,
        units=units,
        place_of_service=claim.place_of_service,
        provider=provider,
        packaged=form == "packaged",
        hold=hold,
        family=family,
        slot=slot,
        dated_by=dated_by,
        events=events,
        why=why,
        note=note,
        keeps_date=keeps_date,
    )


def flags_of(reasons: tuple[str, ...], course: str, day: date | None, events: tuple[str, ...]) -> list[Flag]:
    """Return the work items of these reasons."""
    return [Flag(reason, course, day, events) for reason in reasons]
