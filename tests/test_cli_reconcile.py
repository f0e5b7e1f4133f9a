"""What `reconcile` prints: stretches of idle days are one line, however long."""

from datetime import date

from fhir_radcharge.cli.reconcile import _runs


def test_idle_days_are_folded_where_nobody_was_treated_between_them() -> None:
    monday, tuesday, thursday, friday, next_monday = (date(2026, 3, n) for n in (2, 3, 5, 6, 9))
    wednesday = date(2026, 3, 4)

    assert _runs([monday, tuesday, thursday, friday, next_monday], {wednesday: 3}) == [
        (monday, tuesday), (thursday, next_monday)
    ]  # fmt: skip
    assert _runs([], {}) == []
