"""How one billing system wants its ChargeItems, as its profile in mappings/fhir/destinations declares it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from fhir_radcharge.model import Bill
from fhir_radcharge.wire.destination import OnAmbiguous
from fhir_radcharge.wire.fhir import own_extensions as own
from fhir_radcharge.wire.fhir.declared import Declared
from fhir_radcharge.wire.fhir.schema import Release

OutcomeKind = Literal["accepted", "refused", "not_taken", "silent"]
AnswerKey = Literal["200", "201", "202", "204", "400", "401", "403", "404", "408", "409", "410", "412", "422",
                    "429", "3xx", "4xx", "5xx", "2xx_without_body", "lost"]  # fmt: skip
ANSWERS = ("409", "412", "422", "429", "3xx", "4xx", "5xx", "lost")


class Systems(Declared):
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


class ExtensionUrls(Declared):
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


class Oracle(Declared):
    """What the Oracle Health operations want beside the charge."""

    bill_code_schedule_url: str
    schedule_system: str
    schedule: str
    replacing_url: str


class Redox(Declared):
    """What a Redox message wants beside the charge."""

    event_uri: str
    source_name: str
    source_endpoint: str


class FhirDestination(Declared):
    """One billing system that takes FHIR, and what its answers mean.

    `style`: `put` one ChargeItem a request, `transaction` a Bundle with Provenance, `oracle` the operations of
    Oracle Health, `redox` a message Bundle. `credit`: `offset` a negative item that names what it takes back,
    `entered_in_error` the same item with that status, `operation` the destination's own (oracle). `read_back`:
    what was taken is read again, because this receiver leaves out what it does not know and says nothing.
    """

    destination: str
    bills: tuple[Bill, ...] = Field(min_length=1)
    connections: int = Field(ge=1, le=64)
    on_ambiguous: OnAmbiguous
    needs_charge_code: bool
    read_back: bool
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

    @property
    def name(self) -> str:
        """The name by which the books, the configuration and the charge master know it."""
        return self.destination

    @property
    def credits_whole(self) -> bool:
        """Whether a credit takes back a whole charge, so that what is left of it must be charged anew."""
        return self.credit != "offset"
