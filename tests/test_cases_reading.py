"""Case files: the shipped ones are in form, and every mistake is answered with file, line and a way out."""

import re
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_radcharge.cases.reading import Case, load_cases
from fhir_radcharge.errors import TableError
from fhir_radcharge.tables.policy import load_catalogue, load_policy, load_reasons, load_sources

ROOT = Path(__file__).parent.parent
MAPPINGS = ROOT / "mappings"
VALUE = re.compile(r'"[^"\n]*"|(?<=[ \[{])[\w-]+(?=[,\]}\n:])')  # keys too
TABLES = (
    load_catalogue(MAPPINGS / "codes.csv"),
    load_policy([MAPPINGS / "payers.yaml"]),
    load_reasons(MAPPINGS / "reasons.yaml"),
)
GOOD = """\
- id: X1
  title: A case
  sources: [ASTRO16]
  confidence: high
  compare: [delivery, guidance]
  policy: {bid_second_session: units}
  tables: {mue: {"77334": 10}, ptp: [["77295", "77336", 1]]}
  course: {id: C1, prescribed_fractions: 2, missing: [diagnosis]}
  events:
    - {kind: fraction, id: F1, at: "2025-03-03T09:00", technique: imrt, energy_mv: 6, wedge: false}
    - {kind: guidance, id: G1, at: "2025-03-03T08:55", modality: ct, fraction: F1}
    - {kind: amend, id: A1, at: "2025-03-04", of: F1, set: {technique: 3d, areas: 2}}
  expect:
    freestanding: ["G6015 @ 2025-03-03", "77014 @ 2025-03-03"]
    hospital: ["77386 @ 2025-03-03", "77014 @ 2025-03-03 packaged"]
    physician: ["77014-26 @ 2025-03-03"]
"""
UNFOLDING = """\
- id: X2
  title: A case that unfolds
  sources: [ASTRO16]
  confidence: low
  course: [{id: C1}, {id: C2}]
  steps:
    - events: [{kind: fraction, id: F1, at: "2025-03-03", technique: imrt, course: C1}]
      expect: {physician: []}
    - events: [{kind: void, id: V1, at: "2025-03-04", of: F1, course: C1}]
      emits: {physician: ["CREDIT 77427 @ 2025-03-03", "CHARGE 77427 @ 2025-03-04"]}
      expect: {physician: ["HOLD no_physician_exam 77427 @ 2025-03-04", "FLAG course_gap"]}
"""


def read(tmp_path: Path, *texts: str) -> tuple[Case, ...]:
    paths = [tmp_path / f"cases{number}.yaml" for number, _ in enumerate(texts, 1)]
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text)
    return load_cases(paths, *TABLES)


def told(tmp_path: Path, *texts: str) -> list[str]:
    with pytest.raises(TableError) as caught:
        read(tmp_path, *texts)
    return str(caught.value).replace(f"{tmp_path}/", "").split("\n")


def test_the_shipped_cases_are_in_form() -> None:
    counts = {}
    for name in ("delivery", "course"):
        cases = load_cases([ROOT / "fixtures" / "cases" / f"{name}.yaml"], *TABLES)
        steps = [step for case in cases for step in case.steps]
        bills = [bill for step in steps for bill in step.expect.values()]
        lines = sum(len(bill.lines) for bill in bills)
        counts[name] = (len(cases), len(steps), sum(len(step.told) for step in steps), lines)

    assert counts == {"delivery": (159, 168, 307, 586), "course": (115, 140, 1624, 1431)}


def test_every_source_of_a_shipped_case_is_known() -> None:
    sources = load_sources(MAPPINGS / "sources.yaml")
    cases = load_cases([ROOT / "fixtures" / "cases" / f"{name}.yaml" for name in ("delivery", "course")], *TABLES)

    assert {key for case in cases for key in case.form.sources} - sources.keys() == set()


def test_a_good_case_is_read_whole(tmp_path: Path) -> None:
    case, unfolding = read(tmp_path, GOOD, UNFOLDING)

    assert (case.id, case.line, case.policy) == ("X1", 1, {"bid_second_session": "units"})
    assert [told.id for told in case.steps[0].told] == ["F1", "G1", "A1"]
    assert [len(step.emits) for step in unfolding.steps] == [0, 1]


def test_an_amendment_holds_what_the_event_is_from_then_on(tmp_path: Path) -> None:
    (case,) = read(tmp_path, GOOD)
    amended = case.steps[0].told[2]

    assert (amended.kind, amended.subject) == ("amend", "F1")
    assert amended.form.facts() == {"areas": 2, "energy_mv": 6, "technique": "3d", "wedge": False}


