"""The stored messages of a run once more, into empty books, all at once and in another order."""

from __future__ import annotations

import random
from datetime import date
from typing import TYPE_CHECKING

from fhir_radcharge.engine import Heard
from rig.books import BooksCheck
from rig.broken import Broken

if TYPE_CHECKING:
    from rig.world import World


def check_replay(world: World, last_day: date) -> None:
    """Break the run if the same messages make other books."""
    messages = world.check.stored()
    random.Random(world.story.seed).shuffle(messages)
    path = world.path.with_name("replay.sqlite")
    engine, ledger = world.factory(path, world.site, world.clock)
    check = BooksCheck(path)
    try:
        with ledger.transaction():
            engine.receive([Heard("rig", "peer", raw) for raw in messages])
        while engine.work(500):
            pass
        engine.day(last_day)
        once, again = world.check.standing(), check.standing()
        if once != again:
            raise Broken("I10", f"replayed books differ: {sorted(map(str, once ^ again))[:2]}")
    finally:
        check.close()
        ledger.close()
