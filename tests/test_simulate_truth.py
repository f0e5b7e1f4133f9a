"""The independent reckoning of what each bill must carry, against lines worked out by hand."""

import io
from datetime import date

from fhir_radcharge.simulate import courses, run_of, truth, write_truth
from fhir_radcharge.simulate.course import Course

LATER = date(2030, 1, 1)


def first(pathway: str, room: str, start: date, oddities: str = "none") -> Course:
    """Return the first course of a pathway in a room."""
    run = run_of("system", 11, start, pathway, courses=500)._replace(oddities=oddities)
    return next(one for one in courses(run) if one.chart.room.name == room)


def lines(course: Course) -> list[str]:
    return [
        f"{one.bill} {one.hold}{one.code}{'-' if one.modifiers else ''}{one.modifiers} x{one.units} {one.day}"
        for one in truth(course, LATER)]


def test_one_fraction_in_a_centre_is_a_delivery_a_short_course_and_a_physics_check() -> None:
    assert lines(first("bone_single", "LINAC1", date(2025, 5, 13))) == [
        "global 77263 x1 2025-05-06", "global 77336 x1 2025-05-13", "global 77431 x1 2025-05-13",
        "global G6005 x1 2025-05-13"]


def test_one_fraction_in_a_hospital_is_two_bills() -> None:
    assert lines(first("bone_single", "LINAC2", date(2026, 5, 13))) == [
        "facility 77336 x1 2026-05-13", "facility 77402 x1 2026-05-13", "professional 77263 x1 2026-05-06",
        "professional 77431 x1 2026-05-13"]


def test_radiosurgery_off_campus_carries_po_on_each_hospital_line() -> None:
    assert lines(first("brain_srs", "LINAC3", date(2025, 11, 5))) == [
        "facility 77295-PO x1 2025-10-29", "facility 77336-PO x1 2025-11-05",
        "facility 77372-PO x1 2025-11-05", "professional 77263 x1 2025-10-29",
        "professional 77295-26 x1 2025-10-29", "professional 77432 x1 2025-11-05"]


def test_split_ownership_parts_hdr_into_two_bills() -> None:
    assert lines(first("cylinder_hdr", "LINAC4", date(2025, 9, 8))) == [
        "global 77336 x1 2025-09-22", "global 77770-TC x1 2025-09-08", "global 77770-TC x1 2025-09-15",
        "global 77770-TC x1 2025-09-22", "professional 77263 x1 2025-09-01",
        "professional 77770-26 x1 2025-09-08", "professional 77770-26 x1 2025-09-15",
        "professional 77770-26 x1 2025-09-22"]


def test_two_sessions_of_a_day_are_one_line_of_two_units() -> None:
    course = first("bladder_twice_daily", "LINAC1", date(2025, 6, 2))

    delivery = [line for line in lines(course) if "G60" in line]

    days = (2, 3, 4, 5, 6, 9, 10, 11, 12, 13, 16, 17)
    assert delivery == [f"global G6013 x2 2025-06-{day:02d}" for day in days]


def test_the_codes_change_between_two_fractions_at_new_year() -> None:
    course = first("prostate_imrt", "LINAC1", date(2025, 12, 22))

    codes = [line.split()[1:] for line in lines(course) if "77387" in line or "G6015" in line]

    assert codes[:2] == [["77387-26", "x1", "2026-01-02"], ["77387-26", "x1", "2026-01-05"]]
    assert [code[2] for code in codes if code[0] == "G6015"] == [
        "2025-12-22", "2025-12-23", "2025-12-24", "2025-12-26", "2025-12-29", "2025-12-30", "2025-12-31"]


def test_gating_from_the_fifth_fraction_is_level_three_from_there() -> None:
    course = first("breast_gated", "LINAC2", date(2026, 2, 2))

    levels = [line.split()[1] for line in lines(course) if line.startswith("facility 774")]

    assert levels == ["77407"] * 4 + ["77412"] * 12


def test_the_table_is_written_line_by_line() -> None:
    out = io.StringIO()

    count = write_truth(courses(run_of("smoke", 7, date(2025, 11, 3))), LATER, out)

    written = out.getvalue().splitlines()
    assert written[0] == "course,bill,code,modifiers,units,date,hold,packaged"
    assert len(written) == count + 1


def test_a_torture_run_holds_lines_for_each_reason() -> None:
    run = run_of("torture", 7, date(2025, 11, 3))

    holds = {line.hold for one in courses(run) for line in truth(one, LATER)}

    assert holds == {
        "", "image_not_approved", "no_physician_exam", "no_physics_check", "probable_duplicate", "same_day_gap"}
