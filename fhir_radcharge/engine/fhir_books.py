"""What a FHIR link asks of the books: the receiver's own id of a charge, and to keep that it leaves things out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fhir_radcharge.engine.fhir_saying import HOST_ID, HOST_VERSION
from fhir_radcharge.engine.items import Item, hold, item_key
from fhir_radcharge.engine.rooms import label
from fhir_radcharge.errors import MessageError
from fhir_radcharge.wire.fhir import answers
from fhir_radcharge.wire.fhir.http_form import Asked, read_answer
from fhir_radcharge.wire.fhir.write import Sent

_SHOWN_MAX = 8


def sent_of(engine: Any, args: Mapping[str, Any]) -> Sent | None:
    """Return what the receiver said of a charge that it took: its id and version; None where it did not say."""
    rows = engine.ledger.read(
        "select a.raw from posting p join answer a on a.send = p.send"
        " where p.id = ? and a.kind = 'accepted' order by a.number desc",
        (args["posting"],),
    )
    for (raw,) in rows:
        try:
            told = read_answer(raw)
        except MessageError:
            continue
        found = answers.sent(dict(told.headers), told.body)
        if found is not None:
            return found
    return None


def with_sent(asked: Asked, sent: Sent) -> Asked:
    """Return a frozen credit with the receiver's id and version of its charge in the places that wait for them."""
    body = asked.body.replace(f'"{HOST_VERSION}"'.encode(), f'"{sent.version}"'.encode())
    return asked._replace(path=asked.path.replace(HOST_ID, sent.id), body=body)


def left_out(engine: Any, args: Mapping[str, Any]) -> int:
    """Keep that a receiver said yes and left something out: one notice for each receiver and each such thing."""
    paths: Sequence[str] = sorted(args["paths"])
    at = label(args["at"])
    items = [
        Item(item_key("left_out", args["destination"], path), "notice", "left_out", destination=args["destination"],
             place=path, note=f"seen first on posting {args['posting']}: taken, and read back without it")
        for path in paths[:_SHOWN_MAX]
    ]  # fmt: skip
    hold(engine.ledger, items, at)
    return len(items)
