"""The outbound link to one destination: keeps its lanes up and fed, and hands outcomes to the books."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from fhir_radcharge.engine import Outcome, Send
from fhir_radcharge.gateway.lane import Lane
from fhir_radcharge.gateway.logs import log
from fhir_radcharge.gateway.roles import Desk
from fhir_radcharge.gateway.route import Route


class Link:
    """All lanes to one destination; while it cannot be reached one lane tries for all.

    `chance` returns a number in [0, 1): the jitter of the waits between tries.
    """

    def __init__(self, route: Route, desk: Desk, chance: Callable[[], float]) -> None:
        self.route = route
        self.destination = route.name
        self.lanes = route.lanes
        self.chance = chance
        self.loop = asyncio.get_running_loop()
        self.paused = False
        self.closing = False
        self._desk = desk
        self._reached: bool | None = None
        self._all = [Lane(self, number) for number in range(route.lanes)]

    def open(self) -> None:
        """Begin to connect; the first lane alone, the others when it has got through."""
        self._all[0].dial()

    def carry(self, sends: list[Send]) -> None:
        """Send each on its lane."""
        for send in sends:
            self._all[send.lane].carry(send)

    def pause(self) -> None:
        """Take up no more sends; what is outstanding is waited for."""
        self.paused = True
        for lane in self._all:
            lane.pause()

    def resume(self) -> None:
        """Take up sends again."""
        self.paused = False
        for lane in self._all:
            lane.want()

    async def close(self, within_s: float = 5.0) -> None:
        """Take up no more, wait for outstanding answers, then close; a missing answer is `silent`."""
        self.pause()
        deadline = self.loop.time() + within_s
        while self.outstanding and self.loop.time() < deadline:
            await asyncio.sleep(0.005)
        self.closing = True
        for lane in self._all:
            lane.close()

    @property
    def outstanding(self) -> int:
        """Return how many messages are said and not answered."""
        return sum(lane.send is not None for lane in self._all)

    @property
    def up(self) -> int:
        """Return how many lanes are connected."""
        return sum(lane.up for lane in self._all)

    def state(self) -> dict[str, str | int]:
        """Return what an operator asks first: is it up, is it paused, what is outstanding."""
        word = "paused" if self.paused else "connected" if self.up else "unreachable"
        return {"state": word, "lanes": self.lanes, "up": self.up, "outstanding": self.outstanding}

    # What the lanes ask.

    def want(self, lane: int) -> None:
        """Have the lane's next send brought."""
        self._desk.want(self, lane)

    def withdraw(self, lane: int) -> None:
        """Take a want back."""
        self._desk.withdraw(self, lane)

    def settle(self, outcome: Outcome) -> None:
        """Have an outcome written."""
        self._desk.settle(outcome)

    def may_dial(self, lane: int) -> bool:
        """Tell whether a lane may try: when another is up, or when no earlier one is at it."""
        return self.up > 0 or not any(other.dialling for other in self._all[:lane])

    def got_through(self) -> None:
        """Let the other lanes connect too."""
        if self.up and not self._reached:
            self._reached = True
            log.info("destination_reached", destination=self.destination)
        for lane in self._all:
            lane.dial()

    def not_reached(self) -> None:
        """Say once that the destination is away."""
        if self._reached is not False and not self.up:
            self._reached = False
            log.warning("destination_unreachable", destination=self.destination)
