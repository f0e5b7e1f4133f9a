"""A seed into a course that nobody would plan: breaks, voids, repeats, closings, reopenings, twice a day."""

from __future__ import annotations

import random
from datetime import date, timedelta
from typing import Any, NamedTuple

from oracle.counting import Done

_START = date(2025, 2, 3)


class RandomCourse(NamedTuple):
    """What happened, as it is heard; the knobs it is charged by; the date that has come."""

    done: tuple[Done, ...]
    knobs: dict[str, Any]
    as_of: date


def random_course(seed: int) -> RandomCourse:
    """Return the course of a seed."""
    draw = random.Random(f"course {seed}")
    maker = _Maker(draw)
    maker.treat(draw.choice((1, 2, 3, 4, 5, 6, 8, 10, 11, 13, 15, 20, 28)))
    maker.image()
    maker.visit()
    maker.close()
    heard = maker.spoiled()
    draw.shuffle(heard)
    last = max(one.day for one in heard)
    return RandomCourse(tuple(heard), _knobs(draw), last + timedelta(days=draw.choice((0, 1, 14))))


def _knobs(draw: random.Random) -> dict[str, Any]:
    """Return a few knobs turned away from their defaults, mostly none."""
    choices: dict[str, tuple[Any, ...]] = {
        "mgmt_group_size": (4,),
        "mgmt_remainder_min": (1, 2),
        "stopped_short_77431": (False,),
        "mgmt_date": ("first", "span"),
        "mgmt_units": ("fractions",),
        "close_grace_days": (0, 5),
        "remainder_date": ("last",),
        "physics_remainder_min": (1, 3),
        "physics_date": ("check_date",),
        "port_image_basis": ("per_group",),
        "port_partial_group": ("remainder3", "none"),
    }
    if draw.random() < 0.5:
        return {}
    return {name: draw.choice(choices[name]) for name in draw.sample(sorted(choices), draw.randint(1, 3))}


class _Maker:
    """Make one course, event by event."""

    def __init__(self, draw: random.Random) -> None:
        self.draw = draw
        self.done: list[Done] = []
        self.day = _START + timedelta(days=draw.randint(0, 40))
        self.twice = draw.random() < 0.2
        self.days: list[date] = []
        self.numbers = 0

    def add(self, kind: str, day: date, minute: int | None, facts: dict[str, Any]) -> Done:
        self.numbers += 1
        one = Done(f"{kind[:2]}{self.numbers:04d}", kind, day, minute, facts)
        self.done.append(one)
        return one

    def treat(self, count: int) -> None:
        """Give sessions, with a prescription that may be changed, kept or missed."""
        draw = self.draw
        if draw.random() < 0.8:
            wanted = count if draw.random() < 0.6 else draw.randint(1, count + 10)
            self.add("prescription", self.day, 0, {"prescribed_fractions": wanted})
        self.sessions(count)

    def sessions(self, count: int) -> None:
        given = 0
        while given < count:
            self._next_day()
            starts = [600]
            if self.twice:
                starts = self.draw.choice(([480, 860], [480, 840], [480, 700], [480, 740, 1000]))
            for start in starts:
                given += 1
                self.fraction(start, len(starts) > 1)

    def _next_day(self) -> None:
        draw = self.draw
        self.day += timedelta(days=draw.choices((1, 2, 3, 10, 40), (80, 8, 6, 4, 2))[0])
        while self.day.weekday() > 4:
            self.day += timedelta(days=1)
        self.days.append(self.day)

    def fraction(self, start: int, several: bool) -> None:
        """Give a session: now and then in parts, under two ids, as a set-up only or as a phantom's."""
        draw, facts = self.draw, {"technique": "3d", "energy_mv": 6, "isocenters": 1}
        if several and draw.random() < 0.9:
            facts["distinct_session"] = True
        odd = draw.random()
        if odd < 0.04:
            facts["beam"] = False
        elif odd < 0.06:
            facts["purpose"] = "qa"
        facts |= {"plan": "P1", "fraction_number": self.numbers}
        self.add("fraction", self.day, start, facts)
        if 0.06 <= odd < 0.1:
            self.add("fraction", self.day, start + draw.choice((12, 45, 59)), {**facts, "plan": "P2"})
        elif odd < 0.12:
            self.add("fraction", self.day, start, facts)

    def image(self) -> None:
        """Take port images on some days, also on days without a session."""
        draw = self.draw
        for day in self.days:
            if draw.random() < 0.3:
                angles = draw.sample((0, 90, 180, 270, 360, 359.6), draw.randint(1, 4))
                facts = {} if draw.random() < 0.1 else {"gantry_angles": angles}
                shift = draw.choice((0, 0, 0, 0, -1, 1))
                self.add("port_image", day + timedelta(days=shift), draw.choice((470, 595, 850)), facts)

    def visit(self) -> None:
        """Examine the patient and check the physics on some days."""
        for day in self.days:
            if self.draw.random() < 0.35:
                self.add("exam", day, 630, {"by": self.draw.choice(("physician", "physician", "np"))})
            if self.draw.random() < 0.35:
                self.add("physics_check", day, 660, {})

    def close(self) -> None:
        """Close the course, and now and then go on and close it again."""
        draw = self.draw
        for _ in range(draw.choices((0, 1, 2), (25, 60, 15))[0]):
            early = draw.random() < 0.2
            day = draw.choice(self.days) if early else self.day
            self.add("course_closed", day, draw.choice((None, 1200)), {"reason": "completed"})
            if draw.random() < 0.3:
                self.sessions(draw.randint(1, 7))

    def spoiled(self) -> list[Done]:
        """Return what is heard: with repeats, with revisions, and with events that never happened."""
        heard: list[Done] = []
        for one in self.done:
            heard.append(one)
            odd = self.draw.random()
            if odd < 0.05:
                heard.append(one)
            elif odd < 0.1 and one.kind != "prescription":
                heard.append(one._replace(revision=2, voided=True))
            elif odd < 0.14:
                heard.append(one._replace(revision=2))
            elif odd < 0.16 and one.kind != "prescription":
                heard.extend((one._replace(revision=2, voided=True), one._replace(revision=3)))
        return heard
