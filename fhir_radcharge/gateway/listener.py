"""The inbound door: binds, lets senders in, watches their clocks, and closes without losing an answer."""

from __future__ import annotations

import asyncio

from fhir_radcharge.gateway.connection import Connection
from fhir_radcharge.gateway.lobby import Door, Guest, Lobby
from fhir_radcharge.gateway.roles import Keeper


class Listener:
    """Listen at one door; `close` hears no more and returns when every answer owed is written."""

    def __init__(self, door: Door, books: Keeper, lobby: Lobby) -> None:
        self._door = door
        self._books = books
        self._lobby = lobby
        self._server: asyncio.Server | None = None
        self._sweeper: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()

    async def open(self) -> int:
        """Bind and accept; return the port, which the system chose if the door's was 0."""
        self._server = await self._loop.create_server(
            self._connection, self._door.host, self._door.port, backlog=1024, ssl=self._door.ssl,
            ssl_handshake_timeout=10.0 if self._door.ssl else None,
        )  # fmt: skip
        self._sweep()
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self, within_s: float = 5.0) -> None:
        """Accept and read no more, wait for the answers owed, then close what is left."""
        if self._server is not None:
            self._server.close()
        deadline = self._loop.time() + within_s
        connections = self._connections()
        for connection in connections:
            connection.hang_up()
        while any(connection.owed for connection in connections) and self._loop.time() < deadline:
            await asyncio.sleep(0.005)
        if self._sweeper is not None:
            self._sweeper.cancel()
        for connection in connections:
            if connection.owed:
                connection.give_up("shutdown")
            else:
                connection.hang_up()

    def _connection(self) -> Connection:
        return Connection(self._door, self._books, self._lobby, self._loop.time)

    def _connections(self) -> list[Guest]:
        return [one for one in self._lobby.connections if one.door is self._door]

    def _sweep(self) -> None:
        now = self._loop.time()
        for connection in self._connections():
            connection.sweep(now)
        limits = self._door.limits
        pause = min(1.0, limits.frame_s / 4, limits.idle_s / 4, limits.doubt_s)
        self._sweeper = self._loop.call_later(pause, self._sweep)
