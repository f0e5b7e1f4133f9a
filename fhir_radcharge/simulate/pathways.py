"""The pathway file into pathways, sizes and oddities."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from fhir_radcharge.errors import ConfigError
from fhir_radcharge.simulate.said import Room


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Change(_Strict):
    """Facts that hold from a fraction of the phase on."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    from_: int
    facts: dict[str, Any]


class Phase(_Strict):
    """Fractions that one plan gives, and the facts of each."""

    plan: str
    fractions: int
    facts: dict[str, Any]
    change: Change | None = None


class Pathway(_Strict):
    """A kind of course: what is treated and how, never what it costs."""

    name: str
    weight: float
    site: str
    diagnosis: str
    rhythm: Literal["daily", "twice_daily", "every_other_day", "weekly"] = "daily"
    guidance: str | None = None
    ports: list[int] | None = None
    planning: list[str] = []
    phase: list[Phase]


class Oddities(_Strict):
    """The shares in which things go wrong."""

    late: float = 0.0
    repeated: float = 0.0
    revised: float = 0.0
    voided: float = 0.0
    void_first: float = 0.0
    cancelled: float = 0.0
    approval_late: float = 0.0
    in_parts: float = 0.0
    doubled: float = 0.0
    unordered: float = 0.0
    exam_missing: float = 0.0
    exam_by_nurse: float = 0.0
    check_missing: float = 0.0
    stopped: float = 0.0
    reopened: float = 0.0
    unclosed: float = 0.0
    inpatient: float = 0.0


class Size(_Strict):
    """How many courses, how many start on a treatment day, and how much goes wrong."""

    courses: int
    courses_a_day: int
    oddities: str


class Pathways(_Strict):
    """Everything that the pathway file says."""

    rooms: dict[str, dict[str, str]]
    oddities: dict[str, Oddities]
    sizes: dict[str, Size]
    sets: dict[str, list[str]]
    pathway: list[Pathway]

    def chosen(self, name: str) -> dict[str, Pathway]:
        """Return the pathways of a set, of one name, or all of them for `all`."""
        known = {pathway.name: pathway for pathway in self.pathway}
        if name == "all":
            return known
        if name in self.sets:
            return {one: known[one] for one in self.sets[name]}
        if name in known:
            return {name: known[name]}
        raise ConfigError(
            f"pathway {name!r} is not known; take all, {', '.join([*self.sets, *known])}")

    def room(self, name: str) -> Room:
        """Return a treatment room by its name."""
        return Room(name, **self.rooms[name])


@cache
def pathways() -> Pathways:
    """Return the pathways that are shipped with the package."""
    text = files("fhir_radcharge.simulate").joinpath("pathways.toml").read_text(encoding="utf-8")
    read = tomllib.loads(text)
    for phase in (phase for one in read["pathway"] for phase in one["phase"]):
        if "change" in phase:
            phase["change"]["from_"] = phase["change"].pop("from")
    return Pathways.model_validate(read)
