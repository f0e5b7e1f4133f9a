"""Every fraction delivered against its charges and their answers, over real books and plain counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from report_kit import FIRST, Office, shipped, simulated

from fhir_radcharge.ledger import reader
from fhir_radcharge.model import Due, TreatmentEvent
from fhir_radcharge.reconciliation.report import Reconciliation, gaps, reconciled
from fhir_radcharge.reconciliation.waits import CreditWaiting, Lag, LagFigures, age_bars, figures, lag_bars
from fhir_radcharge.rules.charging import charges_due
from fhir_radcharge.simulate import courses, run_of

SITE = shipped()
LAST = date(2026, 1, 30)
NOW = datetime(2026, 2, 2, 12, tzinfo=UTC)


def books(path: Path, answer: Any, due: Any = None, count: int = 20) -> Office:
    office = Office(path, SITE, due)
    office.activate()
    simulated(office, count, LAST, answer)
    return office


def found_in(path: Path, first: date = FIRST, last: date = LAST) -> Reconciliation:
    connection = reader(path)
    found = reconciled(connection, SITE, None, first, last, NOW)
    connection.close()
    return found


def told_fractions(count: int) -> Iterator[tuple[date, str]]:
    """The fractions that stand by what the simulated department said: day and id, the engine not asked."""
    for course in courses(run_of("clinic", 7, FIRST, courses=count)):
        stands: dict[str, Any] = {}
        for one in course.heard:
            if one.said.kind == "fraction" and date.fromordinal(one.arrives // 1440) <= LAST:
                known = stands.get(one.said.id)
                if known is None or (one.said.revision, one.said.voided) > (known.revision, known.voided):
                    stands[one.said.id] = one.said
        for said in stands.values():
            beam = said.facts.get("beam", True) is not False
            if not said.voided and beam and said.facts.get("purpose", "treatment") == "treatment":
                yield said.day, said.id


@pytest.fixture(scope="module")
def accepted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All that was sent was accepted ten minutes after it was heard."""
    path = tmp_path_factory.mktemp("accepted") / "north.db"
    books(path, lambda office, _: office.send()).close()
    return path


def test_every_fraction_that_was_told_is_counted_on_its_day(accepted: Path) -> None:
    expected = Counter(day for day, _ in told_fractions(20) if day <= LAST)
    found = found_in(accepted)

    assert {day: counts.total() for day, counts in found.days.items()} == expected
    assert found.counts.total() == sum(expected.values()) > 100


def test_what_is_held_is_what_the_work_queue_holds_and_all_else_is_final(accepted: Path) -> None:
    connection = reader(accepted)
    queue = {(patient, course, *place.split()) for patient, course, place in connection.execute(
        "select patient, course, place from open_item where category = 'hold'")}  # fmt: skip
    connection.close()
    found = found_in(accepted)
    held = {(e.patient, e.course, e.bill, code, e.day.isoformat())
            for e in found.findings for code in e.codes.split()}  # fmt: skip

    assert {e.state for e in found.findings} == {"held"}
    assert held == queue != set()
    assert set(found.counts) == {"held", "final"}


def test_a_hold_says_its_owner_and_its_age(accepted: Path) -> None:
    found = found_in(accepted)
    owners = {reason.reason: reason.owner for reason in SITE.rulebook.reasons}
    connection = reader(accepted)
    since = {place.split()[2]: label for place, label in connection.execute(
        "select place, since from open_item where category = 'hold' and reason = 'image_not_approved'")}  # fmt: skip
    connection.close()
    (image, *_) = [e for e in found.findings if e.reason == "image_not_approved"]

    assert image.owner == owners["image_not_approved"] == "physician"
    assert image.age_days == (NOW - datetime.fromisoformat(since[image.day.isoformat()])).days


def test_the_lag_is_from_heard_to_accepted(accepted: Path) -> None:
    connection = reader(accepted)
    dated_later = {name for (name,) in connection.execute(
        "select p.id from posting p join message m on m.number = p.message"
        " join answer a on a.send = p.send where substr(m.received_at, 1, 10) != substr(a.at, 1, 10)")}  # fmt: skip
    connection.close()
    found = found_in(accepted)
    same_day = [lag for lag in found.lags if lag.posting not in dated_later]

    assert {lag.seconds for lag in same_day} == {600.0}
    assert figures(found.lags).median == 600.0


def test_refused_unanswered_and_queued_are_told_as_the_books_have_them(tmp_path: Path) -> None:
    def answer(office: Office, today: date) -> None:
        if today == date(2026, 1, 13):
            office.send("refused", most=3)
        if today == date(2026, 1, 15):
            office.send("silent", most=6)
        if today < date(2026, 1, 29):
            office.send()

    office = books(tmp_path / "north.db", answer)
    rows = office.ledger.read
    struck = {tuple(row) for row in rows(
        "select distinct p.dated_by, p.bill from posting p join struck s on s.posting = p.id where p.kind = 'CHARGE'"
        " and not exists (select 1 from posting l where l.line_key = p.line_key and l.number > p.number)")}  # fmt: skip
    asked = {tuple(row) for row in rows(
        "select distinct p.dated_by, p.bill from posting p join outbox o on o.seq = p.send and o.state = 2"
        " where p.kind = 'CHARGE'")}  # fmt: skip
    waiting = {tuple(row) for row in rows(
        "select distinct p.dated_by, p.bill from posting p join outbox o on o.seq = p.send and o.state in (0, 3)"
        " where p.kind = 'CHARGE' and p.family in ('delivery', 'stereotactic')")}  # fmt: skip
    office.close()
    told: dict[str, set[tuple[str, str]]] = {}
    for entry in found_in(tmp_path / "north.db").findings:
        told.setdefault(entry.state, set()).add((entry.event, entry.bill))
    fractions = {name for _, name in told_fractions(20)}

    assert told["refused"] == {row for row in struck if row[0] in fractions} != set()
    assert told["unanswered"] == {row for row in asked if row[0] in fractions} - told["refused"] != set()
    worse = told["refused"] | told["unanswered"] | told["held"]
    assert told["queued"] >= {row for row in waiting if row[0] in fractions} - worse != set()


