"""Several sets of tables, each for its own dates of service: nothing twice, nothing lost, nothing in another's time."""

from collections import Counter, defaultdict
from dataclasses import replace
from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_kit import Office, draft, shipped

from fhir_radcharge.engine.activation import Span, spans_of
from fhir_radcharge.ledger import reader
from fhir_radcharge.model import Charge, Due, TreatmentEvent
from fhir_radcharge.patient_stream import books
from fhir_radcharge.rules.charging import charges_due
from fhir_radcharge.rules.editions import BETWEEN
from fhir_radcharge.rules.rulebook import Earlier, Rulebook
from fhir_radcharge.simulate import messages, run_of
from fhir_radcharge.tables.rulebook import load_rulebook

SITE = shipped()
FIRST = date(2025, 11, 24)
AS_OF = date(2026, 4, 30)
Events = tuple[TreatmentEvent, ...]

FOURS = ("payers.yaml", "knob: mgmt_group_size, from: 2015-01-01, value: 5", "knob: mgmt_group_size, from: 2015-01-01, value: 4")
FIRSTS = ("payers.yaml", "knob: mgmt_date, from: 2015-01-01, value: last", "knob: mgmt_date, from: 2015-01-01, value: first")
RENAMED = ("rules/counting.yaml", 'id: count-77427, code: "77427"', 'id: count-77427, code: "77431"')
CHECKS = ("payers.yaml", "knob: physics_date, from: 2015-01-01, value: fifth_session", "knob: physics_date, from: 2015-01-01, value: check_date")


@pytest.fixture(scope="module")
def patients(tmp_path_factory: pytest.TempPathFactory) -> list[Events]:
    """The events of forty courses with all that goes wrong, over a turn of the year."""
    path = tmp_path_factory.mktemp("books") / "north.db"
    office = Office(path, SITE)
    office.activate()
    raws = [said.raw for said in messages(run_of("torture", 5, FIRST, courses=40), "plain")]
    for start in range(0, len(raws), 500):
        office.hear(*raws[start : start + 500])
    office.work()
    office.close()
    connection = reader(path)
    found = [tuple(saying.event for saying in book.sayings.values()) for book in books(connection)]
    connection.close()
    return found


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Rulebook]:
    """Tables that count, date or name otherwise."""
    edits = {"fours": [FOURS], "firsts": [FIRSTS], "renamed": [RENAMED], "checks": [CHECKS], "both": [FOURS, FIRSTS]}
    return {name: load_rulebook(draft(tmp_path_factory.mktemp(name), *some)) for name, some in edits.items()}


def cut(old: Rulebook, new: Rulebook, *days: date) -> Rulebook:
    """Return the new tables from the last day on, the old ones before, and in turn between."""
    spans = [Earlier(day - timedelta(days=1), old if n % 2 == 0 else new) for n, day in enumerate(days)]
    return replace(new if len(days) % 2 else old, earlier=tuple(spans))


def alike(due: Due) -> tuple[Counter[Charge], Counter[object], date | None]:
    return Counter(due.charges), Counter(due.flags), due.wakes


def unit(charge: Charge) -> tuple[str, str, str]:
    return charge.bill, charge.family, charge.slot.partition("/")[2]


CUT = st.dates(FIRST, date(2026, 3, 31))


@settings(derandomize=True, max_examples=25, deadline=None)
@given(data=st.data())
def test_equal_tables_give_the_same_wherever_they_are_cut(patients: list[Events], data: st.DataObject) -> None:
    events = patients[data.draw(st.integers(0, len(patients) - 1))]
    days = sorted(set(data.draw(st.lists(CUT, min_size=1, max_size=3))))

    composed = charges_due(events, cut(SITE.rulebook, SITE.rulebook, *days), AS_OF)

    assert alike(charges_due(events, SITE.rulebook, AS_OF)) == alike(composed)


@pytest.mark.parametrize("name", ["fours", "firsts", "renamed", "checks", "both"])
@settings(derandomize=True, max_examples=25, deadline=None)
@given(data=st.data())
def test_each_line_lies_in_the_span_of_its_tables_and_each_unit_is_taken_once(
    patients: list[Events], others: dict[str, Rulebook], name: str, data: st.DataObject
) -> None:
    events, day = patients[data.draw(st.integers(0, len(patients) - 1))], data.draw(CUT)
    old, new = charges_due(events, SITE.rulebook, AS_OF), charges_due(events, others[name], AS_OF)

    due = charges_due(events, cut(SITE.rulebook, others[name], day), AS_OF)

    between = [charge for charge in due.charges if charge.hold and "the other's time" in charge.note]
    decided = [charge for charge in due.charges if charge not in between]
    assert [c for c in decided if c.day < day] == [c for c in old.charges if c.day < day]
    assert [c for c in decided if c.day >= day and c not in new.charges] == []
    lines = Counter((unit(c), c.code, c.modifiers) for c in due.charges if c.slot)
    assert [line for line, count in lines.items() if count > 1] == []
    # A unit that both know is there, and a unit of one is there where that one's date is its own.
    assert {unit(c) for c in due.charges if c.slot} == wanted(old, new, day)
    assert [c for c in decided if not c.slot and c.day >= day] == [c for c in new.charges if not c.slot and c.day >= day]


