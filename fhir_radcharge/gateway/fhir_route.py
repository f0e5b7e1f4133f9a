"""What is known of the way to a FHIR destination: its base, how it is spoken to, and who we are there."""

from __future__ import annotations

import ssl
from typing import NamedTuple

from fhir_radcharge.config import SendTo
from fhir_radcharge.config_values import Web
from fhir_radcharge.gateway import tls
from fhir_radcharge.gateway.route import Backoff
from fhir_radcharge.gateway.smart import Client, client_of
from fhir_radcharge.wire.fhir.destination import FhirDestination


class FhirRoute(NamedTuple):
    """Where a FHIR destination is, and how it is spoken to."""

    name: str
    base: Web
    destination: FhirDestination
    lanes: int
    timeout_s: float = 30.0
    ssl: ssl.SSLContext | None = None
    client: Client | None = None
    backoff: Backoff = Backoff()


def fhir_route_of(send: SendTo, destination: FhirDestination) -> FhirRoute:
    """Return where a link goes and how its server is spoken to."""
    assert isinstance(send.to, Web), "a FHIR destination has a base"
    context = client = None
    if send.to.scheme == "https":
        given = send.tls
        context = tls.calling(given.ca, given.cert, given.key) if given else tls.calling(None, None, None)
    if send.smart is not None:
        one = send.smart
        client = client_of(one.token_url.url, one.client_id, one.key, one.key_id, one.algorithm, one.scope)
    return FhirRoute(
        send.name, send.to, destination, send.connections or destination.connections, send.timeout_s, context, client,
        Backoff(cap_s=send.retry_cap_s),
    )  # fmt: skip
