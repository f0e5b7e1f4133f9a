"""What the FHIR tests share: the shipped tables and profiles, the fixtures, and short ways to read them."""

import copy
import json
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from fhir_radcharge.model import Place
from fhir_radcharge.places import PlaceRow, Plans, Settings
from fhir_radcharge.profiles.fhir import FhirSite, load_fhir
from fhir_radcharge.wire.dft import Reading
from fhir_radcharge.wire.fhir.destination import FhirDestination
from fhir_radcharge.wire.fhir.events import readings
from fhir_radcharge.wire.fhir.profile import Sender
from fhir_radcharge.wire.fhir.read import read
from fhir_radcharge.wire.fhir.tables import Tables
from fhir_radcharge.zones import zone_named

ROOT = Path(__file__).parent.parent
FIXTURES = ROOT / "fixtures" / "fhir"


class Site(NamedTuple):
    settings: Settings
    payers: Plans


PLACES = Site(
    Settings({"LINAC-1": (PlaceRow(date(2015, 1, 1), None, Place("hospital")),)}), Plans({"MCARE": "medicare"})
)
CHICAGO = zone_named("America/Chicago")
CODEX = "http://hl7.org/fhir/us/codex-radiation-therapy/StructureDefinition/codexrt-"
FACT = "https://fhir-radcharge.example/StructureDefinition/fact-"


@cache
def site() -> FhirSite:
    return load_fhir(ROOT / "mappings")


def tables() -> Tables:
    return site().tables


def sender(name: str) -> Sender:
    return site().senders[name]


def destination(name: str) -> FhirDestination:
    return site().destinations[name]


@cache
def _loaded(name: str) -> Any:
    return json.loads((FIXTURES / name).read_text(encoding="utf-8"))


def fixture(name: str) -> Any:
    return copy.deepcopy(_loaded(name))


def body(resource: Any) -> bytes:
    return json.dumps(resource).encode("utf-8")


def said(resource: Any, by: str, release: Any = "R4") -> tuple[Reading, ...]:
    return readings(read(body(resource), release), sender(by), tables(), PLACES, 7)


def fraction(**changes: Any) -> Any:
    """The treated fraction of the prostate fixture by itself, with some elements changed; None or [] takes one out."""
    found = next(
        entry["resource"]
        for entry in fixture("codex_prostate_session.json")["entry"]
        if entry["resource"]["id"] == "fx2"
    )
    found = {**found, **changes, "encounter": None, "partOf": None, "basedOn": None}
    return {key: value for key, value in found.items() if value not in (None, [])}


def charge(**changes: Any) -> Any:
    found = {**fixture("charge_item.json"), **changes}
    return {key: value for key, value in found.items() if value is not None}
