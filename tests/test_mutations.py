"""The deliberate faults stay faults: each still finds a line that it spoils."""

import pytest

from tests.mutations import MUTANTS, ROOT, Mutant


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda one: one.name)
def test_the_line_of_a_fault_stands(mutant: Mutant) -> None:
    text = (ROOT / mutant.file).read_text(encoding="utf-8")

    assert mutant.old in text
    assert mutant.old != mutant.new
