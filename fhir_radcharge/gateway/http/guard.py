"""uvicorn's HTTP protocol with the limits that a door needs: who comes in, how long a header takes, how long it is."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from fhir_radcharge.gateway.lobby import Door, Lobby
from fhir_radcharge.gateway.tls import names_of

HEADER_BYTES_MAX: Final = 32 * 1024
_SILENT: Final = logging.Logger("silent", logging.CRITICAL + 1)


class Guarded(HttpToolsProtocol):
    """One connection of a FHIR sender."""

    def __init__(self, config: Config, state: ServerState, door: Door, lobby: Lobby) -> None:
        super().__init__(config, state, {})
        # Its lines are of no form that our logs have, and might quote a request.
        self.logger = self.access_logger = _SILENT
        self.door = door
        self._lobby = lobby
        self._host = ""
        self._inside = False
        self._header_bytes = 0
        self._clock: asyncio.TimerHandle | None = None

    # What the event loop and the parser say.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the connection, or close it at once if a limit or its certificate says so."""
        super().connection_made(transport)
        address = transport.get_extra_info("peername") or ("local", 0)
        self._host = str(address[0])
        refusal = self._lobby.refusal(self.door, self._host)
        if refusal is None and self.door.client_names:
            names = names_of(transport.get_extra_info("peercert"))
            refusal = None if names & self.door.client_names else "certificate_name"
        if refusal:
            self._lobby.count(refusal, self.door.name, self._host)
            transport.abort()
        else:
            self._lobby.enter(self, self.door, self._host)
            self._wait_for_header()

    def connection_lost(self, exc: Exception | None) -> None:
        """Count the connection out."""
        self._stop_waiting()
        self._lobby.leave(self, self.door, self._host)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Feed the parser, as long as the header is neither too long nor too slow."""
        if self.parser is None or self.transport.is_closing():
            return
        if not self._inside:
            if self._clock is None:
                self._wait_for_header()
            self._header_bytes += len(data)
        super().data_received(data)
        if not self._inside and self._header_bytes > HEADER_BYTES_MAX:
            self._lobby.count("header_too_long", self.door.name, self._host)
            self.send_400_response("The header is too long.")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; a flood of small ones in one piece has a limit too."""
        super().on_header(name, value)
        if len(self.headers) > 200 or len(value) > HEADER_BYTES_MAX:
            raise httptools.HttpParserError("too many headers")

    def on_headers_complete(self) -> None:
        """Begin the request."""
        self._inside = True
        self._header_bytes = 0
        self._stop_waiting()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """End the request: what follows is a header again."""
        self._inside = False
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP, and close."""
        if self.parser is None or self.transport.is_closing():
            return
        text = (
            b'{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"structure",'
            b'"diagnostics":"the request is not HTTP that is taken here"}]}'
        )
        head = b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/fhir+json\r\nconnection: close\r\n"
        self.transport.write(head + b"content-length: %d\r\n\r\n" % len(text) + text)
        self.transport.close()

    # What the listener asks.

    @property
    def owed(self) -> int:
        """Return whether an answer is owed."""
        return int(self.cycle is not None and not self.cycle.response_complete)

    def sweep(self, now: float) -> None:
        """Do nothing: each connection has its own clocks."""

    def hang_up(self) -> None:
        """Read no more; close when nothing is owed."""
        self.shutdown()

    def give_up(self, reason: str) -> None:
        """Close without an answer."""
        self._lobby.count(reason, self.door.name, self._host)
        self.transport.abort()

    def _wait_for_header(self) -> None:
        self._stop_waiting()
        self._clock = self.loop.call_later(self.door.limits.frame_s, self._too_slow)

    def _stop_waiting(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None

    def _too_slow(self) -> None:
        self._lobby.count("header_too_slow", self.door.name, self._host)
        self.transport.abort()


def uvicorn_config(app: Any, idle_s: float) -> Config:
    """Return what uvicorn's protocol asks of a configuration: one app, no logs of addresses, no banner."""
    config = Config(
        app, log_config=None, access_log=False, server_header=False, date_header=False, lifespan="off",
        http="httptools", ws="none", timeout_keep_alive=int(max(1, idle_s)), proxy_headers=False,
    )  # fmt: skip
    config.load()
    return config
