"""What an analyst asks before a file is put to use: is all of it right?"""

from pathlib import Path

from click.testing import CliRunner, Result
from project import ROOT

from fhir_radcharge.cli import cli
from tests.cli_desk import Desk

CASE = """
- id: Z1
  title: a line that nobody owes
  sources: [UNVERIFIED]
  confidence: low
  compare: [delivery]
  course: {id: C1}
  events:
    - {kind: fraction, id: F1, at: "2026-01-05", technique: imrt}
  expect:
    freestanding: ["77402 @ 2026-01-05"]
"""


def check(*words: object) -> Result:
    return CliRunner().invoke(cli, ["check", *map(str, words)])


def test_a_site_that_is_right_has_no_findings(tmp_path: Path) -> None:
    desk = Desk(tmp_path).close()

    found = check("--config", desk.folder / "radcharge.toml", "--cases", ROOT / "fixtures/cases/delivery.yaml")

    assert (found.exit_code, found.output.splitlines()[-1][-11:]) == (0, "no findings")


def test_a_profile_that_is_not_there_is_named_with_its_place(tmp_path: Path) -> None:
    desk = Desk(tmp_path).close()
    config = desk.folder / "radcharge.toml"
    config.write_text(config.read_text() + '[[send]]\nname = "nobody"\nto = "127.0.0.1:2600"\n')

    found = check("--config", config)

    assert "send[nobody].name: there is no such destination profile; add or correct it" == str(found.exception)


def test_a_case_that_comes_out_otherwise_is_a_finding(tmp_path: Path) -> None:
    cases = tmp_path / "mine.yaml"
    cases.write_text(CASE)

    found = check("--cases", cases)

    assert found.exit_code == 1
    assert "Z1  DIFFERS" in found.output
    assert "77402" in found.output
