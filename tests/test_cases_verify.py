"""Verifying: lines compared in full, books that unfold, flags, and a report that a biller can read."""

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from fhir_radcharge.cases.comparing import unmatched
from fhir_radcharge.cases.lines import Line, parsed, written
from fhir_radcharge.errors import RuleError, TableError
from fhir_radcharge.model import Charge, Due, Flag, TreatmentEvent
from fhir_radcharge.rules.rulebook import Rulebook
from fhir_radcharge.tables.policy import load_catalogue, load_policy, load_reasons
from fhir_radcharge.verify import CaseResult, CaseTables, report, verify

MAPPINGS = Path(__file__).parent.parent / "mappings"
RULEBOOK = Rulebook(
    tables=MappingProxyType({}),
    counting=(),
    exclusions=(),
    sites=(),
    policy=load_policy([MAPPINGS / "payers.yaml"]),
    catalogue=load_catalogue(MAPPINGS / "codes.csv"),
    reasons=load_reasons(MAPPINGS / "reasons.yaml"),
    holidays=frozenset(),
    digest="",
)
HEAD = "- id: X1\n  title: A case\n  sources: [ASTRO16]\n  confidence: high\n  course: {id: C1}\n"
FRACTION = '{kind: fraction, id: F1, at: "2025-03-03", technique: imrt}'
BILL = {"freestanding": "global", "hospital": "facility", "physician": "professional"}


def charge(bill: str, text: str, slot: str = "") -> Charge:
    """Return a charge as a rule would make it, from the words of a case."""
    (line,) = parsed(text)
    return Charge(
        bill=BILL[bill],  # type: ignore[arg-type]
        course="C1", code=line.code, modifiers=line.modifiers, day=line.day, end=line.end, units=line.units,
        place_of_service=line.pos or "11", provider=line.by, packaged=line.packaged, hold=line.hold,
        family=RULEBOOK.catalogue.family(line.code) or "", slot=slot or f"{line.code}/{line.day}", dated_by="F1",
        events=("F1",), why=(),
    )


