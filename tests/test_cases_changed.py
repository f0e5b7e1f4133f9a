"""Nothing that a shipped case expects goes uncompared: a change to any line or flag makes its run differ."""

import re
from pathlib import Path

import pytest

from fhir_radcharge.cases.reading import load_cases
from fhir_radcharge.cases.runs import Run, runs
from fhir_radcharge.rules.charging import charges_due
from fhir_radcharge.rules.rulebook import Rulebook
from fhir_radcharge.tables.rulebook import load_rulebook
from fhir_radcharge.verify import report, verify

ROOT = Path(__file__).parent.parent
FILES = [ROOT / "fixtures" / "cases" / f"{name}.yaml" for name in ("delivery", "course")]
EXPECTED = re.compile(r'"((?:HOLD \w+ )?[0-9A-Z]\d{3}[0-9A-Z](?:-\w\w)*)(?: x\d+)? @')
EMITTED = re.compile(r'"((?:CREDIT|CHARGE) [0-9A-Z]\d{3}[0-9A-Z](?:-\w\w)*)(?: x\d+)? @')
FLAGGED = re.compile(r'"FLAG \w+"')


@pytest.fixture(scope="module")
def tables() -> Rulebook:
    return load_rulebook(ROOT / "mappings")


@pytest.fixture(scope="module")
def shipped(tables: Rulebook) -> list[Run]:
    cases = load_cases(FILES, tables.catalogue, tables.policy, tables.reasons)
    return [run for case in cases for run in runs(case)]


def differing(tmp_path: Path, pattern: re.Pattern[str], to: str, tables: Rulebook) -> set[tuple[str, str]]:
    """Return the runs that differ once a pattern is replaced in every bill of the shipped cases."""
    paths = []
    for file in FILES:
        lines = file.read_text().split("\n")
        text = "\n".join(line if line.lstrip().startswith("- {kind") else pattern.sub(to, line) for line in lines)
        (tmp_path / file.name).write_text(text)
        paths.append(tmp_path / file.name)
    return {(result.id, result.run) for result in verify(paths, tables, charges_due) if not result.ok}


def test_other_units_on_any_expected_line_are_seen(tmp_path: Path, tables: Rulebook, shipped: list[Run]) -> None:
    with_lines = {
        (run.case.id, run.name)
        for run in shipped
        if any(stage.expect[bill].lines for stage in run.stages for bill in run.bills if bill in stage.expect)
    }

    assert differing(tmp_path, EXPECTED, r'"\1 x7 @', tables) == with_lines
    assert len(with_lines) > 400


def test_other_units_on_any_emitted_line_are_seen(tmp_path: Path, tables: Rulebook, shipped: list[Run]) -> None:
    with_emits = {
        (run.case.id, run.name)
        for run in shipped
        if any(stage.emits.get(bill) for stage in run.stages for bill in run.bills)
    }

    assert differing(tmp_path, EMITTED, r'"\1 x7 @', tables) == with_emits
    assert len(with_emits) > 40


def test_another_flag_is_seen(tmp_path: Path, tables: Rulebook, shipped: list[Run]) -> None:
    with_flags = {
        (run.case.id, run.name)
        for run in shipped
        if any(stage.expect[bill].flags for stage in run.stages for bill in run.bills if bill in stage.expect)
    }

    # No flagged case raises this one.
    assert differing(tmp_path, FLAGGED, '"FLAG medical_necessity"', tables) == with_flags
    assert len(with_flags) > 50


def test_the_shipped_cases_are_reported_one_line_each(tables: Rulebook) -> None:
    lines = list(report(verify(FILES, tables, charges_due)))

    assert len(lines) == 275
    assert [line for line in lines if not line.endswith("  ok")] == ["274 cases, all ok"]