def test_a_session_that_an_engine_forgot_is_missing(tmp_path: Path) -> None:
    forgotten = "0000001F4"

    def forgetful(events: Any, rulebook: Any, as_of: date | None = None) -> Due:
        due = charges_due(events, rulebook, as_of)
        return due._replace(charges=tuple(c for c in due.charges if forgotten not in (c.dated_by, *c.events)
                                          or c.slot))  # fmt: skip

    books(tmp_path / "north.db", lambda office, _: office.send(), forgetful, count=3).close()
    missing = [e for e in found_in(tmp_path / "north.db").findings if e.state == "missing"]

    assert {e.event for e in missing} == {forgotten}
    assert {e.bill for e in missing} >= {"facility"} or {e.bill for e in missing} == {"global"}


def test_a_unit_too_many_is_a_duplicate(tmp_path: Path) -> None:
    def generous(events: Any, rulebook: Any, as_of: date | None = None) -> Due:
        due = charges_due(events, rulebook, as_of)
        return due._replace(charges=tuple(
            c._replace(units=2) if c.dated_by == "0000001F4" and c.family == "delivery" else c
            for c in due.charges))  # fmt: skip

    books(tmp_path / "north.db", lambda office, _: office.send(), generous, count=3).close()
    double = [(e.event, e.state, e.reason) for e in found_in(tmp_path / "north.db").findings if e.state == "duplicate"]

    assert double == [("0000001F4", "duplicate", "2 stand, 1 due")]


def test_a_credit_that_waits_shows_its_age(tmp_path: Path) -> None:
    office = books(tmp_path / "north.db", lambda office, today: office.send() if today < date(2026, 1, 26) else None)
    waits = office.ledger.read(
        "select p.destination, p.id, p.code, p.modifiers, p.day, p.posted from posting p"
        " join outbox o on o.seq = p.send where p.kind = 'CREDIT' order by p.number"
    )
    office.close()
    expected = [
        CreditWaiting(where, name, "-".join((code, *modifiers.split())), date.fromisoformat(day), "queued",
                      (date(2026, 2, 2) - date.fromisoformat(posted)).days)
        for where, name, code, modifiers, day, posted in waits
    ]  # fmt: skip

    assert found_in(tmp_path / "north.db").credits == expected != []


def test_a_message_put_aside_belongs_to_the_facility_day_on_which_it_was_heard(tmp_path: Path) -> None:
    office = books(tmp_path / "north.db", lambda office, _: office.send(), count=2)
    office.now = datetime(2026, 1, 28, 4, tzinfo=UTC)  # still the 27th in Chicago
    office.hear(b"MSH|^~\\&|NOBODY|X|||20260127||DFT^P03|Z1|P|2.3\rPID|1||1\rFT1|1\r")
    office.work()
    office.close()
    path = tmp_path / "north.db"

    assert [p.place for p in found_in(path, date(2026, 1, 27), date(2026, 1, 27)).parked] == ["MSH-3"]
    assert found_in(path, date(2026, 1, 28), date(2026, 1, 28)).parked == []


def test_a_business_day_without_a_fraction_is_told(accepted: Path) -> None:
    found = found_in(accepted, date(2026, 1, 1), date(2026, 1, 6))
    holidays = SITE.rulebook.holidays

    assert found.silent_days == [day for day in (date(2026, 1, 1), date(2026, 1, 2)) if day not in holidays]


def fraction(number: int | None, day: int, voided: bool = False) -> TreatmentEvent:
    facts = {} if number is None else {"fraction_number": number, "plan": "P"}
    return TreatmentEvent("rv", f"F{day}", "fraction", date(2026, 1, day), course="C1", facts=facts, voided=voided)


def test_a_number_that_nobody_told_is_a_gap_unless_a_void_explains_it() -> None:
    told = [fraction(1, 5), fraction(2, 6), fraction(4, 8), fraction(7, 12)]

    assert [(gap.missing, gap.before) for gap in gaps(1, told)] == [((3,), date(2026, 1, 8)),
                                                                     ((5, 6), date(2026, 1, 12))]  # fmt: skip
    assert [gap.missing for gap in gaps(1, [*told, fraction(None, 7, voided=True)])] == [(5, 6)]


def test_lags_are_summed_up_by_nearest_rank_and_drawn_in_bars() -> None:
    lags = [Lag("PB", str(n), float(n)) for n in range(1, 101)]

    assert figures(lags) == LagFigures(100, 50.5, 95.0, 100.0)
    assert figures([]) == LagFigures(0, 0.0, 0.0, 0.0)
    assert lag_bars(lags) == [("1 s", 1), ("3 s", 2), ("10 s", 7), ("30 s", 20), ("100 s", 70)]
    assert age_bars([0, 1, 3, 100]) == [("today", 1), ("1 d", 1), ("2 d", 0), ("3-4 d", 1), ("5-7 d", 0),
                                        ("8-14 d", 0), ("15-30 d", 0), ("31-60 d", 0), ("over 60 d", 1)]  # fmt: skip
    assert timedelta(seconds=figures(lags).most) == timedelta(seconds=100)
