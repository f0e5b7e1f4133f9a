"""What other tables would change, over real books: foreseen posting by posting, and nothing guessed."""

from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from report_kit import Office, copied, draft, shipped, simulated

from fhir_radcharge.engine.patients import load
from fhir_radcharge.ledger import reader
from fhir_radcharge.patient_stream import asked, books
from fhir_radcharge.rules.charging import charges_due
from fhir_radcharge.site import Site, load_site
from fhir_radcharge.site_edits import site_edits
from fhir_radcharge.whatif.answers import Change, Span, Tally
from fhir_radcharge.whatif.books import Comparer, Foreseen, Side, Unsendable, compared, waits

SITE = shipped()
ALWAYS = Span()

LEVEL = ("rules/level_codes.yaml", 'open: "2", level: [unknown, "2"],    code: "77407", rank: "2"',
         'open: "2", level: [unknown, "2"],    code: "77412", rank: "2"')  # fmt: skip
HOLD = ("rules/level_codes.yaml", 'level: [unknown, "3"],    code: "77412", rank: "3"',
        'level: [unknown, "3"],    code: "77412", rank: "3", hold: level_conflict')  # fmt: skip
PHYSICS = ("rules/counting.yaml", 'code: "77336", from: "2015-01-01", counts: physics, way: every, size: "5"',
           'code: "77336", from: "2015-01-01", counts: physics, way: every, size: "4"')  # fmt: skip
PLACE = ("rules/claims.yaml", "global: none,             facility: hospital, professional: hospital_professional",
         "global: none,             facility: hospital, professional: none")  # fmt: skip
RARE = ("rules/level_codes.yaml", 'level: ["2", "3"],        code: "77402"', 'level: ["2", "3"],        code: "77407"')

NEEDED = ("destinations/facility_biller.yaml", "needs_charge_code: false", "needs_charge_code: true")
NO_ROW = ("chargemaster/demo.csv", "facility_biller,77407,", "facility_biller,77499,")

# What no destination can be told: of a sender that nobody knows, or with a character that its set does not have.
NOBODY = ("senders/plain.yaml", "application: PLAIN", "application: PLAINER")
ASCII = ("destinations/facility_biller.yaml", "charset: UNICODE UTF-8", "charset: ASCII")
ACCENT = ("destinations/facility_biller.yaml", "receiving_facility: LAKESIDE", "receiving_facility: LÁKESIDE")

DRAFTS = {"level": [LEVEL], "hold": [HOLD], "count": [PHYSICS], "claim": [PLACE], "rare": [RARE],
          "needed": [NEEDED, NO_ROW], "nobody": [LEVEL, NOBODY], "ascii": [LEVEL, ASCII, ACCENT]}  # fmt: skip
