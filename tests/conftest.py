"""What every test may ask for: the shipped tables, read once."""

import pytest
from project import MAPPINGS

from fhir_radcharge.rulebook_files import load_rulebook
from fhir_radcharge.rules.rulebook import Rulebook


@pytest.fixture(scope="session")
def rulebook() -> Rulebook:
    return load_rulebook(MAPPINGS)
