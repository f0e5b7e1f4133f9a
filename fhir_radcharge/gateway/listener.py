"""The inbound door: binds, lets senders in, watches their clocks, and closes without losing an answer."""

from __future__ import annotations

import asyncio

from fhir_radcharge.gateway.connection import Connection
from fhir_radcharge.gateway.listening import bound, drained, guests
from fhir_radcharge.gateway.lobby import Door, Lobby
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
        self._server, port = await bound(self._door, self._connection)
        self._sweep()
        return port

    async def close(self, within_s: float = 5.0) -> None:
        """Accept and read no more, wait for the answers owed, then close what is left."""
        if self._server is not None:
            self._server.close()
        connections = await drained(self._door, self._lobby, within_s)
        if self._sweeper is not None:
            self._sweeper.cancel()
        for connection in connections:
            if connection.owed:
                connection.give_up("shutdown")
            else:
                connection.hang_up()

    def _connection(self) -> Connection:
        return Connection(self._door, self._books, self._lobby, self._loop.time)

    def _sweep(self) -> None:
        now = self._loop.time()
        for connection in guests(self._door, self._lobby):
            connection.sweep(now)
        limits = self._door.limits
        pause = min(1.0, limits.frame_s / 4, limits.idle_s / 4, limits.doubt_s)
        self._sweeper = self._loop.call_later(pause, self._sweep)
