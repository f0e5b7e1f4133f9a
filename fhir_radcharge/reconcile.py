"""Turns what is due and what stands into the fewest credits and charges that make them equal."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fhir_radcharge.model import Charge, Correction, Corrections, Flag, PostingKind, Standing
from fhir_radcharge.rules.edits import EDIT_REASONS

# The base32 alphabet, two characters at once: ten bits, six times as fast as the library, which spells in Python too.
_BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_PAIRS = tuple(first + second for first in _BASE32 for second in _BASE32)
ALREADY_SENT = "already sent"
"""The note of a work item on a line that an edit would hold and that stays where it was sent."""


def line_key(said: Charge | Standing) -> str:
    """Return what a line is, as text that never changes: two lines with one key are one line with more units.

    Which counted unit it is plays no part: a unit that takes the date of another is the same line to a biller.
    """
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
        )
    )


def posting_id(destination: str, key: str, kind: PostingKind, previous: str | None) -> str:
    """Return the id of a posting, made from what it says and from the posting of that line before it.

    Neither a counter, a clock nor chance plays a part, so that a restored or repeated computation finds the
    same id. Twelve base32 characters, because FT1-2 was twelve characters long in old versions.
    """
    told = "\x1f".join((destination, key, kind, previous or ""))
    number = int.from_bytes(hashlib.sha256(told.encode()).digest()[:8], "big") >> 4
    return "".join([_PAIRS[number >> bits & 1023] for bits in (50, 40, 30, 20, 10, 0)])


def corrections(
    charges: Sequence[Charge], standing: Sequence[Standing], accounts: Mapping[str, str] | None = None
) -> Corrections:
    """Return the corrections for one destination: credits first within a unit, in the order of service.

    A line that stands and is now held by an edit stays and is flagged; held by anything else it is credited.
    A counted unit that only moved keeps its sent date where the payer's knob says so, with a work item.
    `accounts` has the account of each event that dates a line: one that differs from the account to which the
    charge went takes the charge back there and makes it anew here (None: accounts play no part).
    """
    known = _Known(accounts)
    due, kept, flags = _wanted(charges, standing, known)
    stands: dict[_Identity, list[Standing]] = defaultdict(list)
    wanted: dict[_Identity, list[Charge]] = defaultdict(list)
    lacking: dict[_Identity, int] = defaultdict(int)
    for said in standing:
        if said.posting not in kept:
            key = known.of_standing(said)
            stands[key].append(said)
            lacking[key] -= said.units
    for charge in due:
        key = known.of_charge(charge)
        wanted[key].append(charge)
        lacking[key] += charge.units
    if not any(lacking.values()):
        return Corrections((), tuple(flags))
    found: list[Correction] = []
    because = _Because(stands, wanted, charges, known)
    for key, units in lacking.items():
        if units < 0:
            found.extend(_credits(stands[key], -units, because.credit(key)))
        elif units > 0:
            found.append(Correction("CHARGE", units, because.charge(key), charge=wanted[key][0]))
    return Corrections(tuple(sorted(found, key=_order)), tuple(flags))


_Identity = tuple[Any, ...]
_OWN = 9
"""Fields of an identity without the account."""


class _Known:
    """What makes two lines one: the fields of `line_key`, and the account where accounts play a part."""

    def __init__(self, accounts: Mapping[str, str] | None) -> None:
        self._accounts = accounts

    def of_charge(self, charge: Charge) -> _Identity:
        # bill, course, code, modifiers, day, end; place, provider, packaged: slices, because this is hot.
        own = (*charge[:6], *charge[7:10])
        return own if self._accounts is None else (*own, self._accounts.get(charge.dated_by, ""))

    def of_standing(self, said: Standing) -> _Identity:
        own = (*said[1:7], *said[8:11])
        return own if self._accounts is None else (*own, said.account)


def _units(lines: Sequence[Charge] | Sequence[Standing]) -> int:
    return sum([line.units for line in lines])


class _Because:
    """Why a line is said or taken back, in one word; looked up only for lines that changed."""

    def __init__(
        self,
        stands: Mapping[_Identity, list[Standing]],
        wanted: Mapping[_Identity, list[Charge]],
        charges: Sequence[Charge],
        known: _Known,
    ) -> None:
        self._stands, self._wanted = stands, wanted
        self._held = {known.of_charge(charge) for charge in charges if charge.hold}
        self._due_slots = {charge.slot for charge in charges if charge.slot and not charge.hold}
        self._gone_slots = {
            said.slot for key, says in stands.items() if key not in wanted for said in says if said.slot
        }
        self._lines_due = {key[:_OWN] for key in wanted}
        self._lines_gone = {key[:_OWN] for key in stands if key not in wanted}

    def credit(self, key: _Identity) -> str:
        if key in self._wanted:
            return "units"
        if key in self._held:
            return "held"
        if len(key) > _OWN and key[:_OWN] in self._lines_due:
            return "account"
        return "moved" if any(said.slot and said.slot in self._due_slots for said in self._stands[key]) else "gone"

    def charge(self, key: _Identity) -> str:
        if key in self._stands:
            return "units"
        if len(key) > _OWN and key[:_OWN] in self._lines_gone:
            return "account"
        slot = self._wanted[key][0].slot
        return "moved" if slot and slot in self._gone_slots else "new"


def _wanted(
    charges: Sequence[Charge], standing: Sequence[Standing], known: _Known
) -> tuple[list[Charge], set[str], list[Flag]]:
    """Return the lines to stand, the postings that stay as they were sent, and the work items of keeping them."""
    due = [charge for charge in charges if charge.hold is None and not (charge.keeps_date and charge.slot)]
    if len(due) == len(charges):
        return due, set(), []
    by_slot = {said.slot: said for said in standing if said.slot}
    by_key: dict[_Identity, list[Standing]] = defaultdict(list)
    for said in standing:
        by_key[known.of_standing(said)].append(said)
    kept: set[str] = set()
    flags: list[Flag] = []
    told: dict[_Identity, int] = defaultdict(int)
    for charge in charges:
        if charge.hold is None or charge.hold in EDIT_REASONS:
            told[known.of_charge(charge)] += charge.units
    # What was not said before is new work, not a new table: it does not come beside a line that it edits.
    grown = {key for key, units in told.items() if units > _units(by_key.get(key, ()))}
    fresh = [c for c in charges if c.hold is None and known.of_charge(c) in grown]
    days = {(c.bill, c.day) for c in fresh}
    codes = {(c.bill, c.course, c.code) for c in fresh}
    for charge in charges:
        if charge.hold is not None:
            key = known.of_charge(charge)
            late = (
                key in grown
                or (charge.hold == "ptp_edit" and (charge.bill, charge.day) in days)
                or (charge.hold == "frequency" and (charge.bill, charge.course, charge.code) in codes)
            )
            if charge.hold in EDIT_REASONS and not late and key in by_key:
                # It stays where it was sent: wanted there, beside what else is due of that line.
                due.append(charge)
                flags.append(Flag(charge.hold, charge.course, charge.day, charge.events, ALREADY_SENT))
        elif charge.keeps_date and charge.slot:
            sent = by_slot.get(charge.slot)
            if sent is not None and line_key(sent) != line_key(charge) and _same_but_date(sent, charge):
                kept.add(sent.posting)
                flags.append(Flag("date_variance", charge.course, charge.day, charge.events))
            else:
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


def _order(correction: Correction) -> tuple[object, ...]:
    said = correction.charge or correction.credits
    assert said is not None
    group = said.slot or f"{said.day.isoformat()}/{said.code}"
    return (said.bill, group, correction.kind != "CREDIT", said.day, line_key(said))
