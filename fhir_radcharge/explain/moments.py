"""A posting into the moment at which it was made: what the books held when it was committed."""

from __future__ import annotations

import json
import sqlite3
from typing import NamedTuple

from fhir_radcharge.ledger.schema import BOOKS

_AT = {book.name: place for place, book in enumerate(BOOKS)}


class Moment(NamedTuple):
    """The newest event, decision, activation, day and saying of identity that were in the books."""

    event: int
    decision: int
    activation: int
    day: int
    identity: int


def moment_of(connection: sqlite3.Connection, posting: int) -> Moment:
    """Return the moment of the posting with a number: the end of the batch that it was committed with."""
    low, (high,) = 1, connection.execute("select coalesce(max(number), 0) from chain").fetchone()
    tops: list[int] = [0] * len(BOOKS)
    while low <= high:
        middle = (low + high) // 2
        (text,) = connection.execute("select tops from chain where number = ?", (middle,)).fetchone()
        here = json.loads(text)
        if here[_AT["posting"]] >= posting:
            tops, high = here, middle - 1
        else:
            low = middle + 1
    # A commit of an earlier version has no top for a book that came later.
    tops += [0] * (len(BOOKS) - len(tops))
    return Moment(*(tops[_AT[name]] for name in Moment._fields))
