"""A seed into a story: which courses are treated, in which dialect, and what each bill must carry in the end."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from datetime import date, timedelta
from typing import Any

from fhir_radcharge.simulate import DIALECTS, courses, messages, run_of, truth
from rig.biller import Key
from rig.faults import KINDS
from rig.world import Story

_PATHWAYS = (
    "bone_2d",
    "bone_single",
    "lung_sbrt",
    "brain_srs",
    "cylinder_hdr",
    "spine_3d",
    "skin_superficial",
    "breast_gated",
    "breast_3d_boost",
)


def story_of(seed: int, site: Any, courses_max: int = 2, kind: str | None = None) -> Story:
    """Return the story of a seed."""
    draw = random.Random(f"story {seed}")
    kind = kind or draw.choice(sorted(KINDS))
    start = draw.choice((date(2025, 6, 2), date(2025, 12, 15), date(2026, 2, 2)))
    quiet = kind in ("none", "wire")
    run = run_of("torture", seed, start, draw.choice(_PATHWAYS), draw.randint(1, courses_max))
    run = run._replace(oddities="none" if quiet else "torture")
    # What the simulated sender repeats by itself is said once here: repeating is the world's.
    said = tuple(dict.fromkeys(message.raw for message in messages(run, draw.choice(DIALECTS))))
    last_day = start + timedelta(days=400)
    drops = {name: one.on_ambiguous == "resend" for name, one in site.destinations.items()}
    return Story(seed, KINDS[kind], said, quiet, expected(run, site, last_day), last_day, drops)


def expected(run: Any, site: Any, as_of: date) -> dict[str, Counter[Key]]:
    """Return what each destination must carry: the independent truth, without what is held."""
    books: dict[str, Counter[Key]] = defaultdict(Counter)
    for course in courses(run):
        for line in truth(course, as_of):
            key = Key(course.chart.patient.record, line.code, line.modifiers, f"{line.day:%Y%m%d}")
            for name, destination in site.destinations.items():
                if line.bill in destination.bills and not line.hold:
                    books[name][key] += line.units
    return {name: books[name] for name in site.destinations}
