"""The small working state: cursors, the latest day, and what a person has decided for each destination."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from fhir_radcharge.ledger import Ledger

# States of an outbox row.
READY = 0  # may go out when its lane is free
OUT = 1  # an attempt is recorded and has no outcome yet
ASKED = 2  # may have arrived; a person or a query says
WAITING = 3  # its course is blocked at this destination

MODES = ("live", "shadow", "drain")
PACES = ("pause", "resume")


def cursor(ledger: Ledger, name: str) -> int:
    """Return a counter, 0 if it was never set."""
    rows = ledger.read("select value from cursor where name = ?", (name,))
    return int(rows[0][0]) if rows else 0


def set_cursor(ledger: Ledger, name: str, value: int) -> None:
    """Set a counter."""
    ledger.write("insert or replace into cursor (name, value) values (?, ?)", (name, value))


def latest_day(ledger: Ledger) -> date | None:
    """Return the newest day that was appended, None before the first."""
    rows = ledger.read("select day from day order by number desc limit 1")
    return date.fromisoformat(rows[0][0]) if rows else None


def destination_modes(ledger: Ledger, names: Iterable[str]) -> dict[str, str]:
    """Return for each destination whether it is live, in shadow or drained; live until a person decides."""
    return {name: _latest(ledger, name, MODES) or "live" for name in names}


def is_paused(ledger: Ledger, destination: str) -> bool:
    """Tell whether nothing goes to a destination: a person has stopped it, or it is a shadow."""
    return _latest(ledger, destination, PACES) == "pause" or _latest(ledger, destination, MODES) == "shadow"


def resumed_at(ledger: Ledger, destination: str) -> str:
    """Return when a person last resumed a destination, "" if nobody ever did."""
    rows = ledger.read(
        "select at from decision where subject = ? and kind = 'resume' order by number desc limit 1",
        (f"destination/{destination}",),
    )
    return str(rows[0][0]) if rows else ""


def _latest(ledger: Ledger, destination: str, kinds: tuple[str, ...]) -> str | None:
    marks = ",".join("?" * len(kinds))
    rows = ledger.read(
        f"select kind from decision where subject = ? and kind in ({marks}) order by number desc limit 1",  # noqa: S608
        (f"destination/{destination}", *kinds),
    )
    return rows[0][0] if rows else None
