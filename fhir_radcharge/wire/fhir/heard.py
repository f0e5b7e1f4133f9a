"""One body with all that is needed to read it, and what its resources share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from fhir_radcharge.wire.dft import SiteTables
from fhir_radcharge.wire.fhir.elements import Node, snomed
from fhir_radcharge.wire.fhir.profile import Sender
from fhir_radcharge.wire.fhir.read import Body
from fhir_radcharge.wire.fhir.tables import Tables

PHASE: Final = "1222565005"
_COVERS_MAX: Final = 16


class Around(NamedTuple):
    """What several resources of a body may need, found once: its covers, and the phases of each planned course."""

    covers: tuple[Node, ...]
    phases: Mapping[int, tuple[Node, ...]]

    def phases_of(self, course: Node) -> tuple[Node, ...]:
        """Return the phase requests that are based on a course request."""
        return self.phases.get(id(course), ())


class Heard(NamedTuple):
    """One body with all that is needed to read it; `notices` gathers what only needs to be seen.

    `payer` is that of the patient whose resource is being read.
    """

    body: Body
    sender: Sender
    tables: Tables
    site: SiteTables
    message: int
    notices: list[str]
    around: Around
    payer: str | None = None


def around(body: Body) -> Around:
    """Return what the resources of a body share."""
    covers: list[Node] = []
    phases: dict[int, tuple[Node, ...]] = {}
    for entry in body.entries:
        kind = entry.resource["resourceType"]
        if kind == "Coverage":
            covers.append(entry.resource)
        elif kind == "ServiceRequest" and snomed(entry.resource.get("code")) == PHASE:
            for link in entry.resource.get("basedOn", ()):
                course = body.find(link, entry.resource)
                if course is not None:
                    phases[id(course)] = (*phases.get(id(course), ())[:2], entry.resource)
    return Around(tuple(covers[:_COVERS_MAX]), phases)
