"""A correction says no more than the bill needs."""

from datetime import date

from fhir_radcharge.model import Charge, Standing
from fhir_radcharge.reconcile import corrections


def unit(number: int, day: date) -> Charge:
    """Return a weekly unit that is due."""
    return Charge(
        "professional", "C1", "77427", (), day, None, 1, "22", "1999999984", False, None, "management",
        f"management/C1/{number}", f"F{number}", (f"F{number}",), (),
    )  # fmt: skip


def sent(charge: Charge) -> Standing:
    """Return the unit as it was said."""
    return Standing(
        f"P{charge.slot[-1]}", charge.bill, charge.course, charge.code, charge.modifiers, charge.day, charge.end, 1,
        charge.place_of_service, charge.provider, charge.packaged, charge.slot,
    )  # fmt: skip


def test_a_late_group_before_another_is_one_charge_and_no_credit() -> None:
    """Five sessions are heard late: the third unit is now the fourth, on the date on which it stands."""
    before = [unit(3, date(2026, 3, 3))]
    after = [unit(3, date(2026, 2, 23)), unit(4, date(2026, 3, 3))]

    found = corrections(after, [sent(charge) for charge in before]).corrections

    assert [(one.kind, one.charge.day if one.charge else None) for one in found] == [("CHARGE", date(2026, 2, 23))]
