"""Which line became which, why, and folded by cause: plain lines, no books."""

from datetime import date
from pathlib import Path

from project import MAPPINGS

from fhir_radcharge.model import Charge, Due, Flag, Why
from fhir_radcharge.tables.rulebook import load_rulebook
from fhir_radcharge.whatif.answers import Cause, Span, Tally, changed_rows, changes

DAY = date(2026, 1, 5)


def line(code: str, *, event: str = "F1", slot: str = "", hold: str | None = None, row: str = "level-2", units: int = 1,
         day: date = DAY, family: str = "delivery", bill: str = "global", course: str = "C1") -> Charge:  # fmt: skip
    why = (Why("claims", "office"), Why("level_codes", row), Why("components", "part-office"))
    return Charge(bill, course, code, (), day, None, units, "11", None, False, hold, family, slot, event, (event,), why)  # type: ignore[arg-type]


def due(*charges: Charge, flags: tuple[Flag, ...] = ()) -> Due:
    return Due(charges, flags)


def told(before: Due, after: Due) -> list[tuple[str, tuple[str, ...], str, str, str]]:
    return [(c.effect, c.columns, c.decided_before, c.decided_after, c.reason)
            for c in changes(before, after, frozenset())]  # fmt: skip


def test_equal_answers_hold_no_change() -> None:
    assert changes(due(line("77407"), line("77336", slot="s")), due(line("77407"), line("77336", slot="s")),
                   frozenset()) == []  # fmt: skip


def test_another_code_of_one_session_is_one_changed_line() -> None:
    assert told(due(line("77407")), due(line("77412", row="level-3"))) == [
        ("changed", ("code",), "level_codes/level-2", "level_codes/level-3", "")
    ]


def test_a_counted_unit_that_moves_is_one_changed_line() -> None:
    before = line("77427", slot="management/C1/1", event="F5", day=date(2026, 1, 9))
    after = line("77427", slot="management/C1/1", event="F6", day=date(2026, 1, 12))

    assert [(c.effect, c.columns) for c in changes(due(before), due(after), frozenset())] == [("changed", ("day",))]


def test_a_line_that_waits_now_is_held_and_the_other_way_released() -> None:
    sent, held = line("77407"), line("77407", hold="level_conflict")

    assert told(due(sent), due(held))[0][0::4] == ("held", "level_conflict")
    assert told(due(held), due(sent))[0][0::4] == ("released", "level_conflict")


def test_a_line_without_a_partner_was_added_or_dropped() -> None:
    guidance = line("77387", family="guidance", event="G1")

    assert told(due(line("77407"), guidance), due(line("77407"))) == [
        ("dropped", (), "components/part-office", "nothing", "")
    ]
    assert told(due(), due(guidance)) == [("added", (), "nothing", "components/part-office", "")]


def test_a_line_whose_place_a_work_item_takes_says_so() -> None:
    flag = Flag("insufficient_facts", "C1", DAY, ("F1",))

    assert told(due(line("77407")), due(flags=(flag,)))[0][4] == "insufficient_facts"


def test_a_row_of_other_content_decided_even_where_its_name_is_the_same() -> None:
    (change,) = changes(due(line("77407")), due(line("77412")), frozenset({("level_codes", "level-2")}))

    assert (change.decided_before, change.decided_after) == ("level_codes/level-2", "level_codes/level-2")


def test_two_alike_sessions_of_a_day_are_told_apart_by_their_events() -> None:
    before = due(line("77407", event="F1"), line("77407", event="F2", units=2))
    after = due(line("77412", event="F1"), line("77407", event="F2", units=2))

    assert [(c.before and c.before.dated_by, c.after and c.after.code) for c in changes(before, after, frozenset())] == [
        ("F1", "77412")
    ]


def test_lines_changed_for_one_cause_are_one_group() -> None:
    tally = Tally()
    for number in (1, 2, 3):
        before = due(*(line("77407", event=f"F{n}", day=date(2026, 1, n)) for n in (5, 6)))
        after = due(*(line("77412", row="level-3", event=f"F{n}", day=date(2026, 1, n)) for n in (5, 6)))
        tally.add(str(number), before, after, changes(before, after, frozenset()), Span())
    ((cause, group),) = tally.folded()

    assert cause == Cause("changed", ("code",), "level_codes/level-2", "level_codes/level-3", "")
    assert (group.lines, group.courses) == (6, 3)
    assert group.codes == {("global", "77407", "77412"): 6}
    assert tally.by_code == {("global", "77407"): [6, 0], ("global", "77412"): [0, 6]}
    assert (tally.unchanged, tally.changed) == (0, 6)


def test_changed_rows_are_those_of_other_content_new_ones_and_gone_ones(tmp_path: Path) -> None:
    rulebook = load_rulebook(MAPPINGS)
    first = rulebook.tables["level_codes"].rows[0]

    assert changed_rows(rulebook, rulebook) == frozenset()
    tables = dict(rulebook.tables)
    table = tables["level_codes"]
    edited = (first._replace(gives={**first.gives, "code": "77407"}), *table.rows[2:], first._replace(id="new"))
    tables["level_codes"] = type(table)(table.name, table.asks, table.gives, edited, table.first_match, table.start,
                                        table.end)  # fmt: skip
    other = type(rulebook)(tables, rulebook.counting, rulebook.exclusions, rulebook.sites, rulebook.policy,
                           rulebook.catalogue, rulebook.reasons, rulebook.holidays, "draft")  # fmt: skip

    assert changed_rows(rulebook, other) == {("level_codes", first.id), ("level_codes", table.rows[1].id),
                                             ("level_codes", "new")}  # fmt: skip
