"""A seed into choices that are the same on every platform and in every version of Python."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import TypeVar

T = TypeVar("T")


class Chance:
    """Draw choices from a seed.

    Only `random()` is used: it alone is promised never to change between versions of Python. The seed is a
    text, which is hashed with SHA-512 and so does not depend on the hash seed of the process.
    """

    __slots__ = ("_draw",)

    def __init__(self, seed: str) -> None:
        self._draw = random.Random(seed).random

    def happens(self, share: float) -> bool:
        """Return True in `share` of the cases."""
        return self._draw() < share

    def between(self, low: int, high: int) -> int:
        """Return a whole number from `low` to `high`, both included."""
        return low + int(self._draw() * (high - low + 1))

    def pick(self, choices: Sequence[T]) -> T:
        """Return one of the choices, each as likely as the others."""
        return choices[int(self._draw() * len(choices))]

    def weighted(self, weights: Mapping[str, float]) -> str:
        """Return a key, as often as its weight says."""
        rest = self._draw() * sum(weights.values())
        for key, weight in weights.items():
            rest -= weight
            if rest < 0:
                return key
        return key
