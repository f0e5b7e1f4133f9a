"""Whoever waits for a day is woken on it: a date that passes unheard changes nothing else."""

from pathlib import Path

import pytest
from oracle.waking import overslept

from fhir_radcharge.tables.rulebook import load_rulebook

MAPPINGS = Path(__file__).parents[1] / "mappings"


def test_what_is_due_changes_with_the_date_only_on_the_day_that_was_named() -> None:
    rulebook = load_rulebook(MAPPINGS)

    assert [told for seed in range(60) for told in overslept(seed, rulebook)] == []


@pytest.mark.parametrize("seed", [116, 518, 998, 1889, 1997])
def test_a_grace_day_wakes_a_course_that_a_later_message_has_closed(seed: int) -> None:
    assert list(overslept(seed, load_rulebook(MAPPINGS))) == []
