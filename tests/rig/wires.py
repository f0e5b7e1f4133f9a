"""A connection that cuts what it carries at random points, through the real framer."""

from __future__ import annotations

import random

from fhir_radcharge.wire.mllp import Frame, Framer, frame

PAYLOAD_BYTES_MAX = 1 << 20


class Wire:
    """One direction of a connection: bytes in pieces on one side, payloads on the other."""

    def __init__(self, draw: random.Random) -> None:
        self._draw = draw
        self._framer = Framer(PAYLOAD_BYTES_MAX)

    def carry(self, payload: bytes, cut: bool = False) -> list[bytes]:
        """Return the payloads that come out; a cut connection loses the end, and begins anew."""
        data = frame(payload)
        if cut:
            data = data[: self._draw.randint(1, len(data) - 3)]
        heard = [item for piece in self._pieces(data) for item in self._framer.feed(piece)]
        if cut:
            heard += self._framer.finish()
        return [item.payload for item in heard if isinstance(item, Frame)]

    def _pieces(self, data: bytes) -> list[bytes]:
        points = sorted(self._draw.randint(0, len(data)) for _ in range(self._draw.randint(0, 3)))
        return [data[a:b] for a, b in zip([0, *points], [*points, len(data)], strict=True)]
