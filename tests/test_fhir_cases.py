"""Every coding case said as FHIR: each event is read as the fact that it is, and each bill carries the same."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from project import MAPPINGS

from fhir_radcharge.cases.as_fhir import NOT_SENT, sayable
from fhir_radcharge.cli import cli
from fhir_radcharge.errors import ConfigError
from fhir_radcharge.profiles.fhir import NO_FHIR, load_fhir
from fhir_radcharge.rules.charging import charges_due
from fhir_radcharge.rules.rulebook import Rulebook
from fhir_radcharge.verify import case_files, verify
from fhir_radcharge.verify_fhir import report, verify_as_fhir

CASES = [MAPPINGS.parent / "fixtures" / "cases"]
PRESCRIBED = """\
- id: P1
  title: A prescription that FHIR says of another resource
  sources: [told]
  confidence: high
  compare: [delivery]
  course: {id: C1, site: prostate}
  events:
    - {kind: fraction, id: F1, at: "2026-02-03T09:00", technique: imrt, isocenters: 1}
    - {kind: prescription, id: R1, at: "2026-02-03", prescribed_fractions: 5}
  expect: {freestanding: ["77407 @ 2026-02-03"]}
"""


def test_every_case_gives_the_same_bills_when_it_is_said_as_fhir(rulebook: Rulebook) -> None:
    verdicts = list(verify_as_fhir(case_files(CASES), rulebook, load_fhir(MAPPINGS)))
    unsaid = Counter(told.split()[0] for one in verdicts for told in one.unsaid)

    assert [one.result for one in verdicts if not one.result.ok] == []
    assert [one.result for one in verdicts] == list(verify(case_files(CASES), rulebook, charges_due))
    assert set(unsaid) == {"prescription"}
    assert len({one.result.id for one in verdicts if one.unsaid}) < 0.02 * len({one.result.id for one in verdicts})


def test_hardly_an_event_is_left_as_the_case_tells_it(rulebook: Rulebook) -> None:
    counts: Counter[bool] = Counter()

    def due(events: Any, *rest: Any, **more: Any) -> Any:
        counts.update(sayable(event) for event in events if event.kind not in NOT_SENT)
        return charges_due(tuple(events), *rest, **more)

    assert all(one.ok for one in verify(case_files(CASES), rulebook, due))
    assert counts[False] < 0.005 * counts.total()


def test_what_cannot_be_said_is_named_and_what_differs_still_differs(tmp_path: Path) -> None:
    path = tmp_path / "cases.yaml"
    path.write_text(PRESCRIBED.replace('"77407 @', '"77412 @'), encoding="utf-8")
    wrong = CliRunner().invoke(cli, ["verify", "--fhir", "--mappings", str(MAPPINGS), str(path)])
    path.write_text(PRESCRIBED, encoding="utf-8")
    told = CliRunner().invoke(cli, ["verify", "--fhir", "--mappings", str(MAPPINGS), str(path)])
    (data,) = json.loads(CliRunner().invoke(cli, ["verify", "--fhir", "--json", "--mappings", str(MAPPINGS), str(path)]).output)

    assert (wrong.exit_code, told.exit_code) == (1, 0)
    assert "P1  DIFFERS" in wrong.output
    assert told.output.splitlines() == [
        "P1  partly",
        "  not said as FHIR, taken from the case: prescription R1",
        "1 case as FHIR, 0 said whole, 1 in part, none differing",
    ]
    assert data == {"id": "P1", "ok": True, "differences": [], "not_said_as_fhir": ["prescription R1"]}


def test_an_event_that_is_read_otherwise_than_it_was_said_is_a_difference(rulebook: Rulebook) -> None:
    fhir = load_fhir(MAPPINGS)
    sender = fhir.senders["rv_fhir"]
    swapped = sender._replace(activities={**sender.activities, "ROOTV": sender.activities["ROPHYS"]})

    told = list(report(verify_as_fhir(case_files(CASES), rulebook, fhir._replace(senders={"rv_fhir": swapped}))))

    assert any("said as FHIR, is read with another kind" in line for line in told)


def test_without_the_layout_nothing_is_verified(rulebook: Rulebook) -> None:
    with pytest.raises(ConfigError, match="rv_fhir"):
        list(verify_as_fhir(case_files(CASES), rulebook, NO_FHIR))
