"""Things that arrive at a listener and are no charge."""

from __future__ import annotations

import random
from collections.abc import Sequence


def garbage(draw: random.Random, messages: Sequence[bytes]) -> bytes:
    """Return bytes that must be answered, kept where they may be, and never charged."""
    some = draw.choice(messages)
    head, rest = some.split(b"\r", 1)
    number = b"junk%d" % draw.randint(1, 30)
    return draw.choice(
        (
            b"hello, is this the charge engine?",
            b"\xff\xfe\x00nonsense",
            _changed(head, {8: b"ADT^A08", 9: number + b"a"}) + b"\r" + rest,
            _changed(head, {2: b"NOBODY", 9: number + b"n"}) + b"\r" + rest,
            _changed(head, {10: b"T", 9: number + b"t"}) + b"\r" + rest,
            _changed(head, {9: number + b"e"}) + b"\r",
            # The control id of a message that is a charge, with other bytes.
            some + b"ZZZ|" + number + b"\r",
        )
    )


def _changed(head: bytes, fields: dict[int, bytes]) -> bytes:
    cells = head.split(b"|")
    for place, value in fields.items():
        cells[place] = value
    return b"|".join(cells)
