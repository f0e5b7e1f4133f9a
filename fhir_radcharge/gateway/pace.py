"""How the one who owns the books shares the time between the door and the backlog."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import NamedTuple


class Pace(NamedTuple):
    """How the time is shared between the door and the backlog.

    A slice of processing is kept near `slice_s`, and the door has `door_s` between two slices while senders
    are waiting: nothing is kept during a slice, so a longer one is a longer silence at the door.
    When nothing was heard for `quiet_s`, slices grow to `quiet_slice_s`, or to `answering_slice_s` while
    destinations answer, because every lane waits for a slice before its next message goes out. For each patient
    that a slice computes it may read `ahead` messages, so that a busy patient is computed once for several. After
    a turn that took up at least `crowd` items the next one waits `together_s`, so that those who speak at once
    share a commit.
    """

    frames_max: int = 512
    slice_s: float = 0.005
    door_s: float = 0.006
    crowd: int = 8
    together_s: float = 0.001
    quiet_s: float = 0.25
    quiet_slice_s: float = 0.025
    answering_slice_s: float = 0.016
    messages_max: int = 500
    ahead: int = 16
    poll_s: float = 1.0
    retry_s: float = 0.1
    retry_max_s: float = 2.0


EVEN = Pace()


class Slices:
    """When the backlog's next slice is due, and how many patients it may compute to last as long as wanted."""

    def __init__(self, pace: Pace, clock: Callable[[], float] = monotonic) -> None:
        self._pace = pace
        self._clock = clock
        self._door_until = 0.0
        self._heard_at = self._answered_at = 0.0
        self._each_s = pace.slice_s / 4
        self._wanted_s = pace.slice_s
        self.size = 4

    def due(self, heard: bool, answered: bool = False) -> bool:
        now = self._clock()
        if answered:
            self._answered_at = now
        if heard:
            self._heard_at = now
            if now < self._door_until:
                return False
        self._wanted_s = self._pace.slice_s
        if now - self._heard_at > self._pace.quiet_s:
            answering = now - self._answered_at <= self._pace.quiet_s
            self._wanted_s = self._pace.answering_slice_s if answering else self._pace.quiet_slice_s
        self.size = max(1, min(self._pace.messages_max, round(self._wanted_s / self._each_s)))
        return True

    @property
    def messages(self) -> int:
        return min(self._pace.messages_max, self.size * self._pace.ahead)

    def took(self, elapsed_s: float, done: int) -> None:
        if done:
            self._each_s = max(1e-6, 0.7 * self._each_s + 0.3 * elapsed_s / done)
        self._door_until = self._clock() + self._pace.door_s