class Rule:
    """Stands in for the rules: answers each call with the next of the given answers, and keeps what was asked."""

    def __init__(self, *answers: Due | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[dict[str, Any]] = []

    def __call__(
        self,
        events: Sequence[TreatmentEvent],
        rulebook: Rulebook,
        as_of: date | None = None,
        assume: frozenset[str] = frozenset(),
        tables: CaseTables | None = None,
    ) -> Due:
        self.asked.append({"events": events, "rulebook": rulebook, "as_of": as_of, "assume": assume, "tables": tables})
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def verdicts(tmp_path: Path, text: str, rule: Rule) -> list[CaseResult]:
    path = tmp_path / "cases.yaml"
    path.write_text(HEAD + text)
    return list(verify([path], RULEBOOK, rule))


def simple(tmp_path: Path, expect: str, *charges: Charge, flags: tuple[Flag, ...] = (), head: str = "") -> list[str]:
    """Return the differences of a one-step hospital case."""
    text = f"{head}  events: [{FRACTION}]\n  expect: {{hospital: [{expect}]}}\n"
    (result,) = verdicts(tmp_path, text, Rule(Due(charges, flags)))
    assert result.ok is not bool(result.differences)
    return list(result.differences)


def test_a_case_is_ok_when_each_bill_carries_what_it_must(tmp_path: Path) -> None:
    text = f"  events: [{FRACTION}]\n"
    text += '  expect: {freestanding: ["G6015 @ 2025-03-03"], hospital: ["77386 @ 2025-03-03"], physician: []}\n'
    rule = Rule(
        Due((charge("freestanding", "G6015 @ 2025-03-03"),), ()), Due((charge("hospital", "77386 @ 2025-03-03"),), ())
    )

    assert verdicts(tmp_path, text, rule) == [
        CaseResult("X1", "freestanding", True, ()), CaseResult("X1", "hospital", True, ()),
    ]


def test_what_is_missing_and_what_is_too_much_is_told_in_the_words_of_a_case(tmp_path: Path) -> None:
    told = simple(
        tmp_path,
        '"77386 @ 2025-03-03, 2025-03-04", "HOLD mue_edit 77336 @ 2025-03-03"',
        charge("hospital", "77385 @ 2025-03-03"),
        charge("hospital", "77385 @ 2025-03-04"),
        charge("hospital", "77336 @ 2025-03-03"),
    )

    assert told == [
        "hospital: expected but missing: 77386 @ 2025-03-03, 2025-03-04",
        "hospital: expected but missing: HOLD mue_edit 77336 @ 2025-03-03",
        "hospital: not expected: 77336 @ 2025-03-03",
        "hospital: not expected: 77385 @ 2025-03-03, 2025-03-04",
    ]


def test_a_bill_that_is_left_out_and_a_family_that_is_not_compared_are_ignored(tmp_path: Path) -> None:
    charges = (
        charge("hospital", "77386 @ 2025-03-03"),
        charge("hospital", "77336 @ 2025-03-03"),
        charge("physician", "77427 @ 2025-03-03"),
    )

    assert simple(tmp_path, '"77386 @ 2025-03-03"', *charges, head="  compare: [delivery]\n") == []
    assert simple(tmp_path, '"77386 @ 2025-03-03"', *charges) == ["hospital: not expected: 77336 @ 2025-03-03"]


def test_lines_alike_are_one_line_with_summed_units(tmp_path: Path) -> None:
    charges = (charge("hospital", "77402 @ 2025-03-03", "a"), charge("hospital", "77402 @ 2025-03-03", "b"))

    assert simple(tmp_path, '"77402 x2 @ 2025-03-03"', *charges) == []
    assert simple(tmp_path, '"77402 @ 2025-03-03"', *charges) == [
        "hospital: expected but missing: 77402 @ 2025-03-03",
        "hospital: not expected: 77402 x2 @ 2025-03-03",
    ]


@pytest.mark.parametrize(
    ("wanted", "given", "left"),
    [
        (["77427 @ 2025-03-03"], ["77427 @ 2025-03-03 pos 22 by A"], ((), ())),
        (["77427 @ 2025-03-03 pos 22"], ["77427 @ 2025-03-03 pos 22 by A"], ((), ())),
        (
            ["77427 @ 2025-03-03 pos 21"], ["77427 @ 2025-03-03 pos 22 by A"],
            (("77427 @ 2025-03-03 pos 21",), ("77427 @ 2025-03-03 pos 22",)),
        ),
        (
            ["77427 @ 2025-03-03 by B"], ["77427 @ 2025-03-03 pos 22 by A"],
            (("77427 @ 2025-03-03 by B",), ("77427 @ 2025-03-03 by A",)),
        ),
        (["77427 x2 @ 2025-03-03"], ["77427 @ 2025-03-03 by A", "77427 @ 2025-03-03 by B"], ((), ())),
        (
            ["77427 @ 2025-03-03", "77427 @ 2025-03-03 by B"], ["77427 @ 2025-03-03 by A", "77427 @ 2025-03-03 by B"],
            ((), ()),
        ),
        (
            ["77402 @ 2025-03-03 packaged"], ["77402 @ 2025-03-03"],
            (("77402 @ 2025-03-03 packaged",), ("77402 @ 2025-03-03",)),
        ),
        (["77402-76 @ 2025-03-03"], ["77402 @ 2025-03-03"], (("77402-76 @ 2025-03-03",), ("77402 @ 2025-03-03",))),
        (
            ["77427 @ 2025-03-03..2025-03-07"], ["77427 @ 2025-03-03"],
            (("77427 @ 2025-03-03..2025-03-07",), ("77427 @ 2025-03-03",)),
        ),
    ],
)
def test_a_line_is_compared_in_all_that_the_case_states(
    wanted: list[str], given: list[str], left: tuple[tuple[str, ...], tuple[str, ...]]
) -> None:
    def lines(texts: list[str]) -> list[Line]:
        return [line for text in texts for line in parsed(text)]

    lacking, beyond = unmatched(lines(wanted), lines(given))

    assert (written(lacking), written(beyond)) == left


def test_a_flag_may_be_raised_by_itself_or_by_a_hold_and_others_are_ignored(tmp_path: Path) -> None:
    held = charge("hospital", "HOLD mue_edit 77386 @ 2025-03-03")
    flags = (Flag("course_gap", "C1", None, ()), Flag("inpatient", "C1", None, ()))
    expect = '"HOLD mue_edit 77386 @ 2025-03-03", "FLAG course_gap", "FLAG mue_edit"'

    assert simple(tmp_path, expect, held, flags=flags) == []
    assert simple(tmp_path, '"FLAG no_code"', flags=flags) == ["hospital: expected but missing: FLAG no_code"]


UNFOLDING = (
    f"  steps:\n    - events: [{FRACTION}]\n"
    '      expect: {hospital: ["77336 @ 2025-03-07"]}\n'
    '    - events: [{kind: void, id: V1, at: "2025-03-08", of: F1}]\n'
    '      emits: {hospital: ["CREDIT 77336 @ 2025-03-07", "CHARGE 77336 @ 2025-03-10"]}\n'
    '      expect: {hospital: ["77336 @ 2025-03-10"]}\n'
)


def test_a_step_emits_the_difference_to_what_stands(tmp_path: Path) -> None:
    first = Due((charge("hospital", "77336 @ 2025-03-07", "physics/C1/1"),), ())
    moved = Due((charge("hospital", "77336 @ 2025-03-10", "physics/C1/1"),), ())

    assert verdicts(tmp_path, UNFOLDING, Rule(first, moved)) == [CaseResult("X1", "hospital", True, ())]
    assert verdicts(tmp_path, UNFOLDING, Rule(first, first))[0].differences == (
        "step 2, hospital: should be newly sent: CREDIT 77336 @ 2025-03-07",
        "step 2, hospital: should be newly sent: CHARGE 77336 @ 2025-03-10",
        "step 2, hospital: expected but missing: 77336 @ 2025-03-10",
        "step 2, hospital: not expected: 77336 @ 2025-03-07",
    )


def test_a_sent_date_that_is_kept_is_what_stands(tmp_path: Path) -> None:
    first = charge("hospital", "77336 @ 2025-03-07", "physics/C1/1")
    moved = charge("hospital", "77336 @ 2025-03-10", "physics/C1/1")._replace(keeps_date=True)
    text = UNFOLDING.split("      emits")[0] + "      emits: {hospital: []}\n"
    text += '      expect: {hospital: ["77336 @ 2025-03-07", "FLAG date_variance"]}\n'

    rule = Rule(Due((first._replace(keeps_date=True),), ()), Due((moved,), ()))

    assert verdicts(tmp_path, text, rule) == [CaseResult("X1", "hospital", True, ())]


def test_fewer_units_credit_a_part_and_the_rest_stands(tmp_path: Path) -> None:
    text = UNFOLDING.replace("77336 @ 2025-03-07", "77334 x5 @ 2025-03-07")
    text = text.replace('"CREDIT 77334 x5 @ 2025-03-07", "CHARGE 77336 @ 2025-03-10"', '"CREDIT 77334 x2 @ 2025-03-07"')
    text = text.replace("77336 @ 2025-03-10", "77334 x3 @ 2025-03-07")
    five = charge("hospital", "77334 x5 @ 2025-03-07", "s")

    rule = Rule(Due((five,), ()), Due((five._replace(units=3),), ()))

    assert verdicts(tmp_path, text, rule) == [CaseResult("X1", "hospital", True, ())]


def test_the_rules_are_asked_with_the_policy_and_tables_of_the_case(tmp_path: Path) -> None:
    text = '  policy: {bid_second_session: "76"}\n  tables: {mue: {"77334": 10}, no_charge_code: ["77387"]}\n'
    text += f'  assume: [physics]\n  events: [{FRACTION}, {{kind: day, at: "2025-03-09"}}]\n'
    text += "  expect: {hospital: []}\n"
    rule = Rule(Due((), ()))

    verdicts(tmp_path, text, rule)

    (asked,) = rule.asked
    assert asked["rulebook"].policy.knobs("cpt_set", date(2025, 3, 3))["bid_second_session"] == "76"
    assert (asked["as_of"], asked["assume"]) == (date(2025, 3, 9), {"physics"})
    assert asked["tables"].unit_limit("77334", "hospital", date(2025, 3, 3)) == 10
    assert asked["tables"].listed("77417", "hospital", date(2025, 3, 3)) is None
    codes = ("77386", "77387")
    lacking = [asked["tables"].lacks_charge_code(charge("hospital", f"{code} @ 2025-03-03")) for code in codes]
    assert lacking == [False, True]


def test_a_case_that_the_rules_cannot_answer_differs_and_the_next_goes_on(tmp_path: Path) -> None:
    one = f"  events: [{FRACTION}]\n  expect: {{hospital: []}}\n"
    text = one + HEAD.replace("X1", "X2") + one

    assert verdicts(tmp_path, text, Rule(RuleError("imrt: two rows"), Due((), ()))) == [
        CaseResult("X1", "hospital", False, ("cannot be computed: imrt: two rows",)),
        CaseResult("X2", "hospital", True, ()),
    ]


def test_a_file_that_is_not_in_form_is_refused_before_anything_runs(tmp_path: Path) -> None:
    rule = Rule()

    with pytest.raises(TableError, match=r"cases\.yaml:6: X1: evens: unknown key"):
        verdicts(tmp_path, f"  evens: [{FRACTION}]\n  expect: {{hospital: []}}\n", rule)

    assert rule.asked == []


def test_the_report_has_one_line_for_each_case_and_says_what_differs() -> None:
    results = [
        CaseResult("A01", "freestanding", True, ()),
        CaseResult("A01", "hospital", True, ()),
        CaseResult("A02", "freestanding", True, ()),
        CaseResult("A02", "hospital", False, ("hospital: not expected: 77402 @ 2025-03-03",)),
    ]

    assert list(report(results)) == [
        "A01  ok",
        "A02  DIFFERS",
        "  run hospital: hospital: not expected: 77402 @ 2025-03-03",
        "2 cases, 1 differs",
    ]
    assert list(report(results[:2])) == ["A01  ok", "1 case, all ok"]
