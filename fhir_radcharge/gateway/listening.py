"""What both kinds of listener do: bind a door, know who is in, and wait for the answers owed before they close."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from fhir_radcharge.gateway.lobby import Door, Guest, Lobby


async def bound(door: Door, connection: Callable[[], asyncio.BaseProtocol]) -> tuple[asyncio.Server, int]:
    """Bind and accept; return the server and its port, which the system chose if the door's was 0."""
    server = await asyncio.get_running_loop().create_server(
        connection, door.host, door.port, backlog=1024, ssl=door.ssl,
        ssl_handshake_timeout=10.0 if door.ssl else None,
    )  # fmt: skip
    return server, int(server.sockets[0].getsockname()[1])


def guests(door: Door, lobby: Lobby) -> list[Guest]:
    """Return the connections that came in by this door."""
    return [one for one in lobby.connections if one.door is door]


async def drained(door: Door, lobby: Lobby, within_s: float) -> list[Guest]:
    """Read no more, wait for the answers owed, at most so long; return the connections there were."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within_s
    connections = guests(door, lobby)
    for connection in connections:
        connection.hang_up()
    while any(connection.owed for connection in connections) and loop.time() < deadline:
        await asyncio.sleep(0.005)
    return connections
