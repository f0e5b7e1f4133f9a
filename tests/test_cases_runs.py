"""Cases become runs: settings, places, revisions, assumptions and the facts that a rule may ask."""

from datetime import date
from pathlib import Path

import pytest

from fhir_radcharge.cases.reading import load_cases
from fhir_radcharge.cases.runs import Run, Supposed, runs
from fhir_radcharge.model import Place, Reported, TreatmentEvent
from fhir_radcharge.tables.policy import load_catalogue, load_policy, load_reasons

ROOT = Path(__file__).parent.parent
MAPPINGS = ROOT / "mappings"
TABLES = (
    load_catalogue(MAPPINGS / "codes.csv"),
    load_policy([MAPPINGS / "payers.yaml"]),
    load_reasons(MAPPINGS / "reasons.yaml"),
)
HEAD = "- id: X1\n  title: A case\n  sources: [ASTRO16]\n  confidence: high\n"
ALL = "  expect: {freestanding: [], hospital: [], physician: []}\n"
HOSPITAL = "  expect: {hospital: []}\n"


def run_of(tmp_path: Path, *lines: str, expect: str = HOSPITAL, head: str = "  course: {id: C1}\n") -> Run:
    return runs_of(tmp_path, *lines, expect=expect, head=head)[0]


def runs_of(
    tmp_path: Path, *lines: str, expect: str = HOSPITAL, head: str = "  course: {id: C1}\n"
) -> tuple[Run, ...]:
    events = "".join(f"    - {{{line}}}\n" for line in lines)
    path = tmp_path / "cases.yaml"
    path.write_text(f"{HEAD}{head}  events:\n{events}{expect}")
    (case,) = load_cases([path], *TABLES)
    return tuple(runs(case))


def by_id(run: Run, stage: int = -1) -> dict[str, TreatmentEvent]:
    return {event.id: event for event in run.stages[stage].events}


FRACTION = 'kind: fraction, id: F1, at: "2025-03-03T09:00", technique: imrt'


@pytest.mark.parametrize(
    ("head", "expect", "expected"),
    [
        ("", ALL, [("freestanding", ("freestanding",)), ("hospital", ("hospital", "physician"))]),
        ("", "  expect: {freestanding: []}\n", [("freestanding", ("freestanding",))]),
        ("", "  expect: {physician: []}\n", [("hospital", ("physician",))]),
        ("  ownership: split\n", "  expect: {physician: []}\n", [("freestanding", ("physician",))]),
        (
            "  ownership: split\n", "  expect: {freestanding: [], physician: []}\n",
            [("freestanding", ("freestanding", "physician"))],
        ),
    ],
)
def test_a_case_runs_once_in_each_setting_that_it_states(
    tmp_path: Path, head: str, expect: str, expected: list[tuple[str, tuple[str, ...]]]
) -> None:
    found = runs_of(tmp_path, FRACTION, expect=expect, head=head + "  course: {id: C1}\n")

    assert [(run.name, run.bills) for run in found] == expected


def test_a_case_whose_sessions_carry_their_setting_runs_once_in_all(tmp_path: Path) -> None:
    found = runs_of(
        tmp_path,
        'kind: fraction, id: F1, at: "2025-03-03", technique: imrt, setting: freestanding',
        'kind: fraction, id: F2, at: "2025-03-10", technique: imrt, setting: hospital',
        'kind: exam, id: E1, at: "2025-03-04", by: physician, provider: Dr_A',
        'kind: physics_check, id: K1, at: "2025-03-11"',
        expect=ALL,
        head="  campus: off_excepted\n  course: {id: C1}\n",
    )

    assert [(run.name, run.bills) for run in found] == [("all", ("freestanding", "hospital", "physician"))]
    assert {name: event.place for name, event in by_id(found[0]).items()} == {
        "course C1": Place("freestanding", "on", "single"),
        "F1": Place("freestanding", "on", "single"),
        "F2": Place("hospital", "off_excepted", "single"),
        "E1": Place("freestanding", "on", "single"),
        "K1": Place("hospital", "off_excepted", "single"),
    }


