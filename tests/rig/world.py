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

from fhir_radcharge.engine import Heard, Outcome, Send
from fhir_radcharge.errors import LedgerError
from fhir_radcharge.ledger import verify_chain
from rig.biller import Biller, Key
from rig.books import BooksCheck
from rig.broken import Broken
from rig.engines import Factory, turned_sites
from rig.faults import NONE, Crash, Faults, Undone
from rig.garbage import garbage
from rig.sender import Sender, sent_on
from rig.wires import Wire

LANES = 2
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
            self.step(self.draw.choice(_MOVES))
        self.faults = self.sender._faults = NONE
        for name in self.paused:
            self.opened.engine.decisions.set_destination(name, "resume", "rig", "the end of the run")
        if self.reading is not self.site:
            self.reading = self.site
            self._reopen()
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
            self._reopen()
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

    def _reopen(self) -> None:
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


# ---- moves -------------------------------------------------------------------------------------------------


def say(world: World) -> None:
    """Let the sender say something and hear, perhaps, the answers."""
    draw, faults = world.draw, world.faults
    said = world.sender.burst()
    if draw.random() < faults.garbage:
        said.append(garbage(draw, world.story.messages))
    heard: list[bytes] = []
    for raw in said:
        lost, cut = draw.random() < faults.request_lost, draw.random() < faults.cut_connection
        heard += [] if lost else world.inward.carry(raw, cut)
        if lost or cut:
            break  # what follows on a connection that has gone is gone too
    if not heard:
        return
    answers = _receive(world, heard)
    world.note("say", len(heard))
    for one, answer in zip(heard, answers, strict=True):
        if answer is None or draw.random() < faults.answer_lost:
            continue
        for back in world.outward.carry(answer):
            world.sender.hear(one, back)


def _receive(world: World, heard: list[bytes]) -> list[bytes | None]:
    died = world.draw.random()
    _spoil(world, died < world.faults.disk)
    with world.opened.ledger.transaction():
        answers = world.opened.engine.receive([Heard("rig", "peer", raw) for raw in heard])
        if died < world.faults.crash_inside:
            raise Crash
    if died < world.faults.crash_inside + world.faults.crash:
        raise Crash
    return answers


def work(world: World) -> None:
    """Let the engine work through some of what is stored."""
    _spoil(world, world.draw.random() < world.faults.disk)
    if world.draw.random() < world.faults.crash_inside:
        world.bomb = world.draw.randint(1, 4)
    undone = world.draw.random() < world.faults.undone
    with world.opened.ledger.transaction():
        count = world.opened.engine.work(world.draw.choice((1, 3, 20)))
        if undone:
            raise Undone
    world.bomb = 0
    if count:
        world.note("work", count)


def send(world: World, name: str | None = None) -> None:
    """Let a link take what is next on its free lanes."""
    name = name or world.draw.choice(sorted(world.billers))
    free = [lane for lane in range(LANES) if (name, lane) not in world.in_flight]
    with world.opened.ledger.transaction():
        sends = world.opened.engine.take(name, free, LANES)
    for one in sends:
        body = world.check.bodies.get(one.control_id)
        if body is not None and body != one.body:
            raise Broken("I4", f"{one.control_id} goes out in other bytes")
        world.in_flight[name, one.lane] = one
    if sends:
        world.note("send", [one.control_id for one in sends])


def carry(world: World) -> None:
    """Let one message in flight reach its biller, and its answer come back; or not."""
    if not world.in_flight:
        return
    draw, faults = world.draw, world.faults
    name, lane = draw.choice(sorted(world.in_flight))
    one = world.in_flight[name, lane]
    kind, code, reply = _deliver(world, world.billers[name], one)
    world.note("carry", (one.control_id, one.attempt, kind))
    if draw.random() < faults.crash:
        raise Crash
    del world.in_flight[name, lane]
    _spoil(world, draw.random() < faults.disk)
    try:
        world.opened.engine.settle([Outcome(one.seq, one.attempt, kind, code, reply)])
    except LedgerError:
        # The link holds the outcome until the books take it.
        world.opened.engine.settle([Outcome(one.seq, one.attempt, kind, code, reply)])


def _deliver(world: World, biller: Biller, one: Send) -> tuple[Any, str, bytes]:
    draw, faults = world.draw, world.faults
    out, back = world.links[biller.name]
    if draw.random() < faults.send_lost:
        out.carry(one.body, cut=True)
        return "silent", "", b""
    chance = draw.random()
    code = "AE" if chance < faults.refuse else "AR" if chance < faults.refuse + faults.busy else "AA"
    if one.control_id in biller.posted and code == "AE":
        code = "AA"  # a biller that has posted a message does not refuse its repeat
    for raw in out.carry(one.body):
        if code == "AA":
            biller.post(raw)
    reply = f"MSH|^~\\&|BILL|X|R|L|20251103||ACK|1|P|2.3\rMSA|{code}|{one.control_id}\r".encode()
    if draw.random() < faults.reply_lost:
        return "silent", "", b""
    if draw.random() < faults.foreign:
        return "silent", "foreign", b""
    (heard,) = back.carry(reply)
    kind = {"AA": "accepted", "AE": "refused", "AR": "not_taken"}[code]
    return kind, code, heard


def day(world: World) -> None:
    """Let a night pass: the date of the newest message that was said has come."""
    newest = max((sent_on(raw) for raw in world.sender.acked), default=None)
    if newest is not None:
        with world.opened.ledger.transaction():
            world.opened.engine.day(newest)


def pause(world: World) -> None:
    """Let a person pause what goes to a biller, or resume it."""
    if world.draw.random() >= world.faults.paused:
        return
    name = world.draw.choice(sorted(world.billers))
    verb = "resume" if name in world.paused else "pause"
    world.opened.engine.decisions.set_destination(name, verb, "rig", "a person wills it")
    world.paused ^= {name}


def change_rules(world: World) -> None:
    """Let the site read the rules differently from here on, for the past too; the end reads them as at first."""
    if world.draw.random() < world.faults.rules:
        world.reading = world.draw.choice((world.site, *turned_sites()))
        world._reopen()


def die(world: World) -> None:
    """Let the process die between two transactions."""
    if world.draw.random() < world.faults.crash:
        raise Crash


def _spoil(world: World, spoil: bool) -> None:
    """Have the database fail in the middle of what comes next."""
    connection = world.opened.ledger.connection
    if spoil:
        left = world.draw.randint(1, 40)
        countdown = iter(range(left))
        connection.set_progress_handler(lambda: int(next(countdown, None) is None), 50)
    else:
        connection.set_progress_handler(None, 0)


_MOVES = (say, say, say, work, send, send, carry, carry, carry, day, die, pause, change_rules)
