"""What a person says of a destination, and what an earlier system has charged, into decisions of the engine."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from fhir_radcharge.engine import Engine, Opening
from fhir_radcharge.errors import UnsafeError
from fhir_radcharge.model import Charge

Args = Mapping[str, Any]


def pause(engine: Engine, args: Args) -> dict[str, Any]:
    """Stop sending to a destination; what is due is computed and kept."""
    return _set(engine, "pause", args)


def resume(engine: Engine, args: Args) -> dict[str, Any]:
    """Send to a paused destination again."""
    return _set(engine, "resume", args)


def drain(engine: Engine, args: Args) -> dict[str, Any]:
    """Send what waits at a destination and compute nothing new for it."""
    return _set(engine, "drain", args)


def shadow(engine: Engine, args: Args) -> dict[str, Any]:
    """Compute for a destination, and send nothing."""
    return _set(engine, "shadow", args)


def live(engine: Engine, args: Args) -> dict[str, Any]:
    """Send to a destination in earnest."""
    return _set(engine, "live", args)


def opening(engine: Engine, args: Args) -> dict[str, Any]:
    """Load charges that an earlier system has made as standing; a row that is there already is passed over."""
    rows = [_opening(row) for row in args["rows"]]
    unknown = sorted({row.destination for row in rows} - set(engine.site.destinations))
    if unknown:
        raise UnsafeError(f"there is no destination {', '.join(unknown)} in this site's files")
    return {"rows": len(rows), "new": engine.decisions.open_with(rows, args["by"], args["why"])}


def _set(engine: Engine, verb: str, args: Args) -> dict[str, Any]:
    engine.decisions.set_destination(args["destination"], verb, args["by"], args["why"])
    waits = engine.ledger.read("select count(*) from outbox where destination = ?", (args["destination"],))
    return {"destination": args["destination"], "verb": verb, "waiting": waits[0][0]}


def _opening(row: Mapping[str, Any]) -> Opening:
    charge = Charge(
        row["bill"],
        row["course"],
        row["code"],
        tuple(row["modifiers"]),
        date.fromisoformat(row["day"]),
        date.fromisoformat(row["end"]) if row["end"] else None,
        row["units"],
        row["place_of_service"],
        row["provider"] or None,
        row["packaged"],
        None,
        "opening",
        row["slot"],
        "",
        (),
        (),
        "",
    )
    return Opening(row["patient"], row["destination"], charge, row["units"], row["account"], row["reference"])
