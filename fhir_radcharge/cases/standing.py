"""Turns a row of corrections into what stands, in memory: the books of a case that unfolds."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fhir_radcharge.cases.checks import Emitted
from fhir_radcharge.cases.comparing import line_of
from fhir_radcharge.model import Charge, Correction, Corrections, Standing

Correct = Callable[[Sequence[Charge], Sequence[Standing]], Corrections]


class Books:
    """What a case has sent so far, to one destination that takes every posting."""

    def __init__(self, correct: Correct) -> None:
        self._correct = correct
        self._said = 0
        self.standing: tuple[Standing, ...] = ()

    def brought_to(self, due: Sequence[Charge]) -> Corrections:
        """Bring what stands to what is due, and return what that took."""
        corrections = self._correct(due, self.standing)
        stands = {one.posting: one for one in self.standing}
        for correction in corrections.corrections:
            self._apply(correction, stands)
        self.standing = tuple(stands.values())
        return corrections

    def _apply(self, correction: Correction, stands: dict[str, Standing]) -> None:
        if correction.kind == "CHARGE":
            assert correction.charge is not None
            self._said += 1
            said = standing_of(correction.charge, f"S{self._said}", correction.units)
            stands[said.posting] = said
            return
        assert correction.credits is not None
        charge = stands.pop(correction.credits.posting)
        left = charge.units - correction.units
        assert left >= 0, "a credit takes back no more than what stands"
        if left:
            stands[charge.posting] = charge._replace(units=left)


def standing_of(charge: Charge, posting: str, units: int) -> Standing:
    """Return a charge as it stands once it was said under a posting id."""
    return Standing(
        posting=posting, bill=charge.bill, course=charge.course, code=charge.code, modifiers=charge.modifiers,
        day=charge.day, end=charge.end, units=units, place_of_service=charge.place_of_service,
        provider=charge.provider, packaged=charge.packaged, slot=charge.slot, dated_by=charge.dated_by,
    )


def emitted(corrections: Corrections, bill: str) -> tuple[Emitted, ...]:
    """Return what corrections newly send on one bill of the product."""
    said = []
    for correction in corrections.corrections:
        line = correction.charge if correction.kind == "CHARGE" else correction.credits
        assert line is not None
        if line.bill == bill:
            said.append(Emitted(correction.kind, line_of(line)._replace(units=correction.units)))
    return tuple(said)
