"""What the configuration says of a FHIR listener, turned into the listener."""

from __future__ import annotations

from fhir_radcharge.config import FhirListen
from fhir_radcharge.errors import ConfigError
from fhir_radcharge.gateway import tls
from fhir_radcharge.gateway.http.app import BooksDesk, Desk, Rules
from fhir_radcharge.gateway.http.listener import FhirListener
from fhir_radcharge.gateway.lobby import Door, Limits, Lobby
from fhir_radcharge.site import Site

_TOKEN_BYTES_MIN = 16


def fhir_listener_of(listen: FhirListen, site: Site, books: BooksDesk, lobby: Lobby) -> FhirListener:
    """Return the listener that a section describes; raise ConfigError for a token that is none."""
    granted, context, names = listen.limits, None, frozenset[str]()
    if listen.tls is not None:
        context = tls.listening(listen.tls.cert, listen.tls.key, listen.tls.client_ca)
        names = frozenset(listen.tls.client_names)
    limits = Limits(
        frame_bytes_max=granted.body, frame_s=granted.header_s, idle_s=granted.idle_s,
        connections_max=granted.connections, connections_per_peer_max=granted.connections_per_peer,
    )  # fmt: skip
    rules = Rules(
        listen.name, site.fhir.senders[listen.sender], granted.body, granted.body_s, lobby.buffer_bytes_max,
        _token(listen),
    )  # fmt: skip
    door = Door(listen.name, listen.bind.host, listen.bind.port, limits, context, client_names=names)
    return FhirListener(door, Desk(rules, books, lobby), lobby)


def _token(listen: FhirListen) -> bytes:
    if listen.token is None:
        return b""
    token = listen.token.read_bytes().strip()
    if len(token) < _TOKEN_BYTES_MIN or not token.isascii() or b"\n" in token:
        raise ConfigError(
            f"fhir_listen[{listen.name}].token: is shorter than {_TOKEN_BYTES_MIN} characters or more than one line;"
            " write one long random word"
        )
    return token
