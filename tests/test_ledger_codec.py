"""What is written is read back as the same value, and the same value is always spelled the same."""

from datetime import date, datetime
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_radcharge.ledger.codec import (
    event_body,
    event_content,
    event_key,
    line_fields,
    read_event,
    read_line,
    read_why,
    revision_order,
    revision_text,
    why_text,
)
from fhir_radcharge.model import Charge, Place, Reported, TreatmentEvent, Why

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
PLAIN = st.one_of(TEXT, st.integers(), st.booleans(), st.none(), st.floats(allow_nan=False, allow_infinity=False))
ODD = st.one_of(
    st.dates(), st.datetimes(), st.decimals(allow_nan=False, allow_infinity=False), st.lists(TEXT), st.frozensets(TEXT),
    st.lists(PLAIN).map(tuple), st.dictionaries(TEXT, PLAIN),
)  # fmt: skip
REPORTED = st.builds(
    Reported, code=TEXT, modifiers=st.lists(TEXT).map(tuple), units=st.none() | st.integers()
)  # fmt: skip
EVENTS = st.builds(
    TreatmentEvent, source=TEXT, id=TEXT, kind=st.just("service"), day=st.dates(),
    minute=st.none() | st.integers(0, 1439),
    course=st.none() | TEXT, facts=st.dictionaries(TEXT, PLAIN | ODD, max_size=5),
    place=st.builds(Place, setting=st.just("hospital"), campus=st.just("on"), ownership=st.just("single")),
    reported=st.none() | REPORTED,
    provider=st.none() | TEXT, lacks=st.frozensets(st.sampled_from(["diagnosis", "authorization"])),
    revision=st.lists(st.integers() | TEXT, max_size=3).map(tuple),
    voided=st.booleans(), message=st.integers(0, 9),
)  # fmt: skip


@settings(max_examples=200, derandomize=True, deadline=None)
@given(EVENTS)
def test_an_event_is_read_back_as_it_was(event: TreatmentEvent) -> None:
    revision = revision_text(event.revision)

    back = read_event(
        event.source, event.id, event.kind, revision, int(event.voided), event.message, event_body(event)
    )

    assert back == event
    assert event_body(back) == event_body(event)


def test_the_order_of_facts_is_no_content() -> None:
    facts = {"b": 1, "a": date(2026, 3, 2), "c": (1, "x")}
    one = TreatmentEvent("RV", "E1", "service", date(2026, 3, 2), facts=facts)
    other = one._replace(facts=dict(reversed(facts.items())))

    assert event_body(one) == event_body(other)
    assert event_content("service", "", False, event_body(one)) != event_content("exam", "", False, event_body(one))


def test_a_fact_without_a_spelling_is_refused() -> None:
    with pytest.raises(TypeError, match="no spelling"):
        event_body(TreatmentEvent("RV", "E1", "service", date(2026, 3, 2), facts={"a": {1, 2}}))


def test_counted_ids_lie_side_by_side() -> None:
    assert event_key("RV", "FX-001234")[:-2] == event_key("RV", "FX-001299")[:-2]
    assert event_key("RV", "FX-001234") != event_key("RV", "FX-001235")
    assert event_key("RV", "FX-001234") != event_key("OTHER", "FX-001234")


def test_revisions_sort_as_numbers_and_across_kinds() -> None:
    told = [(), (2,), (10,), (10, "a"), ("1",), (None,), (Decimal(3),), (datetime(2026, 3, 2),)]

    ordered = sorted(told, key=lambda revision: revision_order(revision_text(revision), False, b""))

    assert [each for each in ordered if each in ((2,), (10,), (10, "a"))] == [(2,), (10,), (10, "a")]
    assert revision_order("[1]", True, b"\0") > revision_order("[1]", False, b"\xff")


def test_a_line_is_read_back_without_its_trace() -> None:
    why = (Why("imrt", "row-1", (("technique", "imrt"),)),)
    charge = Charge(
        "professional", "C1", "77427", ("26", "XE"), date(2026, 3, 2), date(2026, 3, 6), 1, "22", "123", True, None,
        "management", "management/C1/1", "E5", ("E1", "E5"), why, "five sessions", True,
    )  # fmt: skip

    line = read_line(
        ("ID", "CHARGE", "live", "PB", "C1", "key", *line_fields(charge), 1, None, 7, "account", 3, 4)
    )

    assert line.charge == charge._replace(events=(), why=(), note="")
    assert (line.id, line.units, line.message, line.send, line.patient) == ("ID", 1, 7, 3, 4)
    assert read_why(why_text(charge)) == (("E1", "E5"), why, "five sessions")