def test_an_unknown_setting_of_a_session_goes_before_that_of_the_run(tmp_path: Path) -> None:
    found = runs_of(tmp_path, FRACTION + ", setting: unknown", expect=ALL)

    assert [(run.name, by_id(run)["F1"].place.setting) for run in found] == [
        ("freestanding", "unknown"), ("hospital", "unknown"),
    ]


def test_an_event_carries_what_the_case_says_of_it(tmp_path: Path) -> None:
    head = "  payer: unknown\n  patient_class: inpatient\n"
    head += "  course: {id: C1, site: lung, prescribed_fractions: 3, missing: [diagnosis]}\n"
    run = run_of(tmp_path, FRACTION + ", energy_mv: 6.5, wedge: true", head=head)
    lacks = frozenset({"diagnosis"})

    assert by_id(run) == {
        "course C1": TreatmentEvent(
            "case", "course C1", "course", date(2025, 3, 3), None, "C1", {"prescribed_fractions": 3, "site": "lung"},
            Place("hospital"), "inpatient", "unknown", lacks=lacks, revision=(0,),
        ),
        "F1": TreatmentEvent(
            "case", "F1", "fraction", date(2025, 3, 3), 540, "C1",
            {"energy_mv": 6.5, "technique": "imrt", "wedge": True},
            Place("hospital"), "inpatient", "unknown", lacks=lacks, revision=(1,), message=1,
        ),
    }


def test_the_class_of_a_session_goes_before_that_of_the_case(tmp_path: Path) -> None:
    run = run_of(tmp_path, FRACTION + ", patient_class: inpatient", 'kind: exam, id: E1, at: "2025-03-03", by: np')

    assert [by_id(run)[name].patient_class for name in ("F1", "E1")] == ["inpatient", "outpatient"]
    assert "patient_class" not in by_id(run)["F1"].facts


def test_a_code_that_the_sender_reports_is_not_a_fact(tmp_path: Path) -> None:
    run = run_of(
        tmp_path,
        'kind: service, id: S1, at: "2025-03-03", code: "77334", units: 2, modifiers: ["59"], documented: false',
        'kind: reported, id: R1, at: "2025-03-03", code: "77427"',
        'kind: release, id: L1, at: "2025-03-05", code: "77336", date: "2025-03-03", modifiers: ["59"]',
    )
    told = {name: (event.reported, event.facts) for name, event in by_id(run).items() if name != "course C1"}

    assert told == {
        "S1": (Reported("77334", ("59",), 2), {"documented": False}),
        "R1": (Reported("77427", (), None), {}),
        "L1": (None, {"code": "77336", "date": "2025-03-03", "modifiers": ("59",)}),
    }


def test_the_course_of_an_event_is_its_own_or_the_only_one_or_cannot_be_told(tmp_path: Path) -> None:
    two = "  course: [{id: C1, missing: [diagnosis]}, {id: C2}]\n"
    run = run_of(tmp_path, FRACTION + ", course: C2", FRACTION.replace("F1", "F2") + ", course: unknown", head=two)
    none = run_of(tmp_path, FRACTION, head="")

    assert [(by_id(run)[name].course, by_id(run)[name].lacks) for name in ("F1", "F2")] == [
        ("C2", frozenset()), ("?", frozenset()),
    ]
    assert by_id(none)["F1"].course is None


