"""Turns the YAML of mappings/fhir/destinations into destinations: how one billing system wants its ChargeItems."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from fhir_radcharge.errors import TableError
from fhir_radcharge.model import Bill
from fhir_radcharge.strict_yaml import Row, Strict, line_of, validated
from fhir_radcharge.wire.fhir import own_extensions as own
from fhir_radcharge.wire.fhir.schema import Release

OutcomeKind = Literal["accepted", "refused", "not_taken", "silent"]
AnswerKey = Literal["200", "201", "202", "204", "400", "401", "403", "404", "408", "409", "410", "412", "422",
                    "429", "3xx", "4xx", "5xx", "2xx_without_body", "lost"]  # fmt: skip
_ANSWERS = ("409", "412", "422", "429", "3xx", "4xx", "5xx", "lost")


class Systems(Strict):
    """The URIs under which this destination knows identifiers and codes."""

    posting: str
    patient: str
    visit: str
    account: str
    cpt: str
    hcpcs: str
    modifier: str
    diagnosis: str
    charge_code: str | None
    organization: str | None
    revenue: str
    source_message: str


class ExtensionUrls(Strict):
    """The URLs of the extensions that carry what ChargeItem has no element for; null leaves the item out."""

    modifier: str | None = own.MODIFIER
    priority: str = "priority"
    revenue: str | None = own.REVENUE
    department: str | None = own.DEPARTMENT
    unit_price: str | None = own.UNIT_PRICE
    offsets: str = own.OFFSETS
    bill: str | None = own.BILL
    packaged: str | None = own.PACKAGED
    place_of_service: str | None = own.PLACE_OF_SERVICE


class Oracle(Strict):
    """What the Oracle Health operations want beside the charge."""

    bill_code_schedule_url: str
    schedule_system: str
    schedule: str
    replacing_url: str


class Redox(Strict):
    """What a Redox message wants beside the charge."""

    event_uri: str
    source_name: str
    source_endpoint: str


class FhirDestination(Strict):
    """One billing system that takes FHIR, and what its answers mean.

    `style`: `put` one ChargeItem a request, `transaction` a Bundle with Provenance, `oracle` the operations of
    Oracle Health, `redox` a message Bundle. `credit`: `offset` a negative item that names what it takes back,
    `entered_in_error` the same item with that status, `operation` the destination's own (oracle).
    """

    destination: str
    release: Release
    style: Literal["put", "transaction", "oracle", "redox"]
    credit: Literal["offset", "entered_in_error", "operation"]
    systems: Systems
    extensions: ExtensionUrls = Field(default_factory=ExtensionUrls)
    organizations: Mapping[Bill, str] = Field(default_factory=dict)
    agent: str
    currency: str = "USD"
    oracle: Oracle | None = None
    redox: Redox | None = None
    answers: Mapping[AnswerKey, OutcomeKind]


def destination_from(data: Any, name: str) -> FhirDestination:
    """Return the destination of one parsed YAML file; raise TableError with file and line."""
    found = validated(FhirDestination, data, name)
    problem = _problem(found)
    if problem is not None:
        key, text = problem
        line = data.lines.get(key, data.line) if isinstance(data, Row) else line_of(data)
        raise TableError(f"{name}:{line}: {text}")
    return found


def _problem(found: FhirDestination) -> tuple[str, str] | None:
    missing = next((key for key in _ANSWERS if key not in found.answers), None)
    if missing is not None:
        return "answers", f"answers does not say what '{missing}' means; add it"
    if found.style == "oracle" and found.oracle is None:
        return "style", "style oracle needs the section oracle; add it"
    if found.style == "redox" and found.redox is None:
        return "style", "style redox needs the section redox; add it"
    if (found.credit == "operation") != (found.style == "oracle"):
        return "credit", "credit operation belongs to style oracle and to no other; choose another pair"
    if found.answers["lost"] in ("accepted", "refused"):
        return "answers", "a lost answer is neither yes nor no; write silent or not_taken"
    return None
