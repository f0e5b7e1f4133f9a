"""The FHIR listener: binds, lets senders in, and closes without losing an answer."""

from __future__ import annotations

import asyncio

from uvicorn.server import ServerState

from fhir_radcharge.gateway.http.app import Desk, app_of
from fhir_radcharge.gateway.http.guard import Guarded, uvicorn_config
from fhir_radcharge.gateway.lobby import Door, Guest, Lobby


class FhirListener:
    """Listen at one FHIR door; `close` hears no more and returns when every answer owed is written."""

    def __init__(self, door: Door, desk: Desk, lobby: Lobby) -> None:
        self._door = door
        self._desk = desk
        self._lobby = lobby
        self._server: asyncio.Server | None = None
        self._state = ServerState()
        self._config = uvicorn_config(app_of(desk), door.limits.idle_s)
        self._loop = asyncio.get_running_loop()

    async def open(self) -> int:
        """Bind and accept; return the port, which the system chose if the door's was 0."""
        self._server = await self._loop.create_server(
            self._connection, self._door.host, self._door.port, backlog=1024, ssl=self._door.ssl,
            ssl_handshake_timeout=10.0 if self._door.ssl else None,
        )  # fmt: skip
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self, within_s: float = 5.0) -> None:
        """Accept no more, wait for the answers owed, then close what is left."""
        if self._server is not None:
            self._server.close()
        deadline = self._loop.time() + within_s
        connections = self._connections()
        for connection in connections:
            connection.hang_up()
        while any(connection.owed for connection in connections) and self._loop.time() < deadline:
            await asyncio.sleep(0.005)
        for connection in self._connections():
            connection.give_up("shutdown")
        self._desk.close()

    def _connection(self) -> Guarded:
        return Guarded(self._config, self._state, self._door, self._lobby)

    def _connections(self) -> list[Guest]:
        return [one for one in self._lobby.connections if one.door is self._door]
