"""What every test may ask for: the shipped tables, read once."""

import pytest
from project import MAPPINGS

from fhir_radcharge.rules.rulebook import Rulebook
from fhir_radcharge.tables.rulebook import load_rulebook


@pytest.fixture(scope="session")
def rulebook() -> Rulebook:
    return load_rulebook(MAPPINGS)
