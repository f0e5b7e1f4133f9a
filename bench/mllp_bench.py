"""How many messages a second the door takes, each answered after its durable commit, and how long an answer takes.

    python -m bench.mllp_bench                    1, 8 and 64 connections, three rounds each, median
    python -m bench.mllp_bench --draining 5       while processing of 5 ms a patient drains beside it

The server has the real listener, the process of the books and the real ledger (SQLite, WAL, synchronous=FULL) with
the engine's intake. Senders are a process of their own, each connection with one outstanding message, as MLLP has
it; every message is new. Both share this machine's cores, so the figures are of the pair; `cpu us` is the
server's processor time for a message, which a busy machine does not falsify much.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Any, NamedTuple

from bench.stop_and_wait import Told, Way, serve
from fhir_radcharge.engine import Heard, Outcome, Rooms, Send
from fhir_radcharge.engine.receive import Intake
from fhir_radcharge.gateway.books import Books
from fhir_radcharge.gateway.in_process import InProcess
from fhir_radcharge.gateway.listener import Listener
from fhir_radcharge.gateway.lobby import Door, Limits, Lobby
from fhir_radcharge.ledger import Ledger
from fhir_radcharge.memory import settled
from fhir_radcharge.wire import ack

BODY = (
    "EVN|P03|20260302101500\r"
    "PID|1||T-0001^^^NORTH^MR||TESTER^IVA^^^^||19600101|F|||1 INVENTED STREET^^NOWHERE^IL^60000^US||||||||A-0001\r"
    "PV1|1|O|RADONC^^^NORTH||||1234567893^PROVIDER^ANY^^^^MD|||||||||||||V-0001\r"
    "FT1|1|{n}||20260302101000|20260302101500|CG|RVIMRT^Treatment delivery^RV||||1|||RADONC^^^NORTH|||||C61^^I10|"
    "1234567893^PROVIDER^ANY|||||77386^^C4|TC\r"
    "ZRT|1|C1|P1|12|25|IMRT|6X|180|cGy|LINAC1|IGRT-CBCT|20260302100800|20260302101000\r"
    "NTE|1||" + "invented text that stands for what senders add " * 8 + "\r"
)


def payload(run: str, number: int) -> bytes:
    """Return a message of about one kilobyte that was never sent before."""
    head = f"MSH|^~\\&|RV|NORTH|RC|NORTH|20260302101500||DFT^P03^DFT_P03|{run}{number:08d}|P|2.5.1\r"
    return (head + BODY.replace("{n}", f"{run}{number}")).encode()


def framed(run: str, number: int) -> bytes:
    """Return the same in its frame."""
    return b"\x0b" + payload(run, number) + b"\x1c\r"


def senders_process(pipe: Pipe) -> None:
    """Serve rounds until told to stop."""
    serve(pipe, Way(framed, b"\x1c\r", lambda heard: heard.count(b"|AA|") == 1))


class NoSite:
    """A site that knows no sender: intake stores and answers all the same."""

    digest = ""

    def sender_for(self, header: Any) -> Any:
        raise LookupError


class IntakeOnly:
    """The engine's intake over the real ledger; `work_s` of processor time stands for computing a patient."""

    def __init__(self, ledger: Ledger, work_s: float) -> None:
        doors = Rooms(ack.header, ack.answer, ack.answer_code, ack.wanted, ack.NO_HEADER, *[_absent] * 7)
        self._intake = Intake(ledger, NoSite(), lambda: datetime.now(UTC), doors)
        self._work_s = work_s
        self.worked = 0

    def receive(self, heard: Sequence[Heard]) -> list[bytes | None]:
        return self._intake.receive(heard)

    def work(self, messages_max: int, patients_max: int = 0) -> int:
        if not self._work_s:
            return 0
        until = time.perf_counter() + self._work_s * patients_max
        while time.perf_counter() < until:
            sum(range(200))
        self.worked += patients_max
        return patients_max

    def take(self, destination: str, free_lanes: Collection[int], lanes: int) -> list[Send]:
        return []

    def settle(self, outcomes: Sequence[Outcome]) -> None:
        return None

    def rest(self) -> None:
        return None


def _absent(*anything: Any) -> Any:
    raise AssertionError("intake needs no other room")