def test_a_shorthand_becomes_numbered_sessions(tmp_path: Path) -> None:
    text = GOOD.replace(
        '{kind: fraction, id: F1, at: "2025-03-03T09:00"',
        '{kind: fractions, first: 1, at: ["2025-03-03T09:00", "2025-03-04"]',
    )
    (case,) = read(tmp_path, text)

    assert [(told.id, told.kind, told.form.at.text) for told in case.steps[0].told][:2] == [
        ("F1", "fraction", "2025-03-03T09:00"), ("F2", "fraction", "2025-03-04"),
    ]


def test_an_event_without_an_id_is_named_by_kind_and_position(tmp_path: Path) -> None:
    (case,) = read(tmp_path, GOOD.replace("id: G1, ", ""))

    assert case.steps[0].told[1].id == "guidance2"


def test_all_mistakes_of_all_files_are_told_at_once(tmp_path: Path) -> None:
    problems = told(
        tmp_path, GOOD.replace("high", "sure").replace("modality: ct", "modality: mri"), GOOD.replace("title", "titel")
    )

    assert problems == [
        "cases1.yaml:4: X1: confidence: Input should be 'high', 'medium', 'low' or 'conflict' (found 'sure')",
        "cases2.yaml:1: X1: title: is missing; write it",
        "cases2.yaml:2: X1: titel: unknown key; did you mean 'title'?",
    ]


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        # the case
        ("  title: A case\n", "", ":1: X1: title: is missing; write it"),
        ("confidence: high", "confidense: high", ":4: X1: confidense: unknown key; did you mean 'confidence'?"),
        ("confidence: high", "confidence: certain", ":4: X1: confidence: Input should be 'high', 'medium'"),
        ("sources: [ASTRO16]", "sources: []", ":3: X1: sources: "),
        ("compare: [delivery, guidance]", "compare: [delivery, imaging]", ":5: X1: compare[2]: Input should be"),
        ("  policy:", "  payer: medicaid\n  policy:", ":6: X1: payer 'medicaid' has no profile; write one of medicare"),
        ("  policy:", "  campus: on\n  policy:", ':6: on would be changed by YAML; write "on" in quotes'),
        ("  policy:", "  campus: far\n  policy:", ":6: X1: campus: Input should be 'on', 'off_excepted'"),
        ("  policy:", "  assume: [images]\n  policy:", ":6: X1: assume[1]: Input should be 'exams'"),
        ("  policy:", "  title: again\n  policy:", ":6: key 'title' stands twice (first on line 2); keep one"),
        ("  policy:", "  steps: []\n  policy:", ":10: X1: events stands beside steps; move it into a step"),
        # knobs and tables
        ("bid_second_session: units", "bid_second: units", ":6: X1: policy: no knob is called 'bid_second'"),
        ("bid_second_session: units", "bid_second_session: 76", ':6: X1: policy: bid_second_session takes units or'),
        ("policy: {bid_second_session: units}", "policy: [units]", ":6: X1: policy: write knobs as {name: value}"),
        ('{"77334": 10}', '{"77334": ten}', ":7: X1: tables.mue.77334: write a whole number without quotes"),
        ('{"77334": 10}', '{"77343": 10}', ":7: X1: tables: 77343 is not in the code catalogue; correct it"),
        ('["77295", "77336", 1]', '["77295", "77336", 2]', ":7: X1: tables.ptp[1]"),
        ('["77295", "77336", 1]', '["77295", 77336, 1]', ':7: X1: tables.ptp[1][2]: write it in quotes: "77336"'),
        # the course
        ("id: C1, prescribed", "name: C1, prescribed", ":8: X1: course: id: is missing; write it"),
        ("prescribed_fractions: 2,", 'prescribed_fractions: "2",', ":8: X1: course: prescribed_fractions: write a"),
        ("missing: [diagnosis]", "missing: [consent]", ":8: X1: course: missing[1]: Input should be 'diagnosis'"),
        # events
        ("kind: fraction,", "kind: session,", ":10: X1: event 1: kind 'session' is not known; write one of fraction"),
        ("kind: fraction, ", "", ":10: X1: event 1: kind is missing; write one of fraction"),
        ('at: "2025-03-03T09:00", ', "", ":10: X1: event 1 (F1): at: is missing; write it"),
        ('"2025-03-03T09:00"', "2025-03-03", ':10: X1: event 1 (F1): at: write it in quotes: "2025-03-03"'),
        ('"2025-03-03T09:00"', '"2025-03-03 09:00"', ':10: X1: event 1 (F1): at: write "2026-01-31" or'),
        ('"2025-03-03T09:00"', '"2025-02-30"', ':10: X1: event 1 (F1): at: write "2026-01-31" or'),
        ('"2025-03-03T09:00"', '"2025-03-03T24:00"', ':10: X1: event 1 (F1): at: write "2026-01-31" or'),
        ("technique: imrt,", "technique: vmat,", ":10: X1: event 1 (F1): technique: Input should be '2d', '3d'"),
        ("energy_mv: 6", "energy_mv: six", ":10: X1: event 1 (F1): energy_mv: write a number without quotes"),
        ("wedge: false", "wedge: no", ':10: no would be changed by YAML; write "no" in quotes'),
        ("wedge: false", "wedge: 0", ":10: X1: event 1 (F1): wedge: write true or false (found '0')"),
        ("wedge: false", "wedgie: false", ":10: X1: event 1 (F1): wedgie: unknown key; did you mean 'wedge'?"),
        ("wedge: false", "level: 4", ":10: X1: event 1 (F1): level: Input should be less than or equal to 3"),
        ("id: G1", "id: F1", ":11: X1: event 2: id F1 stands twice; choose another"),
        ("modality: ct, ", "", ":11: X1: event 2 (G1): modality: is missing; write it"),
        ("fraction: F1", "fraction: F9", ":11: X1: event 2 (G1): fraction: no fraction 'F9'; name its id"),
        ("fraction: F1", "course: C2", ":11: X1: event 2: no course 'C2'; the case has C1"),
        ("kind: amend, id: A1", "kind: approval, id: A1", ":12: X1: event 3 (A1): set: unknown key"),
        (", set: {technique: 3d, areas: 2}", ", why: x", ":12: X1: event 3 (A1): why: unknown key"),
        ("of: F1", "of: F9", ":12: X1: event 3 (A1): of: no event 'F9' that it can speak of; name its id"),
        ("of: F1", "of: A1", ":12: X1: event 3 (A1): of: no event 'A1' that it can speak of; name its id"),
        ("set: {technique: 3d, areas: 2}", "set: {kind: exam}", ":12: X1: event 3 (A1): set: kind cannot be amended"),
        ("areas: 2}", "modality: ct}", ":12: X1: event 3 (A1): modality: unknown key"),
        ("areas: 2}", "areas: many}", ":12: X1: event 3 (A1): areas: write a whole number without quotes"),
        # bills and lines
        ("    physician:", "    doctor:", ":16: X1: expect.doctor"),
        ('["77014-26 @ 2025-03-03"]', '"77014-26 @ 2025-03-03"', ":16: X1: expect.physician"),
        ("77014-26 @ 2025-03-03", "77014-26 on 2025-03-03", ":16: X1: physician: '77014-26 on 2025-03-03' is not a"),
        ("77014-26 @ 2025-03-03", "77141-26 @ 2025-03-03", "has 77141, which is not in the code catalogue; correct it"),
        ("77014-26 @ 2025-03-03", "77014-26 @ 2026-03-03", "has 77014, which has no row on 2026-03-03; correct"),
        ("77014-26 @ 2025-03-03", "77385-26 @ 2025-03-03", "has 26, which 77385 does not take on 2025-03-03"),
        ("77014-26 @ 2025-03-03", "77014-TC @ 2025-03-03", "has TC on a physician bill, which takes none; leave"),
        ("77014-26 @ 2025-03-03", "77427 @ 2025-03-03", "is of family management, which the case does not compare"),
        ("77014-26 @ 2025-03-03", "HOLD no_reason 77014-26 @ 2025-03-03", "has the reason no_reason, which is not"),
        ("77014-26 @ 2025-03-03", "HOLD course_gap 77014-26 @ 2025-03-03", "is held for course_gap, which only flags"),
        ("77014-26 @ 2025-03-03", "FLAG unreal", ":16: X1: physician: 'FLAG unreal' has a reason that is not known"),
        ("77014-26 @ 2025-03-03", "77014-26 @ 2025-03-03 packaged", "is packaged outside the hospital bill; leave"),
        ("G6015 @ 2025-03-03", "G6015-TC @ 2025-03-03", ":14: X1: freestanding: 'G6015-TC @ 2025-03-03' has TC, which"),
        ('"77386 @ 2025-03-03",', '"77386-26 @ 2025-03-03",', ":15: X1: hospital: '77386-26 @ 2025-03-03' has 26 or"),
        ('"G6015 @ 2025-03-03",', '"77014 x2 @ 2025-03-03",', "states the line on 2025-03-03 twice; write its units"),
    ],
)
def test_a_mistake_is_answered_with_its_place_and_a_way_out(
    tmp_path: Path, old: str, new: str, problem: str
) -> None:
    assert old in GOOD

    problems = told(tmp_path, GOOD.replace(old, new, 1))

    assert any(problem in one for one in problems), problems
    assert all(one.startswith("cases1.yaml:") for one in problems)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("  steps:", "  expect: {}\n  steps:", ":6: X2: expect stands beside steps; move it into a step"),
        ("expect: {physician: []}", "expect: {}", ":8: X2: step 1, expect: "),
        ("      expect: {physician: []}\n", "", ":7: X2: step 1, expect: is missing; write it"),
        ("expect: {physician: []}", "except: {physician: []}", ":8: X2: step 1, except: unknown key; did you mean"),
        (", course: C1}]\n      expect", "}]\n      expect", ":7: X2: step 1, event 1: names no course; add"),
        ("{id: C2}", "{id: C1}", ":5: X2: course 'C1' stands twice or means no course; choose another id"),
        ("{id: C2}", "{id: unknown}", ":5: X2: course 'unknown' stands twice or means no course"),
        ("CREDIT 77427", "REVERSE 77427", ":10: X2: step 2, emits, physician: 'REVERSE 77427 @ 2025-03-03' is neither"),
        ("CREDIT 77427", "CREDIT HOLD mue_edit 77427", "is held, and a held line is not sent; leave HOLD out"),
        ("CHARGE 77427 @ 2025-03-04", "CREDIT 77427 @ 2025-03-03", "states the line on 2025-03-03 twice"),
        ("CHARGE 77427 @ 2025-03-04", "FLAG course_gap", "is neither CREDIT nor CHARGE; write CREDIT LINE or"),
        ('"FLAG course_gap"', '"FLAG course_gap", "FLAG course_gap"', "'FLAG course_gap' stands twice; keep one"),
        ("of: F1", "of: V1", "step 2, event 1 (V1): of: no event 'V1' that it can speak of"),
    ],
)
def test_a_mistake_in_a_step_names_the_step(tmp_path: Path, old: str, new: str, problem: str) -> None:
    assert old in UNFOLDING

    problems = told(tmp_path, UNFOLDING.replace(old, new, 1))

    assert any(problem in one for one in problems), problems


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("id: X1\n", "cases1.yaml:1: write a list of cases, each beginning with '- id:'"),
        ("- X1\n", "cases1.yaml:1: case: write a case as keys and values, beginning with '- id:'"),
        ("- id: X1\n  events: {", "cases1.yaml:3: is not YAML"),
        ("", "cases1.yaml:1: is empty"),
        (GOOD.split("  events:")[0] + "  events: none\n  expect: {physician: []}\n", "events: write a list of events"),
        (GOOD.split("  events:")[0] + "  events: []\n  expect: {physician: []}\n", "nothing happens; write at least"),
        (GOOD.split("  events:")[0] + "  events: [F1]\n  expect: {physician: []}\n", "write an event as {kind: ..."),
        (UNFOLDING.split("  steps:")[0] + "  steps: all\n", "steps: write a list of steps, each with"),
    ],
)
def test_a_file_of_another_shape_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    assert any(problem in one for one in told(tmp_path, text))


@given(st.integers(0, 200), st.sampled_from(["[]", "{}", "null", '""', "[a]", "{a: b}", "7", "x", '"x"', "true"]))
@settings(max_examples=150, derandomize=True, deadline=None)
def test_whatever_stands_in_the_place_of_a_value_is_read_or_refused(place: int, value: str) -> None:
    text = GOOD + UNFOLDING
    values = list(VALUE.finditer(text))
    spot = values[place % len(values)]
    with TemporaryDirectory() as folder:
        path = Path(folder) / "cases.yaml"
        path.write_text(text[: spot.start()] + value + text[spot.end() :])
        problems = ""
        try:
            load_cases([path], *TABLES)
        except TableError as error:
            problems = str(error)

    assert [line for line in problems.split("\n") if line and not line.startswith(f"{path}:")] == []


def test_an_id_stands_once_in_all_files(tmp_path: Path) -> None:
    assert told(tmp_path, GOOD, GOOD) == [
        f"cases2.yaml:1: X1: the id is already at {tmp_path}/cases1.yaml:1; choose another".replace(f"{tmp_path}/", "")
    ]
