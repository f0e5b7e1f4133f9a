"""The conversations that are shipped are what the simulator says, and carry what the truth says.

To write them anew: `python -m tests.test_simulate_fixtures`.
"""

import io
from datetime import date
from pathlib import Path

import pytest

from fhir_radcharge.simulate import DIALECTS, courses, messages, run_of, write_truth
from fhir_radcharge.wire import batch

FOLDER = Path(__file__).parents[1] / "fixtures" / "conversations"
RUN = run_of("torture", 172, date(2025, 12, 22), "bone_2d", courses=1)
LATER = date(2027, 1, 1)


def conversation(dialect: str) -> bytes:
    return b"".join(message.raw for message in messages(RUN, dialect))


def table() -> str:
    out = io.StringIO()
    write_truth(courses(RUN), LATER, out)
    return out.getvalue()


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_shipped_conversation_is_what_is_simulated(dialect: str) -> None:
    assert (FOLDER / f"bone_over_new_year.{dialect}.hl7").read_bytes() == conversation(dialect)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_shipped_conversation_is_read_message_by_message(dialect: str) -> None:
    entries = list(batch.messages((FOLDER / f"bone_over_new_year.{dialect}.hl7").read_bytes()))

    assert [entry.raw for entry in entries] == [message.raw for message in messages(RUN, dialect)]


def test_the_shipped_truth_is_what_is_reckoned() -> None:
    assert (FOLDER / "bone_over_new_year.truth.csv").read_text() == table()


if __name__ == "__main__":
    for name in DIALECTS:
        (FOLDER / f"bone_over_new_year.{name}.hl7").write_bytes(conversation(name))
    (FOLDER / "bone_over_new_year.truth.csv").write_text(table())
