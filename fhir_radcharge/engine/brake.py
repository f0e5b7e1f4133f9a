"""A flood of credits into a pause: above so many an hour, a second person says whether they may go."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from datetime import datetime, timedelta

from fhir_radcharge.engine.items import Item, hold, item_key
from fhir_radcharge.engine.rooms import Send, label
from fhir_radcharge.engine.state import resumed_at
from fhir_radcharge.ledger import Ledger

_HOUR = timedelta(hours=1)


def flood_item(destination: str) -> Item:
    """Return the work item of a destination that was paused by its own credits."""
    return Item(
        item_key("credit_flood", destination),
        "credit_flood",
        "credit_flood",
        destination=destination,
        note="more credits than may go in an hour; look why, then let a second person resume the destination",
    )


class Brake:
    """Counts the credits that go to each destination within an hour, or since a person last resumed it."""

    def __init__(self, ledger: Ledger, per_hour_max: int | None) -> None:
        self._ledger = ledger
        self._max = per_hour_max
        self._generation = -1
        self._gone: dict[str, deque[str]] = {}

    def allowed(self, destination: str, sends: Sequence[Send], now: datetime) -> list[Send]:
        """Return the sends that may go; where a credit may not, the destination is paused."""
        if self._max is None or not sends:
            return list(sends)
        credits = self._credits(sends)
        if not credits:
            return list(sends)
        gone = self._since(destination, max(label(now - _HOUR), resumed_at(self._ledger, destination)))
        room = self._max - len(gone)
        allowed = [send for send in sends if send.seq not in credits or (room := room - 1) >= 0]
        gone.extend(label(now) for send in allowed if send.seq in credits)
        if len(allowed) < len(sends):
            self._pause(destination, label(now))
        return allowed

    def _credits(self, sends: Sequence[Send]) -> set[int]:
        first = [send.seq for send in sends if send.attempt == 1]
        marks = ",".join("?" * len(first))
        sql = f"select send from posting where kind = 'CREDIT' and send in ({marks})"  # noqa: S608
        return {seq for (seq,) in self._ledger.read(sql, first)}

    def _since(self, destination: str, start: str) -> deque[str]:
        if self._generation != self._ledger.generation:
            self._gone.clear()
            self._generation = self._ledger.generation
        if destination not in self._gone:
            rows = self._ledger.read(
                "select a.at from attempt a join posting p on p.send = a.send where a.at >= ? and a.attempt = 1"
                " and p.kind = 'CREDIT' and p.destination = ? order by a.number",
                (start, destination),
            )
            self._gone[destination] = deque(at for (at,) in rows)
        gone = self._gone[destination]
        while gone and gone[0] < start:
            gone.popleft()
        return gone

    def _pause(self, destination: str, at: str) -> None:
        number = self._ledger.next_number("decision")
        why = "more credits than may go in an hour"
        self._ledger.append(
            "decision", [(number, "pause", f"destination/{destination}", "fhir-radcharge", why, at, "{}")]
        )
        hold(self._ledger, [flood_item(destination)], at)
