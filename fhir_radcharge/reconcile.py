"""Turns what is due and what stands into the fewest credits and charges that make them equal."""

from __future__ import annotations

import base64
import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence

from fhir_radcharge.model import Charge, Correction, Corrections, Flag, PostingKind, Standing
from fhir_radcharge.rules.edits import EDIT_REASONS

ID_LENGTH = 12


def line_key(said: Charge | Standing) -> str:
    """Return what a line is, as text that never changes: two lines with one key are one line with more units."""
    return "|".join(
        (
            said.bill,
            said.course,
            said.code,
            ",".join(said.modifiers),
            said.day.isoformat(),
            said.end.isoformat() if said.end else "",
            said.place_of_service,
            said.provider or "",
            "packaged" if said.packaged else "",
            said.slot,
        )
    )


def posting_id(destination: str, key: str, kind: PostingKind, previous: str | None) -> str:
    """Return the id of a posting, made from what it says and from the posting of that line before it.

    Neither a counter, a clock nor chance plays a part, so that a restored or repeated computation finds the
    same id. Twelve base32 characters, because FT1-2 was twelve characters long in old versions.
    """
    told = "\x1f".join((destination, key, kind, previous or ""))
    return base64.b32encode(hashlib.sha256(told.encode()).digest())[:ID_LENGTH].decode()


def corrections(charges: Sequence[Charge], standing: Sequence[Standing]) -> Corrections:
    """Return the corrections for one destination: credits first within a unit, in the order of service.

    A line that stands and is now held by an edit stays and is flagged; held by anything else it is credited.
    A counted unit that only moved keeps its sent date where the payer's knob says so, with a work item.
    """
    due, kept, flags = _wanted(charges, standing)
    stands: dict[str, list[Standing]] = defaultdict(list)
    for said in standing:
        if said.posting not in kept:
            stands[line_key(said)].append(said)
    wanted: dict[str, list[Charge]] = defaultdict(list)
    for charge in due:
        wanted[line_key(charge)].append(charge)
    found: list[Correction] = []
    moved = {said.slot for key, says in stands.items() if key not in wanted for said in says if said.slot}
    for key, says in stands.items():
        units = sum(charge.units for charge in wanted.get(key, ()))
        found.extend(
            _credits(says, sum(s.units for s in says) - units, _cause(says[0], key, wanted, charges))
        )
    for key, same in wanted.items():
        have = sum(said.units for said in stands.get(key, ()))
        more = sum(charge.units for charge in same) - have
        if more > 0:
            cause = "units" if have else "moved" if same[0].slot in moved else "new"
            found.append(Correction("CHARGE", more, cause, charge=same[0]))
    return Corrections(tuple(sorted(found, key=_order)), tuple(flags))


def _wanted(
    charges: Sequence[Charge], standing: Sequence[Standing]
) -> tuple[list[Charge], set[str], list[Flag]]:
    """Return the lines to stand, the postings that stay as they were sent, and the work items of keeping them."""
    by_slot = {said.slot: said for said in standing if said.slot}
    by_key: dict[str, list[Standing]] = defaultdict(list)
    for said in standing:
        by_key[line_key(said)].append(said)
    due: list[Charge] = []
    kept: set[str] = set()
    flags: list[Flag] = []
    for charge in charges:
        if charge.hold is not None:
            if charge.hold in EDIT_REASONS and (says := by_key.get(line_key(charge))):
                kept.update(said.posting for said in says)
                flags.append(Flag(charge.hold, charge.course, charge.day, charge.events, "already sent"))
            continue
        sent = by_slot.get(charge.slot) if charge.keeps_date and charge.slot else None
        if sent is not None and line_key(sent) != line_key(charge) and _same_but_date(sent, charge):
            kept.add(sent.posting)
            flags.append(Flag("date_variance", charge.course, charge.day, charge.events))
            continue
        due.append(charge)
    return due, kept, flags


def _same_but_date(sent: Standing, charge: Charge) -> bool:
    return (sent.bill, sent.code, sent.units) == (charge.bill, charge.code, charge.units)


def _credits(says: Sequence[Standing], surplus: int, cause: str) -> Iterable[Correction]:
    """Yield credits for the surplus units, the latest posting first."""
    for said in reversed(says):
        if surplus <= 0:
            return
        units = min(surplus, said.units)
        surplus -= units
        yield Correction("CREDIT", units, cause, credits=said)


def _cause(said: Standing, key: str, wanted: dict[str, list[Charge]], charges: Sequence[Charge]) -> str:
    if key in wanted:
        return "units"
    if any(charge.hold and line_key(charge) == key for charge in charges):
        return "held"
    return (
        "moved"
        if said.slot and any(charge.slot == said.slot and not charge.hold for charge in charges)
        else "gone"
    )


def _order(correction: Correction) -> tuple[object, ...]:
    said = correction.charge or correction.credits
    assert said is not None
    group = said.slot or f"{said.day.isoformat()}/{said.code}"
    return (said.bill, group, correction.kind != "CREDIT", said.day, line_key(said))
