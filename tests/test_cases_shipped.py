"""Every shipped case, each a biller's page: what was done, and what each bill must then carry."""

import pytest
from project import ROOT

from fhir_radcharge.rules.charging import charges_due
from fhir_radcharge.rules.rulebook import Rulebook
from fhir_radcharge.verify import CaseResult, verify

FILES = sorted((ROOT / "fixtures" / "cases").glob("*.yaml"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_the_cases_hold(path, rulebook: Rulebook) -> None:
    differing = [result for result in verify([path], rulebook, charges_due) if not result.ok]

    assert differing == []


def test_a_missing_line_is_seen(rulebook: Rulebook) -> None:
    def short(*given, **named):
        due = charges_due(*given, **named)
        return due._replace(charges=due.charges[1:])

    differing: list[CaseResult] = [result for result in verify(FILES, rulebook, short) if not result.ok]

    assert len({result.id for result in differing}) > 200
