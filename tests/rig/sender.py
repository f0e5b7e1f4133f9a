"""A record-and-verify system that says its messages until it has heard that they are safe."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import date

from rig.faults import Faults


class Sender:
    """Say each message until it is acknowledged; keep the list of those that were."""

    def __init__(self, messages: Sequence[bytes], draw: random.Random, faults: Faults) -> None:
        self.left = list(messages)
        self.acked: list[bytes] = []
        self.refused: list[bytes] = []
        self._draw = draw
        self._faults = faults

    def next(self) -> bytes | None:
        """Return what to say now: the next message, one that overtakes it, or one said before."""
        draw, faults = self._draw, self._faults
        if self.acked and draw.random() < faults.repeat:
            return draw.choice(self.acked)
        if not self.left:
            return None
        if len(self.left) > 1 and draw.random() < faults.reorder:
            return self.left[draw.randrange(min(len(self.left), 12))]
        return self.left[0]

    def burst(self) -> list[bytes]:
        """Return what is said in one breath: mostly one message, now and then several without waiting."""
        first = self.next()
        if first is None:
            return []
        more = self.left[: self._draw.choice((0, 0, 0, 1, 3))]
        return [first, *(raw for raw in more if raw != first)]

    def hear(self, raw: bytes, answer: bytes) -> None:
        """Take the answer to a message: only one that names it counts."""
        fields = [line.split(b"|") for line in answer.split(b"\r")]
        code, control_id = next((line[1], line[2]) for line in fields if line[0] == b"MSA")
        if control_id != control_id_of(raw):
            return
        if raw in self.left:
            self.left.remove(raw)
        if code in (b"AA", b"CA"):
            self.acked.append(raw)
        else:
            self.refused.append(raw)


def control_id_of(raw: bytes) -> bytes:
    """Return MSH-10."""
    fields = raw.split(b"\r", 1)[0].split(b"|")
    return fields[9] if len(fields) > 9 else b""


def sent_on(raw: bytes) -> date:
    """Return the day of MSH-7."""
    said = raw.split(b"\r", 1)[0].split(b"|")[6].decode()
    return date(int(said[:4]), int(said[4:6]), int(said[6:8]))
