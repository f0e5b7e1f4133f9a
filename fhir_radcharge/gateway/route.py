"""What is known of the way to a destination: where it is, how long to wait, and what its answers mean."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Literal, NamedTuple

Kind = Literal["accepted", "refused", "not_taken", "silent"]

ANSWERS: Mapping[str, Kind] = {
    "AA": "accepted", "CA": "accepted", "AE": "refused", "CE": "refused", "AR": "refused", "CR": "refused",
}  # fmt: skip


class Backoff(NamedTuple):
    """How long to wait before the next try: doubling from `first_s`, at most `cap_s`, half of it by chance.

    So many lanes do not come back at one instant, and a dead peer sees two tries a minute at most.
    """

    first_s: float = 0.5
    cap_s: float = 60.0

    def wait_s(self, failures: int, chance: float) -> float:
        """Return the wait after so many failures in a row; `chance` is in [0, 1)."""
        full = min(self.cap_s, self.first_s * 2.0 ** min(failures - 1, 32))
        return full / 2 + chance * full / 2


class Route(NamedTuple):
    """Where a destination is and how it answers.

    `answers` gives the outcome of each MSA-1; a code that is not in it is a garbled answer. With
    `awaits_application` a CA is not the last word: AA, AE or AR follows on the same connection.
    """

    name: str
    host: str
    port: int
    lanes: int = 1
    timeout_s: float = 30.0
    ssl: ssl.SSLContext | None = None
    answers: Mapping[str, Kind] = ANSWERS
    awaits_application: bool = False
    backoff: Backoff = Backoff()
    connect_s: float = 10.0
    doubt_s: float = 0.5
    answer_bytes_max: int = 64 * 1024
