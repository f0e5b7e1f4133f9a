"""The rules of a door, and what all doors share: who is in, from where, and how many bytes they hold."""

from __future__ import annotations

import ssl
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple, Protocol

from fhir_radcharge.gateway.logs import log


class Limits(NamedTuple):
    """What one listener grants a peer. Every limit exists because somebody, once, did not have it.

    `frame_s` is from the first to the last byte of a frame: a sender that dribbles holds memory for ever.
    `owed_max` is how many unanswered frames a connection may have before it is no longer read: TCP then slows
    the sender down. `junk_bytes_max` is what may come outside frames: more is a peer that speaks no MLLP.
    """

    frame_bytes_max: int = 1024 * 1024
    frame_s: float = 30.0
    idle_s: float = 900.0
    connections_max: int = 10_000
    connections_per_peer_max: int = 64
    owed_max: int = 256
    junk_bytes_max: int = 1024
    doubt_s: float = 0.5


class Door(NamedTuple):
    """One listener's name and rules.

    `oversize` returns the answer to a frame over the limit: it names no message, because the bytes are gone.
    `client_names` are the certificate names admitted; empty admits all.
    """

    name: str
    host: str
    port: int
    limits: Limits = Limits()
    ssl: ssl.SSLContext | None = None
    oversize: Callable[[int], bytes] | None = None
    client_names: frozenset[str] = frozenset()


class Guest(Protocol):
    """A connection, as its listener sees it."""

    door: Door

    @property
    def owed(self) -> int: ...
    def sweep(self, now: float) -> None: ...
    def hang_up(self) -> None: ...
    def give_up(self, reason: str) -> None: ...


class Lobby:
    """What all listeners share: how many connections there are, from whom, and how many bytes they hold."""

    def __init__(self, connections_max: int = 10_000, buffer_bytes_max: int = 256 * 1024 * 1024) -> None:
        self.connections_max = connections_max
        self.buffer_bytes_max = buffer_bytes_max
        self.connections: set[Guest] = set()
        self.by_peer: Counter[tuple[str, str]] = Counter()
        self.by_door: Counter[str] = Counter()
        self.buffered = 0
        self.counts: Counter[str] = Counter()

    def refusal(self, door: Door, host: str) -> str | None:
        """Return why one more connection from this host is not taken, or None."""
        if len(self.connections) >= self.connections_max:
            return "connections_total"
        if self.by_door[door.name] >= door.limits.connections_max:
            return "connections_listener"
        if self.by_peer[door.name, host] >= door.limits.connections_per_peer_max:
            return "connections_peer"
        return None

    def enter(self, connection: Guest, door: Door, host: str) -> None:
        """Count a connection in."""
        self.connections.add(connection)
        self.by_peer[door.name, host] += 1
        self.by_door[door.name] += 1

    def leave(self, connection: Guest, door: Door, host: str) -> None:
        """Count a connection out; one that was never counted in is nothing."""
        if connection not in self.connections:
            return
        self.connections.discard(connection)
        self.by_door[door.name] -= 1
        self.by_peer[door.name, host] -= 1
        if not self.by_peer[door.name, host]:
            del self.by_peer[door.name, host]

    def count(self, event: str, door: str, host: str) -> None:
        """Log a fault of a peer: the first of its kind from a host, then the tenth, the hundredth, ..."""
        key = f"{event} {door} {host}"
        if len(self.counts) > 10_000:
            self.counts.clear()  # a scan from many hosts must not grow the memory
        self.counts[key] += 1
        seen = self.counts[key]
        if str(seen).strip("0") == "1":
            log.warning(event, listener=door, peer=host, times=seen)
