"""What a message costs in the engine: the door alone, and work, take and settle over fakes that keep books.

python bench/engine_bench.py [messages] [--profile]
"""

from __future__ import annotations

import cProfile
import pstats
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from fhir_radcharge.engine import Heard, Outcome  # noqa: E402
from tests.engine_fakes import (  # noqa: E402
    ROOMS,
    SITE,
    Clock,
    Desk,
    charges_due,
    corrections,
    dft,
    ft1,
    message_for,
    read_dft,
)

DOOR = 64
BATCH = 512
PART = 5_120
PATIENTS = 64
FRACTIONS = 30
LANES = 64


def messages(start: int, count: int) -> list[bytes]:
    """Return a part of an endless sequence: courses of 30 fractions, 64 patients interleaved, one line, about 1 kB."""
    padding = "ZZZ|" + "x" * 700
    found = []
    for i in range(start, start + count):
        round_, slot = divmod(i, PATIENTS)
        wave, fraction = divmod(round_, FRACTIONS)
        day = f"2026-{1 + fraction // 20:02}-{1 + fraction % 20:02}"
        found.append(dft(f"C{i:09}", f"P{wave}-{slot}", ft1(f"F{wave}-{slot}-{fraction:02}", day=day), padding))
    return found


class Timed:
    """Adds up the time that the fakes take, which is not the engine's."""

    def __init__(self) -> None:
        self.spent = 0.0

    def __call__(self, function):  # type: ignore[no-untyped-def]
        def timed(*args):  # type: ignore[no-untyped-def]
            start = time.perf_counter()
            try:
                return function(*args)
            finally:
                self.spent += time.perf_counter() - start

        return timed


class Figures(NamedTuple):
    """Seconds spent on some messages."""

    count: int = 0
    door: float = 0.0
    engine: float = 0.0
    rules: float = 0.0
    wire: float = 0.0
    cpu: float = 0.0

    def line(self) -> str:
        """Return the figures of one message."""
        each = 1e6 / self.count
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        own = self.engine - self.rules - self.wire
        return (
            f"door {self.count / self.door:8.0f}/s  work+take+settle {self.engine * each:6.1f} us"
            f" (rules {self.rules * each:5.1f}, wire {self.wire * each:5.1f}, engine {own * each:6.1f},"
            f" all on the processor {self.cpu * each:6.1f})  {memory} MB"
        )


def main() -> None:
    """Print the figures, ten lines, so that growth shows."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    rules, wire = Timed(), Timed()
    rooms = ROOMS._replace(
        charges_due=rules(charges_due),
        corrections=rules(corrections),
        message_for=wire(message_for),
        read_dft=wire(read_dft),
        read_message=wire(ROOMS.read_message),
    )
    profile = cProfile.Profile() if "--profile" in sys.argv else None
    with tempfile.TemporaryDirectory() as folder:
        desk = Desk(Path(folder) / "bench.db", SITE, rooms=rooms, clock=Clock())
        figures, done = Figures(), 0
        while done < count:
            heard = [Heard("rv", "127.0.0.1", raw) for raw in messages(done, min(PART, count - done))]
            part = measured(desk, heard, rules, wire, profile)
            figures = Figures(*map(sum, zip(figures, part, strict=True)))
            done += len(heard)
            if figures.count >= count // 10:
                print(f"{done:>9} messages  {figures.line()}", flush=True)
                figures = Figures()
        size = sum(path.stat().st_size for path in Path(folder).iterdir()) / done
        print(f"{size:.0f} bytes on disk for a message of {len(heard[0].raw)}")
        desk.ledger.close()
    if profile:
        pstats.Stats(profile).sort_stats("tottime").print_stats(28)


def measured(
    desk: Desk, heard: list[Heard], rules: Timed, wire: Timed, profile: cProfile.Profile | None
) -> Figures:
    """Return what it took to hear the messages, and then to work, send and settle."""
    start = time.perf_counter()
    for i in range(0, len(heard), DOOR):
        with desk.ledger.transaction():
            desk.engine.receive(heard[i : i + DOOR])
    door = time.perf_counter() - start
    rules.spent = wire.spent = 0.0
    if profile:
        profile.enable()
    cpu = time.process_time()
    start = time.perf_counter()
    through(desk)
    engine, cpu = time.perf_counter() - start, time.process_time() - cpu
    if profile:
        profile.disable()
    return Figures(len(heard), door, engine, rules.spent, wire.spent, cpu)


def through(desk: Desk) -> None:
    """Work, send and settle until nothing is left."""
    while desk.engine.work(BATCH):
        while True:
            with desk.ledger.transaction():
                sends = desk.engine.take("PB", range(LANES), LANES)
            if not sends:
                break
            desk.engine.settle([Outcome(send.seq, send.attempt, "accepted", "AA", _ANSWER) for send in sends])


_ANSWER = b"MSH|^~\\&|||||20260302||ACK|1|P|2.5.1\rMSA|AA|ABCDEFGHIJKL\r"

if __name__ == "__main__":
    main()
