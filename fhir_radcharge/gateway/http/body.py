"""Turns a stream of HTTP chunks into one body within its limits: bytes, time, and what gzip may grow to."""

from __future__ import annotations

import asyncio
import contextlib
import zlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

# A small body may be squeezed as far as it likes: repeated resources are. Beyond this, growth has a limit.
FREE_BYTES: Final = 1024 * 1024
RATIO_MAX: Final = 20
_CHUNK: Final = 64 * 1024
_LET_GO_BYTES: Final = 64 * 1024 * 1024
_LET_GO_S: Final = 1.0

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


class BodyError(Exception):
    """A body that is not taken: the status that says so, and why; nothing of it is quoted."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


class Buffer:
    """What all bodies that are on their way may hold together."""

    def __init__(self, bytes_max: int, held: Callable[[int], int]) -> None:
        self._max = bytes_max
        self._held = held

    def grow(self, count: int) -> None:
        """Count bytes in; raise BodyError where all senders together hold too many."""
        if self._held(count) > self._max:
            raise BodyError(503, "too much is on its way at once; send it again in a moment")

    def shrink(self, count: int) -> None:
        """Count bytes out."""
        self._held(-count)


class Drawn:
    """One body as it was drawn from its stream; `release` gives its bytes back to the budget."""

    def __init__(self, buffer: Buffer) -> None:
        self._buffer = buffer
        self._size = 0
        self._parts: list[bytes] = []

    def add(self, part: bytes) -> int:
        """Take a part in and return how many bytes there are."""
        self._size += len(part)
        self._parts.append(part)
        self._buffer.grow(len(part))
        return self._size

    def release(self) -> None:
        """Let the budget have the bytes back."""
        self._buffer.shrink(self._size)
        self._size = 0

    @property
    def whole(self) -> bytes:
        """The whole body."""
        return self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)


async def draw(receive: Receive, drawn: Drawn, bytes_max: int, within_s: float) -> bytes:
    """Return the whole body; raise BodyError for one that is too long, too slow, or cut off."""
    try:
        async with asyncio.timeout(within_s):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise BodyError(400, "the body ended before it was whole")
                part = message.get("body", b"")
                if part and drawn.add(part) > bytes_max:
                    raise BodyError(413, f"the body is longer than {bytes_max} bytes")
                if not message.get("more_body", False):
                    return drawn.whole
    except TimeoutError:
        raise BodyError(408, f"the body did not come within {within_s:g} s") from None


async def let_go(receive: Receive) -> None:
    """Read on for a moment and keep nothing: a connection that is closed while its sender still speaks is reset, and
    the answer with it."""
    left = _LET_GO_BYTES
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_LET_GO_S):
            while left > 0:
                message = await receive()
                left -= len(message.get("body", b""))
                if message["type"] == "http.disconnect" or not message.get("more_body", False):
                    return


def inflated(body: bytes, encoding: str, bytes_max: int) -> bytes:
    """Return a body as it was before its Content-Encoding; raise BodyError for a bomb, at the first byte too many."""
    if encoding in ("", "identity"):
        return body
    if encoding not in ("gzip", "x-gzip"):
        raise BodyError(415, "the Content-Encoding is not taken; send gzip or none")
    machine = zlib.decompressobj(31)
    most = min(bytes_max, max(FREE_BYTES, RATIO_MAX * len(body)))
    parts: list[bytes] = []
    size, rest = 0, body
    try:
        while not machine.eof:
            part = machine.decompress(rest, min(_CHUNK, most + 1 - size))
            rest = machine.unconsumed_tail
            size += len(part)
            if size > most:
                raise BodyError(413, f"the body unpacks to more than {most} bytes")
            parts.append(part)
            if not part and not rest:
                raise BodyError(400, "the gzip body is cut short")
    except zlib.error:
        raise BodyError(400, "the body is not gzip") from None
    if machine.unused_data:
        raise BodyError(400, "something follows the gzip body")
    return b"".join(parts)