UNSAID = ("needed", "nobody", "ascii")


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty courses; most is accepted, some refused, some unanswered, the last day still queued."""
    path = tmp_path_factory.mktemp("books") / "north.db"
    office = Office(path, SITE)
    office.activate()

    def answer(office: Office, today: date) -> None:
        if today.day == 12:
            office.send("refused", most=3)
        if today.day == 14:
            office.send("silent", most=12)
        if today < date(2026, 1, 20):
            office.send()

    simulated(office, 30, date(2026, 1, 22), answer)
    office.close()
    return path


class Found(NamedTuple):
    """What a comparison told: its sums, the changed lines, the foreseen postings, and those that cannot be said."""

    tally: Tally
    changes: list[Change]
    postings: list[Foreseen]
    unsendable: list[Unsendable]


def found_under(path: Path, other: Site, span: Span = ALWAYS) -> Found:
    found = Found(Tally(), [], [], [])

    def say(one: Any) -> None:
        if isinstance(one, Foreseen):
            found.postings.append(one)
        elif isinstance(one, Unsendable):
            found.unsendable.append(one)
        else:
            found.changes.append(one[1])

    connection = reader(path)
    compared(connection, Side(SITE, site_edits(SITE, None)), Side(other, site_edits(other, None)), span, found.tally,
             say, lambda _: None)  # fmt: skip
    connection.close()
    return found


@pytest.mark.parametrize("name", DRAFTS)
def test_an_activation_sends_exactly_what_the_dry_run_showed(ledger: Path, tmp_path: Path, name: str) -> None:
    other = load_site(draft(tmp_path, *DRAFTS[name]))
    path = copied(ledger, tmp_path)
    _, _, foreseen, unsendable = found_under(path, other)

    office = Office(path, other)
    ((before,),) = office.ledger.read("select max(number) from posting")
    office.activate()
    office.work()
    sent = office.ledger.read(
        "select patient, id, kind, destination, line_key, bill, course, code, replace(modifiers, ' ', '-'), day,"
        " units, credits, cause from posting where number > ? order by number",
        (before,),
    )
    opened = office.ledger.read(
        "select patient, destination, reason, note from open_item where category = 'unsendable' order by patient, key"
    )
    office.close()

    assert sorted(unsendable) == sorted(opened)
    assert bool(opened) == (name in UNSAID)
    assert [(*one[:9], one.day.isoformat(), *one[10:13]) for one in foreseen] == sent
    assert bool(sent) == (name not in ("rare", "needed", "nobody"))


def test_the_dry_run_of_the_same_tables_shows_nothing(ledger: Path) -> None:
    tally, changes, foreseen, _ = found_under(ledger, SITE)

    assert (tally.changed, changes, foreseen, tally.flags) == (0, [], [], Counter())
    assert tally.recomputed == 0


def test_what_becomes_of_a_credited_charge_is_what_the_books_say(ledger: Path, tmp_path: Path) -> None:
    _, _, foreseen, _ = found_under(ledger, load_site(draft(tmp_path, LEVEL)))
    connection = reader(ledger)
    words = {None: "accepted", 0: "queued", 1: "sent", 2: "unanswered", 3: "blocked"}
    states = {name: words[state] for name, state in connection.execute(
        "select p.id, o.state from posting p left join outbox o on o.seq = p.send")}  # fmt: skip
    connection.close()
    credits = [one for one in foreseen if one.kind == "CREDIT"]

    assert [one.stands_as for one in credits] == [states[one.credits] for one in credits]
    assert {one.stands_as for one in credits} >= {"accepted", "queued", "unanswered"}


def test_a_changed_row_is_one_group_whose_sums_are_the_units_of_its_code(ledger: Path, tmp_path: Path) -> None:
    tally, changes, _, _ = found_under(ledger, load_site(draft(tmp_path, LEVEL)))
    connection = reader(ledger)
    units: Counter[tuple[str, str]] = Counter()
    for book in books(connection):
        events = [saying.event for saying in book.sayings.values()]
        for charge in charges_due(events, SITE.rulebook, waits(connection).as_of).charges:
            if charge.code == "77407" and charge.hold is None:
                units[charge.bill, "-".join((charge.code, *charge.modifiers))] += charge.units
    connection.close()
    ((cause, group),) = tally.folded()

    assert (cause.effect, cause.columns, cause.decided_before, cause.decided_after) == (
        "changed", ("code",), "level_codes/level-2", "level_codes/level-2")  # fmt: skip
    assert group.lines == len(changes) == tally.changed
    assert {key: before - after for key, (before, after) in tally.by_code.items() if "77407" in key[1]} == units


def test_a_row_that_holds_shows_its_lines_as_held_and_credits_them(ledger: Path, tmp_path: Path) -> None:
    tally, changes, foreseen, _ = found_under(ledger, load_site(draft(tmp_path, HOLD)))

    assert {change.effect for change in changes} >= {"held"}
    assert all(change.reason == "level_conflict" for change in changes if change.effect == "held")
    assert {(one.kind, one.cause) for one in foreseen if one.code == "77412"} == {("CREDIT", "held")}
    assert tally.effects["held"] == sum(change.effect == "held" for change in changes)


def test_dates_of_service_bound_what_is_shown(ledger: Path, tmp_path: Path) -> None:
    other = load_site(draft(tmp_path, LEVEL))
    span = Span(date(2026, 1, 12), date(2026, 1, 16))
    _, whole, all_postings, _ = found_under(ledger, other)
    tally, changes, postings, _ = found_under(ledger, other, span)

    assert changes == [c for c in whole if date(2026, 1, 12) <= c.line.day <= date(2026, 1, 16)] != []
    assert postings == [p for p in all_postings if date(2026, 1, 12) <= p.day <= date(2026, 1, 16)]
    assert tally.changed == len(changes)


@pytest.mark.parametrize("name", DRAFTS)
def test_what_is_not_computed_twice_would_have_been_the_same(ledger: Path, tmp_path: Path, name: str) -> None:
    other = load_site(draft(tmp_path, *DRAFTS[name]))
    comparer = Comparer(Side(SITE, None), Side(other, None))
    connection = reader(ledger)
    as_of = waits(connection).as_of
    skipped = 0
    for book in books(connection):
        events = [saying.event for saying in book.sayings.values()]
        answers = comparer.answers(events, as_of)
        skipped += not answers.recomputed

        assert answers.before == charges_due(events, SITE.rulebook, as_of)
        assert answers.after == charges_due(events, other.rulebook, as_of)
    connection.close()

    assert skipped > 0 or name == "count"


def test_a_row_of_other_dates_is_heard_behind_what_is_remembered(ledger: Path, tmp_path: Path) -> None:
    later = ("rules/claims.yaml", "  - {id: claim-hospital,        setting: hospital,",
             "  - {id: claim-hospital-2, from: 2026-01-14, setting: hospital, patient_class: outpatient, global: none,"
             " facility: hospital, professional: none, source: [RVU25D]}\n"
             "  - {id: claim-hospital, to: 2026-01-13, setting: hospital,")  # fmt: skip
    other = load_site(draft(tmp_path, later))
    comparer = Comparer(Side(SITE, None), Side(other, None))
    connection = reader(ledger)
    as_of = waits(connection).as_of
    differing = 0
    for book in books(connection):
        events = [saying.event for saying in book.sayings.values()]
        answers = comparer.answers(events, as_of)
        differing += answers.before != answers.after

        assert answers.after == charges_due(events, other.rulebook, as_of)
    connection.close()

    assert differing > 0


def test_a_patient_read_in_a_block_is_the_patient_read_alone(ledger: Path) -> None:
    connection = reader(ledger)
    for book in books(connection):
        alone = load(asked(connection), book.number)

        assert {key: (s.event, s.account) for key, s in book.sayings.items()} == {
            key: (s.event, s.account) for key, s in alone.sayings.items()}  # fmt: skip
        for name in ("hex", "items", "last", "lines", "message", "struck", "wake"):
            assert getattr(book, name) == getattr(alone, name)
    connection.close()
