"""The FHIR listener: binds, lets senders in, and closes without losing an answer."""

from __future__ import annotations

import asyncio

from uvicorn.server import ServerState

from fhir_radcharge.gateway.http.app import Desk, app_of
from fhir_radcharge.gateway.http.guard import Guarded, uvicorn_config
from fhir_radcharge.gateway.listening import bound, drained, guests
from fhir_radcharge.gateway.lobby import Door, Lobby


class FhirListener:
    """Listen at one FHIR door; `close` hears no more and returns when every answer owed is written."""

    def __init__(self, door: Door, desk: Desk, lobby: Lobby) -> None:
        self._door = door
        self._desk = desk
        self._lobby = lobby
        self._server: asyncio.Server | None = None
        self._state = ServerState()
        self._config = uvicorn_config(app_of(desk), door.limits.idle_s)

    async def open(self) -> int:
        """Bind and accept; return the port, which the system chose if the door's was 0."""
        self._server, port = await bound(self._door, self._connection)
        return port

    async def close(self, within_s: float = 5.0) -> None:
        """Accept no more, wait for the answers owed, then close what is left."""
        if self._server is not None:
            self._server.close()
        await drained(self._door, self._lobby, within_s)
        for connection in guests(self._door, self._lobby):
            connection.give_up("shutdown")
        self._desk.close()

    def _connection(self) -> Guarded:
        return Guarded(self._config, self._state, self._door, self._lobby)