class Figures(NamedTuple):
    """One round."""

    rate: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    commits: int
    worked: int
    cpu_us: float


def worked(engine: IntakeOnly, args: Mapping[str, Any]) -> int:
    """Return how much of the backlog was processed."""
    return engine.worked


def one_round(pipe: Pipe, folder: Path, connections: int, messages: int, work_s: float, run: str) -> Figures:
    """Open a new ledger and a listener, let the senders run, and close."""

    def open_books() -> Any:
        ledger = Ledger(folder / f"{run}.db")
        return IntakeOnly(ledger, work_s), ledger

    settled()
    place = InProcess(open_books)
    began = processor_s()
    try:
        seconds, times, commits, done = asyncio.run(heard(pipe, place, Told(0, connections, messages, run)))
    finally:
        place.end()
    cpu_us = 1e6 * (processor_s() - began) / messages
    times.sort()
    return Figures(
        messages / seconds, 1e3 * times[len(times) // 2], 1e3 * times[int(len(times) * 0.99)], 1e3 * times[-1],
        commits, done, cpu_us,
    )  # fmt: skip


def processor_s() -> float:
    """Return the processor time of this process and of the children that have ended."""
    took = os.times()
    return took.user + took.system + took.children_user + took.children_system


async def heard(pipe: Pipe, place: InProcess, told: Told) -> tuple[float, list[float], int, int]:
    """Open a door to the books and let the senders run against it; return what they and the books say."""
    failures: list[BaseException] = []
    books = Books(place, failures.append)
    await books.open()
    listener = Listener(Door("bench", "127.0.0.1", 0, Limits(connections_per_peer_max=1_000)), books, Lobby())
    pipe.send(told._replace(port=await listener.open()))
    seconds, times = await asyncio.get_running_loop().run_in_executor(None, pipe.recv)
    done = await books.ask(worked, {})
    await listener.close()
    await books.close()
    assert not failures, failures
    return seconds, times, books.commits, done


def table(pipe: Pipe, folder: Path, connections: int, messages: int, rounds: int, work_s: float) -> None:
    """Print the median of some rounds, and their spread."""
    found = []
    for n in range(rounds):
        run = f"C{connections}R{n}W{int(work_s * 1e4)}"
        found.append(one_round(pipe, folder, connections, messages, work_s, run))
        for left in folder.glob(f"{run}.db*"):
            left.unlink()
    middle = [statistics.median(column) for column in zip(*found, strict=True)]
    rates = sorted(one.rate for one in found)
    seconds = messages / middle[0]
    print(
        f"{connections:>11} {middle[0]:>11,.0f} {rates[0]:>9,.0f}..{rates[-1]:<9,.0f} {middle[1]:>7.2f}"
        f" {middle[2]:>7.2f} {middle[3]:>7.1f} {messages / middle[4]:>11.1f} {middle[5] / seconds:>9,.0f}"
        f" {middle[6]:>7.1f}"
    )


def main() -> None:
    """Run the rounds that the command line asks for."""
    ask = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ask.add_argument("--connections", type=int, nargs="+", default=[1, 8, 64])
    ask.add_argument("--messages", type=int, default=0, help="in a round; chosen by connections if absent")
    ask.add_argument("--rounds", type=int, default=3)
    ask.add_argument("--draining", type=float, default=0.0, metavar="MS", help="processing that drains beside it")
    ask.add_argument("--folder", type=Path, help="where the ledgers are written; a temporary one if absent")
    asked = ask.parse_args()
    context = multiprocessing.get_context("spawn")
    pipe, far = context.Pipe()
    process = context.Process(target=senders_process, args=(far,), daemon=True)
    process.start()
    with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
        print(f"{os.cpu_count()} cores, Python {sys.version.split()[0]}, message of {len(payload('R', 1))} bytes")
        print("connections  messages/s      lowest..highest     p50 ms  p99 ms  max ms  in a commit  worked/s  cpu us")
        for connections in asked.connections:
            messages = asked.messages or {1: 5_000, 8: 20_000}.get(connections, 60_000)
            table(pipe, Path(folder), connections, messages, asked.rounds, asked.draining / 1e3)
    pipe.send(None)
    process.join(5)


if __name__ == "__main__":
    main()
