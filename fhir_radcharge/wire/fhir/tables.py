"""Turns the rows of mappings/fhir into answers about technique, imaging, motion, body site and stereotaxy.

Rows are in order and the first that fits answers. A row that fits and gives nothing says that the fact stays
unknown, so that the line is held; the absence of a row says the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Annotated, Literal, NamedTuple

from pydantic import BeforeValidator, Field

from fhir_radcharge.wire.fhir.declared import Code, Declared

Region = Literal["cranial", "body", "unknown"]
Technique = Literal[
    "2d", "3d", "imrt", "imrt_compensator", "electron", "mixed", "tset", "srs_cobalt", "srs_linac", "sbrt",
    "sbrt_robotic", "sbrt_pet", "proton", "neutron", "iort_xray", "iort_electron", "hdr", "ldr",
    "superficial", "electronic_brachy",
]  # fmt: skip
Modality = Literal["ct", "stereoscopic_xray", "ultrasound", "surface_tracking", "intrafraction_tracking"]
_Number = Annotated[Decimal | None, BeforeValidator(lambda value: value if value is None else str(value))]


class TechniqueRow(Declared):
    """One row: SNOMED modality, technique, energy unit (`any`: whatever is said), and what they give."""

    id: str
    modality: Code
    technique: Code
    unit: Literal["MV", "MeV", "kV", "any", "none"]
    gives: Technique | None
    route: Literal["intracavitary", "interstitial", "intraluminal", "skin", "surface"] | None = None
    source: str


class GuidanceRow(Declared):
    """One row: a SNOMED imaging code and its energy unit, and the kind of event that they are."""

    id: str
    use: Literal["setup", "intrafraction"]
    code: Code
    unit: Literal["MV", "kV", "any"]
    kind: Literal["guidance", "port_image", "none"]
    modality: Modality | None = None
    source: str


class MotionRow(Declared):
    """One row: a SNOMED motion management code (`any` further technique) and the fact that it is."""

    id: str
    code: Code
    technique: Code
    gives: Literal["none", "passive", "active"] | None
    source: str


class SiteRow(Declared):
    """One row: a SNOMED body structure, our word for it, and on which side of the foramen magnum it lies."""

    code: Code
    site: str
    region: Literal["cranial", "body"]
    source: str


class Band(Declared):
    """A band of numbers: from the first, to below the second; an open end is left out."""

    least: _Number = Field(default=None, alias="from")
    below: _Number = None

    def has(self, value: Decimal | int | None) -> bool:
        """Say whether the value is known and in the band."""
        if value is None:
            return False
        return (self.least is None or value >= self.least) and (self.below is None or value < self.below)


class StereotacticRow(Declared):
    """One row of the site rule; a condition that is left out is not asked."""

    id: str
    technique: tuple[Technique, ...] | None = None
    region: tuple[Region, ...] | None = None
    fractions: Band | None = None
    dose_cgy: Band | None = None
    gives: Literal["as_stated", "undecided", "srs_linac", "srs_cobalt", "sbrt", "sbrt_robotic"]
    source: str


class Tables(NamedTuple):
    """All FHIR code tables of a site."""

    techniques: tuple[TechniqueRow, ...]
    guidance: tuple[GuidanceRow, ...]
    motion: tuple[MotionRow, ...]
    sites: Mapping[str, SiteRow]
    stereotactic: tuple[StereotacticRow, ...]

    def technique(self, modality: str | None, technique: str | None, unit: str) -> TechniqueRow | None:
        """Return the row for a modality, a technique and an energy unit (`none` where none is said)."""
        return next((row for row in self.techniques
                     if row.modality == modality and row.technique in ("any", technique or "none")
                     and row.unit in ("any", unit)), None)  # fmt: skip

    def image(self, use: str, code: str | None, unit: str) -> GuidanceRow | None:
        """Return the row for an imaging code and its energy unit."""
        return next((row for row in self.guidance
                     if row.use == use and row.code == code and row.unit in ("any", unit)), None)  # fmt: skip

    def motion_of(self, codes: Iterable[str], techniques: Iterable[str]) -> str | None:
        """Return the most that the stated motion management is; None where nothing decides it."""
        further = set(techniques)
        given = [
            row.gives for code in codes for row in self.motion
            if row.code == code and (row.technique == "any" or row.technique in further)
        ][:1]  # fmt: skip
        return given[0] if given else None

    def stereotaxy(
        self, technique: str, region: Region, fractions: int | None, dose_cgy: Decimal | int | None
    ) -> StereotacticRow:
        """Return the row of the site rule that decides; the last row fits everything."""
        return next(row for row in self.stereotactic if _fits(row, technique, region, fractions, dose_cgy))


def _fits(
    row: StereotacticRow, technique: str, region: Region, fractions: int | None, dose: Decimal | int | None
) -> bool:
    return (
        (row.technique is None or technique in row.technique)
        and (row.region is None or region in row.region)
        and (row.fractions is None or row.fractions.has(fractions))
        and (row.dose_cgy is None or row.dose_cgy.has(dose))
    )