def test_images_without_an_approval_are_taken_for_approved_in_time(tmp_path: Path) -> None:
    lines = (
        'kind: guidance, id: G1, at: "2025-03-03T08:55", modality: ct',
        'kind: guidance, id: G2, at: "2025-03-04", modality: ct',
        'kind: guidance, id: G3, at: "2025-03-05", modality: ct, approved_at: "2025-03-06T10:00"',
        'kind: guidance, id: G4, at: "2025-03-06", modality: ct',
        'kind: approval, id: A1, at: "2025-03-07T09:00", of: G4',
    )
    run = run_of(tmp_path, FRACTION, *lines)
    strict = run_of(tmp_path, FRACTION, *lines, head="  assume: [exams]\n  course: {id: C1}\n")

    assert {name: event.facts.get("approved_at") for name, event in by_id(run).items() if name[0] == "G"} == {
        "G1": "2025-03-03T08:55", "G2": "2025-03-04T23:59", "G3": "2025-03-06T10:00", "G4": None,
    }
    assert by_id(run)["G1"].facts["approver"] == by_id(run)["A1"].facts["approver"] == "physician"
    assert "approved_at" not in by_id(strict)["G1"].facts
    assert (run.assume, strict.assume) == ({"exams", "physics"}, {"exams"})


def test_a_void_stands_as_the_greatest_revision_even_when_it_comes_first(tmp_path: Path) -> None:
    after = run_of(tmp_path, FRACTION, 'kind: void, id: V1, at: "2025-03-04", of: F1')
    before = run_of(tmp_path, 'kind: void, id: V1, at: "2025-03-04", of: F1', FRACTION)

    assert [(by_id(run)["F1"].voided, by_id(run)["F1"].revision) for run in (after, before)] == [
        (True, (2, 2)), (True, (2, 1)),
    ]
    assert by_id(after)["F1"].facts == {"technique": "imrt"}


def test_a_repeat_never_undoes_an_amendment(tmp_path: Path) -> None:
    run = run_of(
        tmp_path,
        FRACTION,
        'kind: amend, id: A1, at: "2025-03-05", of: F1, set: {at: "2025-03-04", areas: 2}',
        'kind: resend, id: D1, at: "2025-03-06", of: F1',
    )
    event = by_id(run)["F1"]

    assert (event.day, event.minute, event.facts) == (date(2025, 3, 4), None, {"areas": 2, "technique": "imrt"})
    assert (event.message, run.stages[0].told) == (2, 4)


def test_steps_gather_events_and_the_greatest_day_and_replace_tables(tmp_path: Path) -> None:
    path = tmp_path / "cases.yaml"
    path.write_text(
        HEAD + '  tables: {mue: {"77334": 10}, ptp: [["77295", "77336", 1]], no_charge_code: ["77387"]}\n'
        "  course: {id: C1}\n  steps:\n"
        f"    - events: [{{{FRACTION}}}, {{kind: day, at: \"2025-03-09\"}}]\n      expect: {{hospital: []}}\n"
        '    - events: [{kind: day, at: "2025-03-05"}]\n      tables: {absent: ["77417"]}\n'
        "      emits: {hospital: []}\n      expect: {hospital: []}\n"
    )
    (case,) = load_cases([path], *TABLES)
    (run,) = runs(case)

    assert [(len(stage.events), stage.as_of, stage.tables) for stage in run.stages] == [
        (2, date(2025, 3, 9), Supposed({"77334": 10}, (("77295", "77336", 1),), None, frozenset({"77387"}))),
        (2, date(2025, 3, 9), Supposed({}, (), frozenset({"77417"}), frozenset())),
    ]
    assert [list(stage.emits) for stage in run.stages] == [[], ["hospital"]]


def test_the_shipped_cases_expand_into_as_many_runs_as_they_state_settings() -> None:
    cases = load_cases([ROOT / "fixtures" / "cases" / f"{name}.yaml" for name in ("delivery", "course")], *TABLES)
    found = [run for case in cases for run in runs(case)]
    counts = {name: sum(run.name == name for run in found) for name in ("freestanding", "hospital", "all")}

    assert counts == {"freestanding": 259, "hospital": 261, "all": 1}
    assert sum(len(run.stages) for run in found) == 589
    assert sum(len(stage.events) for run in found for stage in run.stages) == 4720
