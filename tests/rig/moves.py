"""The moves of a run: each is one thing that one of its participants does, and may go wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fhir_radcharge.engine import Heard, Outcome, Send
from fhir_radcharge.errors import LedgerError
from rig.biller import Biller
from rig.broken import Broken
from rig.engines import turned_sites
from rig.faults import Crash, Undone
from rig.garbage import garbage
from rig.sender import sent_on

if TYPE_CHECKING:
    from rig.world import World

LANES = 2


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
        world.reopen()


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


MOVES = (say, say, say, work, send, send, carry, carry, carry, day, die, pause, change_rules)
