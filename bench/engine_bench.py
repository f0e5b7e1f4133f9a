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

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from engine_fakes import ROOMS, SITE, Clock, Desk, charges_due, corrections, dft, ft1, message_for, read_dft

from fhir_radcharge.engine import Heard, Outcome

DOOR = 64
BATCH = 512
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
        found.append(
            dft(f"C{i:09}", f"P{wave}-{slot}", ft1(f"F{wave}-{slot}-{fraction:02}", day=day), padding)
        )
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


def main() -> None:
    """Print the figures."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    rules, wire = Timed(), Timed()
    rooms = ROOMS._replace(
        charges_due=rules(charges_due),
        corrections=rules(corrections),
        message_for=wire(message_for),
        read_dft=wire(read_dft),
        read_message=wire(ROOMS.read_message),
    )
    with tempfile.TemporaryDirectory() as folder:
        desk = Desk(Path(folder) / "bench.db", SITE, rooms=rooms, clock=Clock())
        profile = cProfile.Profile() if "--profile" in sys.argv else None
        done = 0
        part = max(count // 10, BATCH)
        while done < count:
            heard = [Heard("rv", "127.0.0.1", raw) for raw in messages(done, min(part, count - done))]
            start = time.perf_counter()
            for i in range(0, len(heard), DOOR):
                with desk.ledger.transaction():
                    desk.engine.receive(heard[i : i + DOOR])
            took_door = time.perf_counter() - start
            rules.spent = wire.spent = 0.0
            if profile:
                profile.enable()
            start = time.perf_counter()
            through(desk)
            took = time.perf_counter() - start
            if profile:
                profile.disable()
            done += len(heard)
            before = rules.spent + wire.spent
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
            n = len(heard)
            print(
                f"{done:>9} messages  door {n / took_door:8.0f}/s  work+take+settle {1e6 * took / n:6.1f} us"
                f" (rules {1e6 * rules.spent / n:5.1f}, wire {1e6 * wire.spent / n:5.1f},"
                f" engine {1e6 * (took - before) / n:6.1f})  {memory} MB"
            )
        desk.ledger.close()
        if profile:
            pstats.Stats(profile).sort_stats("tottime").print_stats(28)


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
