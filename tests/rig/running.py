"""Runs a story in a folder of its own and says how it ended."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from fhir_radcharge.site import Site
from rig.broken import Broken
from rig.engines import Factory, folder, open_engine
from rig.stories import story_of
from rig.world import World


class Ended(NamedTuple):
    """How a run ended: what was broken (None: nothing), after how many steps, and the digest of its trace."""

    broken: str | None
    steps: int
    trace: str


def run_story(seed: int, kind: str, site: Site, courses_max: int = 2, factory: Factory = open_engine) -> Ended:
    """Run the story of a seed; the same seed over the same code is the same run, step by step."""
    with folder() as name:
        world = World(story_of(seed, site, courses_max, kind), site, factory, Path(name) / "books.sqlite")
        try:
            trace = world.run()
            return Ended(None, world.steps, trace)
        except Broken as broken:
            again = f"python tests/rig/torture.py --seed {seed} --kind {kind} --courses {courses_max}"
            return Ended(f"{broken} (step {world.steps}; again: {again})", world.steps, world.trace.hexdigest())
        finally:
            world.close()
