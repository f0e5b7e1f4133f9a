"""HL7 times become facility-local days and minutes; what names no moment or two is refused, never guessed."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_radcharge.errors import MessageError
from fhir_radcharge.wire.times import Moment, read_moment, read_order
from fhir_radcharge.zones import zone_named

CHICAGO = zone_named("America/Chicago")


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("20260312", Moment(date(2026, 3, 12), None)),
        ("202603121514", Moment(date(2026, 3, 12), 914)),
        ("20260312151404", Moment(date(2026, 3, 12), 914)),
        ("20260312151404-0500", Moment(date(2026, 3, 12), 914)),
        ("20260312151404.1234-0500", Moment(date(2026, 3, 12), 914)),
        ("20260313003000-0400", Moment(date(2026, 3, 12), 1410)),
        ("20260312003000+0000", Moment(date(2026, 3, 11), 1170)),
        ("20261231233000-0700", Moment(date(2027, 1, 1), 30)),
        ("20261101013000-0600", Moment(date(2026, 11, 1), 90)),
        ("20261101013000-0500", Moment(date(2026, 11, 1), 90)),
    ],
)
def test_a_time_is_the_facilitys_clock_or_is_carried_to_it(written: str, meant: Moment) -> None:
    assert read_moment(written, CHICAGO, "FT1-4") == meant


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("202611010130", "is an hour that the facility's clock shows twice on this night"),
        ("20260308023000", "is an hour that the facility's clock leaves out on this night"),
        ("20260230", "names a day that does not exist"),
        ("2026", "is not a date"),
        ("2026031215", "is not a time"),
        ("202603122460", "is not a time"),
        ("2026031215140", "is not a time"),
        ("20260312151404-05", "is not a time"),
        ("20260312151404-05A0", "has an offset that is not four digits"),
        ("20260312151404-9999", "has an offset that no clock has"),
        ("20260312151404+1401", "has an offset that no clock has"),
        ("20260312151404-0560", "has an offset that no clock has"),
        ("99991231233000-1200", "names a day that does not exist"),
        ("00010101000000+0000", "names a day that does not exist"),
        ("٢٠٢٦٠٣١٢", "is not a date"),
        ("", "is not a date"),
    ],
)
def test_what_names_no_moment_or_two_is_refused(written: str, told: str) -> None:
    with pytest.raises(MessageError) as caught:
        read_moment(written, CHICAGO, "FT1-4")

    assert (caught.value.place, caught.value.problem, caught.value.code) == ("FT1-4", told, "102")


@pytest.mark.parametrize(
    ("written", "fine"), [("202611010059", 59), ("202611010200", 120), ("202603080159", 119), ("202603080300", 180)]
)
def test_the_minutes_around_a_change_of_the_clock_are_plain(written: str, fine: int) -> None:
    assert read_moment(written, CHICAGO, "FT1-4").minute == fine


@given(
    st.datetimes(datetime(2001, 1, 1), datetime(2058, 1, 1)),
    st.sampled_from(["America/Chicago", "Europe/Dublin", "Australia/Lord_Howe", "Asia/Kolkata", "America/Sao_Paulo"]),
    st.integers(-720, 720),
)
@settings(max_examples=200, derandomize=True, deadline=None)
def test_an_offset_is_carried_as_the_zone_database_does(moment: datetime, name: str, offset: int) -> None:
    moment = moment.replace(microsecond=0)
    written = (
        moment.strftime("%Y%m%d%H%M%S") + f"{'-' if offset < 0 else '+'}{abs(offset) // 60:02d}{abs(offset) % 60:02d}"
    )
    local = (moment.replace(tzinfo=UTC) - timedelta(minutes=offset)).astimezone(ZoneInfo(name))

    assert read_moment(written, zone_named(name), "x") == Moment(local.date(), local.hour * 60 + local.minute)


@given(st.lists(st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1)), min_size=2, max_size=6))
@settings(max_examples=100, derandomize=True, deadline=None)
def test_revision_times_grow_with_time_whatever_their_offset(moments: list[datetime]) -> None:
    moments = sorted({moment.replace(microsecond=0) for moment in moments})
    orders = [
        read_order((moment + timedelta(hours=shift)).strftime("%Y%m%d%H%M%S") + f"+0{shift}00", CHICAGO, "x")
        for shift, moment in enumerate(moments)
    ]

    assert orders == sorted(set(orders))


def test_fractions_of_a_second_order_revisions() -> None:
    assert read_order("20260312160045.123-0500", CHICAGO, "x") < read_order("20260312160045.2-0500", CHICAGO, "x")
    assert read_order("20260312160045", CHICAGO, "x") == read_order("20260312160045-0500", CHICAGO, "x")


def test_a_zone_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="there is no time zone 'Mars/Base'"):
        zone_named("Mars/Base")
