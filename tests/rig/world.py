"""One run: a sender, the engine and its billers, moved one step at a time by a seed, checked after each step."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from fhir_radcharge.engine import Send
from fhir_radcharge.errors import LedgerError
from fhir_radcharge.ledger import verify_chain
from rig.biller import Biller, Key
from rig.books import BooksCheck
from rig.broken import Broken
from rig.engines import Factory
from rig.faults import NONE, Crash, Faults, Undone
from rig.moves import LANES, MOVES, carry, say, send, work
from rig.replay import check_replay
from rig.sender import Sender
from rig.wires import Wire

STEPS_MAX = 20_000
_START = datetime(2025, 11, 3, 12, tzinfo=UTC)


class Story(NamedTuple):
    """What a run is about: what is said, how it goes wrong, and what each destination must carry in the end."""

    seed: int
    faults: Faults
    messages: tuple[bytes, ...]
    quiet: bool
    expected: Mapping[str, Counter[Key]]
    last_day: date
    drops_repeats: Mapping[str, bool]


class World:
    """Everything that takes part in a run, and the one source of chance."""

    def __init__(self, story: Story, site: Any, factory: Factory, path: Path) -> None:
        self.story, self.site, self.factory, self.path = story, site, factory, path
        self.draw = random.Random(f"world {story.seed}")
        self.faults = story.faults
        self.sender = Sender(story.messages, self.draw, story.faults)
        self.billers = {name: Biller(name, drops) for name, drops in story.drops_repeats.items()}
        self.in_flight: dict[tuple[str, int], Send] = {}
        self.ticks = 0
        self.bomb = 0
        self.steps = self.done = 0
        self.reading = site
        self.paused: set[str] = set()
        self.trace = sha256()
        self.opened = factory(path, site, self.clock)
        self.check = BooksCheck(path)
        self.inward, self.outward = Wire(self.draw), Wire(self.draw)
        self.links = {name: (Wire(self.draw), Wire(self.draw)) for name in self.billers}

    def clock(self) -> datetime:
        """Tell the time; a bomb that was set goes off here, inside whatever the engine is doing."""
        self.ticks += 1
        if self.bomb:
            self.bomb -= 1
            if self.bomb == 0:
                raise Crash
        return _START + timedelta(seconds=self.ticks)

    def close(self) -> None:
        """Let go of the files."""
        self.check.close()
        self.opened.ledger.close()

    # ---- the run -------------------------------------------------------------------------------------------

    def run(self) -> str:
        """Go on until nothing is left to do; return the digest of all that happened. Raises Broken."""
        while self.sender.left or self.draw.random() < 0.9:
            self.step(self.draw.choice(MOVES))
        self.faults = self.sender._faults = NONE
        for name in self.paused:
            self.opened.engine.decisions.set_destination(name, "resume", "rig", "the end of the run")
        if self.reading is not self.site:
            self.reading = self.site
            self.reopen()
        self._rest()
        self.note("day", self.opened.engine.day(self.story.last_day))
        self._rest()
        while self._person():
            self._rest()
        self._judge()
        return self.trace.hexdigest()

    def step(self, move: Callable[[World], None]) -> None:
        """Make one move, survive what it may cause, and check every promise."""
        self.steps += 1
        if self.steps > STEPS_MAX:
            raise Broken("liveness", "the run does not come to rest")
        try:
            move(self)
        except Crash:
            self.reopen()
        except Undone:
            self.bomb = 0
            self.note("undone", self.steps)
        except LedgerError as error:
            # The disk failed: nothing of this move is kept, and nobody was answered.
            self.note("disk", str(error).split(":")[0])
        self.check.step(self.sender.acked[-3:])
        if self.draw.random() < 0.005:
            self.check.snapshot()

    def _rest(self) -> None:
        """Move without faults until neither the sender, the engine nor a link has anything to do."""
        moves = [say, work, *(partial(send, name=name) for name in self.billers), *[carry] * 2 * LANES]
        done = -1
        while done != self.done:
            done = self.done
            for move in moves:
                self.step(move)

    def reopen(self) -> None:
        """Let the process be dead and another one open the books."""
        self.note("crash", self.steps)
        self.bomb = 0
        self.opened.ledger.close()
        self.in_flight.clear()
        self.opened = self.factory(self.path, self.reading, self.clock)

    def note(self, what: str, value: object) -> None:
        """Add to the trace that something was done."""
        self.done += 1
        self.trace.update(f"{what} {value}\n".encode())

    # ---- people and the end --------------------------------------------------------------------------------

    def _person(self) -> bool:
        """Let a person look at what waits; return whether there was anything to decide."""
        decided = False
        verbs = self.opened.engine.decisions
        for key, destination, _, control_id in self.check.items("unanswered"):
            decided = True
            arrived = control_id in self.billers[destination].posted
            (verbs.arrived if arrived else verbs.resend)(key, "rig", "asked the biller")
        # A message that was being read when the process died, twice, waits for a person too.
        for category in ("refused", "quarantined"):
            for key, *_ in self.check.items(category):
                decided = True
                verbs.release(key, "rig", "mended at the biller, or never a fault of the message")
        if decided:
            self.note("person", self.steps)
        return decided

    def _judge(self) -> None:
        self.check.step(self.sender.acked)
        self.check.at_rest(self.story.quiet)
        problem = verify_chain(self.opened.ledger.connection).problem
        if problem:
            raise Broken("I5", problem)
        check_replay(self, self.story.last_day)
        for name, biller in self.billers.items():
            expected, found = self.story.expected[name], biller.standing()
            if expected != found:
                missing, spare = expected - found, found - expected
                raise Broken("I6", f"{name}: missing {_some(missing)} and too many {_some(spare)}")


def _some(lines: Counter[Key]) -> str:
    return (
        ", ".join(
            f"{key.code}-{key.modifiers} x{units} {key.day} {key.record}" for key, units in sorted(lines.items())[:4]
        )
        or "nothing"
    )
