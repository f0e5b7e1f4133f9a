"""A number into an invented patient who cannot be mistaken for anybody."""

from __future__ import annotations

from datetime import date, timedelta
from typing import NamedTuple

from fhir_radcharge.simulate.chance import Chance

# Obviously invented: a family name that says so, and trees.
_FAMILIES = ("TESTPATIENT", "SIMULATED", "NOTAPERSON", "SAMPLECASE", "MADEUP")
_TREES = (
    "ALDER", "ASPEN", "BEECH", "BIRCH", "CEDAR", "CYPRESS", "ELDER", "ELM", "FIR", "HAZEL", "HEMLOCK",
    "HOLLY", "JUNIPER", "LARCH", "LINDEN", "MAPLE", "OAK", "PINE", "ROWAN", "SPRUCE", "WILLOW", "YEW",
)
_RECORD_PREFIX = "ZZSIM"  # reserved: a receiver that sees it knows that nobody was treated


class Patient(NamedTuple):
    """An invented patient: the record number carries a reserved prefix."""

    record: str
    family: str
    given: str
    born: date
    sex: str


def patient(number: int, chance: Chance) -> Patient:
    """Return the invented patient with this number."""
    born = date(1935, 1, 1) + timedelta(days=chance.between(0, 20_000))
    return Patient(
        f"{_RECORD_PREFIX}{number:07d}", chance.pick(_FAMILIES), chance.pick(_TREES), born, chance.pick("FM"))
