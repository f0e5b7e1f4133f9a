"""Turns tables that are about to be activated, and their scope, into what the activation would change and send."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any, NamedTuple

from fhir_radcharge import editions
from fhir_radcharge.config import Config
from fhir_radcharge.engine.activation import spans_of
from fhir_radcharge.serving import official_db, site_in_force
from fhir_radcharge.site import Site
from fhir_radcharge.site_edits import site_edits
from fhir_radcharge.whatif.answers import Span as Dates
from fhir_radcharge.whatif.answers import Tally
from fhir_radcharge.whatif.books import Foreseen, Side, Totals, compared


class Effect(NamedTuple):
    """What an activation would do: lines by effect, and the postings that are due under no tables but the new ones.

    `is_first` says that nothing computes yet, so that nothing can differ.
    """

    tally: Tally
    totals: Totals
    foreseen: tuple[Foreseen, ...]
    is_first: bool

    @property
    def credits(self) -> int:
        """How many credits would go out that do not wait already."""
        return sum(1 for one in self.foreseen if one.kind == "CREDIT")


def effect(
    config: Config, connection: sqlite3.Connection, draft: Site, scope: str, watch: Callable[[int], None]
) -> Effect:
    """Return what activating a site's tables with a scope (as the books spell it) would change; nothing is written."""

    def read(sql: str, values: Any = ()) -> list[Any]:
        return connection.execute(sql, values).fetchall()

    tally, totals, new = Tally(), Totals(), list[Foreseen]()
    activations = read("select digest, scope from activation order by number")
    if not activations:
        return Effect(tally, totals, (), True)
    over = spans_of([*activations, (draft.digest, scope)])
    site = editions.in_force(read, draft, over)
    # Books of an earlier version keep no tables: then what stands is all that can be compared with.
    base = site_in_force(config, connection)

    def say(one: Any) -> None:
        if isinstance(one, Foreseen):
            totals.add(one)
            if not one.pending:
                new.append(one)

    sides = [Side(one, site_edits(one, official_db(config))) for one in (base, site)]
    compared(connection, sides[0], sides[1], Dates(), tally, say, watch)
    return Effect(tally, totals, tuple(new), False)
