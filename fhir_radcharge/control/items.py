"""What a person says of an item of the work queue, into decisions and events of the engine."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from fhir_radcharge.engine import Engine
from fhir_radcharge.engine.items import Item, open_item
from fhir_radcharge.errors import UnsafeError
from fhir_radcharge.model import MISSABLE, TreatmentEvent

SOURCE = "person"
"""The source of events that a person says."""

Args = Mapping[str, Any]


def release(engine: Engine, args: Args) -> dict[str, Any]:
    """Let an item go on: a held line by an event of kind `release` (with `modifiers`), all else as it was."""
    event = engine.decisions.release(args["key"], args["by"], args["why"], tuple(args.get("modifiers", ())))
    return {"event": event, "kind": "release"} if event else {"released": args["key"]}


def supply(engine: Engine, args: Args) -> dict[str, Any]:
    """Say that what the course of a held line lacked is there: `what` is one of MISSABLE."""
    item, what = _item(engine, args["key"]), args["what"]
    if what not in MISSABLE:
        raise UnsafeError(f"'{what}' is none of {', '.join(MISSABLE)}")
    if item.category != "hold" or not item.course:
        raise UnsafeError(f"{item.key}: is no held line of a course, so nothing can be supplied to it")
    name = f"supplied/{item.key}/{_times(engine, f'supplied/{item.key}/')}"
    event = TreatmentEvent(
        SOURCE, name, "supplied", _day(item), course=item.course, facts={"what": what}, revision=(1,)
    )
    engine.decisions.supply_to(item.patient, event, args["by"], args["why"])
    return {"event": event.id, "kind": event.kind}


def dismiss(engine: Engine, args: Args) -> dict[str, Any]:
    """Say that nothing more will be done about an item."""
    engine.decisions.dismiss(args["key"], args["by"], args["why"])
    return {"dismissed": args["key"]}


def dismiss_message(engine: Engine, args: Args) -> dict[str, Any]:
    """Say that nothing more will be done about any open item of a message, which is given by its number."""
    number = int(args["message"])
    return {"message": number, "dismissed": engine.decisions.dismiss_message(number, args["by"], args["why"])}


def arrived(engine: Engine, args: Args) -> dict[str, Any]:
    """Say that an unanswered message arrived."""
    engine.decisions.arrived(args["key"], args["by"], args["why"])
    return {"arrived": args["key"]}


def resend(engine: Engine, args: Args) -> dict[str, Any]:
    """Say an unanswered message again, in the same bytes."""
    engine.decisions.resend(args["key"], args["by"], args["why"])
    return {"resent": args["key"]}


def not_arrived(engine: Engine, args: Args) -> dict[str, Any]:
    """Say that an unanswered message never arrived."""
    engine.decisions.not_arrived(args["key"], args["by"], args["why"])
    return {"not_arrived": args["key"]}


def _day(item: Item) -> date:
    """Return the date of service of a held line; the place of a hold is bill, code with modifiers, and date."""
    return date.fromisoformat(item.place.split()[-1])


def _times(engine: Engine, prefix: str) -> int:
    rows = engine.ledger.read(
        "select count(*) from decision where subject >= ? and subject < ?", (prefix, prefix[:-1] + "0")
    )
    return int(rows[0][0]) + 1


def _item(engine: Engine, key: str) -> Item:
    item = open_item(engine.ledger, key)
    if item is None:
        raise UnsafeError(f"no item '{key}' is open; see `queue`")
    return item
