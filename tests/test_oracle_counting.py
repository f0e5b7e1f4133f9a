"""The counting oracle against published counts, so that the judge is judged too."""

from collections import Counter
from datetime import date, timedelta

import pytest
from oracle.counting import Done, Due, due_lines
from oracle.random_courses import random_course

FIRST = date(2025, 3, 3)


def course(count: int, closed: bool = True) -> list[Done]:
    days = [FIRST + timedelta(days=k // 5 * 7 + k % 5) for k in range(count)]
    done = [Done(f"F{k}", "fraction", day, 600, {}) for k, day in enumerate(days)]
    done += [Done(f"E{k}", "exam", day, 630, {"by": "physician"}) for k, day in enumerate(days)]
    done += [Done(f"Q{k}", "physics_check", day, 660, {}) for k, day in enumerate(days)]
    return done + ([Done("X", "course_closed", days[-1], None, {})] if closed else [])


@pytest.mark.parametrize(
    ("sessions", "units"), [(18, 4), (62, 12), (8, 2), (6, 1), (3, 1), (5, 1), (25, 5), (27, 5), (28, 6)]
)
def test_published_counts_of_management_units(sessions: int, units: int) -> None:
    due = due_lines(course(sessions), {}, FIRST)

    assert sum(count for line, count in due.items() if line.code == "77427") == units


def test_a_complete_course_of_two_is_one_short_course() -> None:
    day = FIRST + timedelta(days=1)

    assert due_lines(course(2), {}, FIRST) == Counter(
        [Due("77431", day, None, 1, None), Due("77336", day, None, 1, None)]
    )


def test_an_open_course_has_no_remainder() -> None:
    assert not due_lines(course(4, closed=False), {}, FIRST)


def test_random_courses_are_the_same_for_ever_and_all_different() -> None:
    courses = [random_course(seed) for seed in range(200)]

    assert courses == [random_course(seed) for seed in range(200)]
    assert len({repr(one) for one in courses}) == 200


def test_random_courses_are_odd_enough_to_judge_by() -> None:
    codes = Counter(
        (line.code, line.hold) for seed in range(300) for line in due_lines(*random_course(seed)).elements()
    )

    assert set(codes) == {
        ("77427", None),
        ("77427", "no_physician_exam"),
        ("77431", None),
        ("77431", "no_physician_exam"),
        ("77336", None),
        ("77336", "no_physics_check"),
        ("77417", None),
    }