@settings(derandomize=True, max_examples=40, deadline=None)
@given(data=st.data())
def test_in_a_chain_of_three_no_unit_is_taken_twice_and_each_date_has_its_own_tables(
    patients: list[Events], others: dict[str, Rulebook], data: st.DataObject
) -> None:
    events = patients[data.draw(st.integers(0, len(patients) - 1))]
    first, second = sorted([data.draw(CUT), data.draw(CUT)])
    one, two, three = SITE.rulebook, others[data.draw(st.sampled_from(sorted(others)))], others["both"]
    spans = Earlier(first - timedelta(days=1), one), Earlier(second - timedelta(days=1), two)

    due = charges_due(events, replace(three, earlier=spans), AS_OF)

    alone = [Counter(charges_due(events, tables, AS_OF).charges) for tables in (one, two, three)]
    for charge in due.charges:
        if not (charge.hold and "the other's time" in charge.note):
            assert charge in alone[(charge.day >= first) + (charge.day >= second)]
    lines = Counter((unit(c), c.code, c.modifiers) for c in due.charges if c.slot)
    assert [line for line, count in lines.items() if count > 1] == []


def wanted(old: Due, new: Due, day: date) -> set[tuple[str, str, str]]:
    days: dict[tuple[str, str, str], list[tuple[bool, date]]] = defaultdict(list)
    for is_new, due in ((False, old), (True, new)):
        for charge in due.charges:
            if charge.slot:
                days[unit(charge)].append((is_new, charge.day))
    return {
        name
        for name, found in days.items()
        if {is_new for is_new, _ in found} == {False, True} or any(is_new == (when >= day) for is_new, when in found)
    }


def test_a_unit_that_each_dates_into_the_others_time_waits_for_a_person(
    patients: list[Events], others: dict[str, Rulebook]
) -> None:
    events, old = next(
        (events, charge)
        for events in patients
        for charge in charges_due(events, SITE.rulebook, AS_OF).charges
        if charge.slot.startswith("77427") and charge.day.weekday() < 4 and charge.hold is None
        and charge.day - _first_of(events, others["firsts"], charge) > timedelta(days=2)
    )  # fmt: skip
    tables = cut(SITE.rulebook, others["firsts"], old.day - timedelta(days=1))

    held = next(c for c in charges_due(events, tables, AS_OF).charges if c.slot == old.slot and c.bill == old.bill)
    freed = TreatmentEvent("person", "release/1", "release", old.day, course=old.course,
                           facts={"code": old.code, "date": old.day.isoformat(), "reason": BETWEEN})  # fmt: skip
    then = next(
        c for c in charges_due((*events, freed), tables, AS_OF).charges if c.slot == old.slot and c.bill == old.bill
    )

    assert (BETWEEN, old.day) == (held.hold, held.day)
    assert (None, old.day, old.code) == (then.hold, then.day, then.code)


def _first_of(events: Events, rulebook: Rulebook, old: Charge) -> date:
    due = charges_due(events, rulebook, AS_OF)
    return next((c.day for c in due.charges if (c.slot, c.bill) == (old.slot, old.bill)), old.day)


def test_a_chain_of_activations_leaves_to_each_its_dates() -> None:
    new = date(2027, 1, 1)

    assert () == spans_of([])
    assert (Span(None, "a"),) == spans_of([("a", "new 2027-01-01")]), "the first decides all"
    assert (Span(None, "a"), Span(new, "b")) == spans_of([("a", "all"), ("b", "new 2027-01-01")])
    assert (Span(None, "a"), Span(new, "c")) == spans_of([("a", "all"), ("b", "new 2027-03-01"), ("c", "new 2027-01-01")])
    assert (Span(None, "a"), Span(new, "b")) == spans_of([("a", "new"), ("b", "new 2027-01-01"), ("b", "new 2027-05-01")])
    assert (Span(None, "c"),) == spans_of([("a", "all"), ("b", "new 2027-01-01"), ("c", "all")])
