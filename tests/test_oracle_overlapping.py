"""Two courses that overlap share one counter, and two that do not have one each."""

from pathlib import Path

from oracle.overlapping import expected_days, found_days, random_pair

from fhir_radcharge.tables.rulebook import load_rulebook


def test_weekly_units_of_two_courses_fall_on_every_fifth_session_of_their_union() -> None:
    rulebook = load_rulebook(Path(__file__).parents[1] / "mappings")
    pairs = [random_pair(seed) for seed in range(400)]

    assert [pair for pair in pairs if found_days(pair, rulebook) != expected_days(pair)] == []
