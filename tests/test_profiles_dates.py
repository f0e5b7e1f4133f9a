"""A date of service lies on or before the day of the message that reports it, and a range runs forwards."""

from __future__ import annotations

from datetime import date

import pytest
from profiles_rig import reading_of, told

SENT = ("|20260312100500||DFT", "|{}||DFT")
RECORDED = ("EVN||20260312100500", "EVN||{}")


def days(sender: str, name: str, *changes: tuple[str, str]) -> list[date]:
    return [event.day for event in reading_of(sender, name, *changes).events]


def test_a_delivery_is_not_reported_before_its_day() -> None:
    reading = reading_of("plain", "session", ("|202603121000|", "|202603131000|"))

    assert [
        "FT1[1]-4.1: the date of service 2026-03-13 lies after 2026-03-12, the day of the message (MSH-7, EVN-2) that"
        " reports it; send it when it is done, or mend the date or the sender's clock"
    ] == told(reading)
    assert ["guidance"] == [event.kind for event in reading.events]


@pytest.mark.parametrize(
    ("start", "sent", "recorded"),
    [
        ("202603122359", "20260312100500", "20260312100500"),  # clocks differ by minutes: the date alone is compared
        ("202603131000", "20260312100500", "20260313100500"),  # the later of both is the message's day
        ("202603131000", "20260313100500", "20260312100500"),
        ("202603131000", "", "20260313100500"),
        ("202603121000", "20260313030000+0000", "20260312"),
        ("20260312235900", "20260313003000-0400", "20260312"),  # of the facility's clock: Chicago is an hour behind
    ],
)
def test_what_was_done_by_the_day_of_the_message_is_read(start: str, sent: str, recorded: str) -> None:
    assert date(int(start[:4]), int(start[4:6]), int(start[6:8])) in days(
        "plain",
        "session",
        ("|202603121000|", f"|{start}|"),
        (SENT[0], SENT[1].format(sent)),
        (RECORDED[0], RECORDED[1].format(recorded)),
    )


def test_the_day_of_the_message_is_that_of_the_facilitys_clock() -> None:
    changes = ("|202603121000|", "|20260313|"), (SENT[0], SENT[1].format("20260313043000+0000"))

    assert ["FT1[1]-4.1"] == [problem.place for problem in reading_of("plain", "session", *changes).problems]


def test_a_header_whose_time_is_none_bounds_nothing() -> None:
    reading = reading_of("plain", "session", ("|202603121000|", "|203003121000|"), (SENT[0], SENT[1].format("MARCH")),
                         (RECORDED[0], RECORDED[1].format("20300312")))  # fmt: skip

    assert [] == told(reading)


def test_a_credit_is_not_lost_for_its_date() -> None:
    reading = reading_of("plain", "session_credit", ("||20260312||CD", "||20300312^20290312||CD"))

    assert ([], [True]) == (told(reading), [event.voided for event in reading.events])


def test_what_is_planned_may_lie_ahead() -> None:
    # The message of the sender keeps its day; only its line speaks of a later one.
    ahead = ("|20260302|20260302|CG", "|20300302|20260302|CG")

    assert [date(2030, 3, 2)] == days("mosaiq_like", "prescription", ahead)


@pytest.mark.parametrize("end", ["20260311", "20260312095959", "202603120959", "20260311235900-0600"])
def test_a_range_does_not_end_before_it_begins(end: str) -> None:
    reading = reading_of("plain", "session", ("|202603121000|", f"|20260312100000^{end}|"))

    assert ["FT1[1]-4: the range ends before it begins; send the start first, then the end"] == told(reading)


@pytest.mark.parametrize("end", ["", "20260312", "202603121000", "20260312100000", "20260313", "20260312110000-0400", "?"])
def test_a_range_may_end_with_its_beginning_and_its_end_is_not_needed(end: str) -> None:
    assert [] == told(reading_of("plain", "session", ("|202603121000|", f"|20260312100000^{end}|")))
