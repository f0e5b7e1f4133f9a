"""From simulated bytes through the real reader and rules: exactly the lines of the independent truth."""

from datetime import date

import pytest
from oracle.whole import disagreements
from rig.engines import shipped_site

from fhir_radcharge.simulate import DIALECTS, run_of

LATER = date(2030, 1, 1)


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("start", [date(2016, 3, 7), date(2025, 11, 3), date(2026, 2, 2)])
def test_every_line_of_a_torture_run_is_due_and_no_other(dialect: str, start: date) -> None:
    run = run_of("torture", start.toordinal() % 97, start, courses=60)

    assert list(disagreements(run, dialect, shipped_site(), LATER)) == []
