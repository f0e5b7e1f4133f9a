"""The engine counts random courses as plain arithmetic does."""

from pathlib import Path

from oracle.comparing import differences, engine_lines

from fhir_radcharge.tables.rulebook import load_rulebook

COURSES = 2_000


def test_two_thousand_random_courses_are_counted_as_the_oracle_counts_them() -> None:
    lines = engine_lines(load_rulebook(Path(__file__).parents[1] / "mappings"))

    assert [told for told in (differences(seed, lines) for seed in range(COURSES)) if told] == []
