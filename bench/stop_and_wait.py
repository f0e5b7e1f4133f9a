"""Senders in a process of their own, each connection with one outstanding message, and how long each answer took."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from multiprocessing.connection import Connection as Pipe
from typing import Any, NamedTuple


class Told(NamedTuple):
    """What the senders' process is told."""

    port: int
    connections: int
    messages: int
    run: str


class Way(NamedTuple):
    """How a message is framed, by run and number; how an answer ends; and whether it says yes."""

    framed: Callable[[str, int], bytes]
    ends: bytes
    yes: Callable[[bytes], bool]


class Sender(asyncio.Protocol):
    """Stop and wait: the next message leaves when the answer to the last one is here."""

    def __init__(self, way: Way, frames: list[bytes], times: list[float], done: asyncio.Future[None]) -> None:
        self.way, self.frames = way, frames
        self.at, self.began = 0, 0.0
        self.times, self.done, self.heard = times, done, b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def go(self) -> None:
        self.began = time.perf_counter()
        self.transport.write(self.frames[self.at])

    def data_received(self, data: bytes) -> None:
        self.heard += data
        if not self.heard.endswith(self.way.ends):
            return
        assert self.way.yes(self.heard), self.heard
        self.heard = b""
        self.times.append(time.perf_counter() - self.began)
        self.at += 1
        if self.at < len(self.frames):
            self.go()
        else:
            self.transport.close()
            self.done.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(RuntimeError("the listener hung up"))


async def send_all(told: Told, way: Way) -> tuple[float, list[float]]:
    """Return the seconds from the first byte to the last answer, and each answer's own seconds."""
    loop, times, senders, ends = asyncio.get_running_loop(), [], [], []
    for n in range(told.connections):
        done = loop.create_future()
        frames = [way.framed(told.run, number) for number in range(n, told.messages, told.connections)]
        sender = Sender(way, frames, times, done)
        await loop.create_connection(lambda one=sender: one, "127.0.0.1", told.port)
        senders.append(sender)
        ends.append(done)
    began = time.perf_counter()
    for sender in senders:
        sender.go()
    await asyncio.gather(*ends)
    return time.perf_counter() - began, times


def serve(pipe: Pipe, way: Way) -> None:
    """Serve rounds until told to stop."""
    while (told := pipe.recv()) is not None:
        pipe.send(asyncio.run(send_all(told, way)))
