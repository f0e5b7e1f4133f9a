"""Turns the imaging that a treated fraction states into image events, and takes back the others."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import date
from typing import Final

from fhir_radcharge.model import TreatmentEvent
from fhir_radcharge.wire.fhir.elements import Node, extensions, snomed
from fhir_radcharge.wire.fhir.frame import Frame
from fhir_radcharge.wire.fhir.heard import Heard
from fhir_radcharge.wire.fhir.own_extensions import said_facts

_CODEX: Final = "http://hl7.org/fhir/us/codex-radiation-therapy/StructureDefinition/codexrt-"
_IMAGING: Final = f"{_CODEX}image-guided-radiotherapy-modality"
_VERIFICATION: Final = f"{_CODEX}intrafraction-verification"
_UNDECIDED: Final = "undecided"

When = tuple[date, int | None]


def images(frame: Frame, when: When, course: str | None) -> Iterator[TreatmentEvent]:
    """Yield one event for each way in which the fraction was imaged."""
    done: set[str] = set()
    for use, url in (("setup", _IMAGING), ("intrafraction", _VERIFICATION)):
        for index, said in enumerate(extensions(frame.resource, url)):
            kind, modality = _image(frame.heard, use, said)
            slot = "port_image" if kind == "port_image" else modality or _UNDECIDED
            if kind == "none" or slot in done:
                continue
            done.add(slot)
            place = f"{frame.place}.extension({url.rsplit('-', 1)[1]})[{index}]"
            facts = said_facts(said, kind, frame.heard.sender.zone, place)
            facts |= {"fraction": frame.base.id} | ({"modality": modality} if modality else {})
            yield frame.event("guidance" if kind == "guidance" else "port_image", when, facts,
                              suffix=f"/{slot}", course=course)  # fmt: skip


def no_images(frame: Frame, when: When, course: str | None, kept: Collection[str]) -> list[TreatmentEvent]:
    """Return voided events for images that an earlier saying may have stated and this one does not."""
    if frame.is_first:
        return []
    modalities = {row.modality for row in frame.heard.tables.guidance}
    modalities |= {image.modality for image in frame.heard.sender.profile.guidance.values()}
    slots = {modality for modality in modalities if modality} | {_UNDECIDED, "port_image"}
    return [
        frame.event("port_image" if slot == "port_image" else "guidance", when, {"fraction": frame.base.id},
                    suffix=f"/{slot}", course=course, voided=True)
        for slot in sorted(slots) if f"{frame.base.id}/{slot}" not in kept
    ]  # fmt: skip


def _image(heard: Heard, use: str, said: Node) -> tuple[str, str | None]:
    concepts = [one["valueCodeableConcept"] for one in said.get("extension", ()) if "valueCodeableConcept" in one]
    code = next((code for code in map(snomed, concepts) if code is not None), None)
    own = heard.sender.profile.guidance.get(code or "") if use == "setup" else None
    if own is not None:
        return own.kind, own.modality
    unit = next((coding["code"] for concept in concepts for coding in concept.get("coding", ())
                 if coding.get("code") in ("kV", "MV")), "none")  # fmt: skip
    row = heard.tables.image(use, code, unit)
    # An image in a way that no row knows is still an image: its line is held, not forgotten.
    return (row.kind, row.modality) if row is not None else ("guidance", None)
