"""How many ChargeItems a second the FHIR door takes, each answered after its durable commit, and how long that takes.

    python -m bench.fhir_bench                     32 connections, three rounds, median
    python -m bench.fhir_bench --engine            the whole engine works through them at the same time

The server has the real HTTP listener (uvicorn's protocol, Starlette's routes), the whole validation, the process of
the books and the real ledger (SQLite, WAL, synchronous=FULL). Senders are a process of their own, each connection with one
outstanding request; every charge is new. Both share this machine's cores, so the figures are of the pair.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import statistics
import tempfile
from collections.abc import Collection, Sequence
from datetime import UTC, date, datetime
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Any

from bench.mllp_bench import processor_s
from bench.stop_and_wait import Told, Way, serve
from fhir_radcharge.engine import Engine, Heard, Outcome, Send
from fhir_radcharge.engine.fhir_intake import FhirIntake
from fhir_radcharge.gateway.books import Books
from fhir_radcharge.gateway.http.app import Desk, Rules
from fhir_radcharge.gateway.http.listener import FhirListener
from fhir_radcharge.gateway.in_process import InProcess
from fhir_radcharge.gateway.lobby import Door, Limits, Lobby
from fhir_radcharge.ledger import Ledger
from fhir_radcharge.memory import settled
from fhir_radcharge.site import load_site

MAPPINGS = Path(__file__).parent.parent / "mappings"
SITE = load_site(MAPPINGS)
BODY = (
    '{"resourceType":"ChargeItem","meta":{"versionId":"1","lastUpdated":"2026-03-12T16:00:45-05:00"},"identifier":'
    '[{"system":"https://lakeside.example/id/charge","value":"@"}],"status":"billable","code":{"coding":[{"system":'
    '"http://www.ama-assn.org/go/cpt","code":"77412"}]},"subject":{"identifier":{"system":"https://lakeside.example/mrn",'
    '"value":"RO#"}},"context":{"identifier":{"system":"https://lakeside.example/visit","value":"V2026000777"}},'
    '"occurrenceDateTime":"2026-03-12T15:14:04-05:00","performer":[{"actor":{"identifier":{"system":'
    '"http://hl7.org/fhir/sid/us-npi","value":"1999999984"}}}],"quantity":{"value":1},"enteredDate":'
    '"2026-03-12T16:00:45-05:00","reason":[{"coding":[{"system":"http://hl7.org/fhir/sid/icd-10-cm","code":"C50.412"}]}]}'
)


def request(run: str, number: int) -> bytes:
    """Return a POST of one charge that was never sent before; thirty of them are of one patient."""
    body = BODY.replace("@", f"{run}-{number}").replace("#", f"{run}{number // 30}").encode()
    head = f"POST /fhir/ChargeItem HTTP/1.1\r\nHost: a\r\nContent-Type: application/fhir+json\r\nContent-Length: {len(body)}"
    return head.encode() + b"\r\n\r\n" + body


def senders_process(pipe: Pipe) -> None:
    """Serve rounds until told to stop."""
    serve(pipe, Way(request, b"\r\n\r\n", lambda heard: heard.startswith(b"HTTP/1.1 201")))


class IntakeOnly:
    """The engine's FHIR intake over the real ledger, and no work behind it."""

    def __init__(self, ledger: Ledger) -> None:
        self._intake = FhirIntake(ledger, lambda: datetime.now(UTC))

    def receive(self, heard: Sequence[Heard]) -> list[bytes | None]:
        return list(self._intake.receive(heard))

    def work(self, messages_max: int, patients_max: int = 0) -> int:
        return 0

    def take(self, destination: str, free_lanes: Collection[int], lanes: int) -> list[Send]:
        return []

    def settle(self, outcomes: Sequence[Outcome]) -> None:
        return None

    def rest(self) -> None:
        return None


def whole_engine(ledger: Ledger) -> Engine:
    """Return an engine with active tables."""
    engine = Engine(ledger, SITE, lambda: datetime.now(UTC))
    engine.decisions.activate(SITE.digest, "all", "bench", "the tables of the bench")
    engine.day(date(2026, 3, 31))
    return engine


def one_round(pipe: Pipe, folder: Path, asked: argparse.Namespace, run: str) -> dict[str, float]:
    """Open a new ledger and a door, let the senders run, and close."""

    def open_books() -> Any:
        ledger = Ledger(folder / f"{run}.db")
        return (whole_engine(ledger) if asked.engine else IntakeOnly(ledger)), ledger

    settled()
    place = InProcess(open_books)
    began = processor_s()
    try:
        seconds, times, commits = asyncio.run(heard(pipe, place, Told(0, asked.connections, asked.messages, run)))
    finally:
        place.end()
    cpu_us = 1e6 * (processor_s() - began) / asked.messages
    times.sort()
    return {
        "rate": asked.messages / seconds, "p50_ms": 1e3 * times[len(times) // 2],
        "p99_ms": 1e3 * times[int(len(times) * 0.99)], "max_ms": 1e3 * times[-1], "cpu_us": cpu_us,
        "per_commit": asked.messages / max(1, commits),
    }  # fmt: skip


async def heard(pipe: Pipe, place: InProcess, told: Told) -> tuple[float, list[float], int]:
    """Open a door to the books and let the senders run against it; return what they and the books say."""
    failures: list[BaseException] = []
    books = Books(place, failures.append)
    await books.open()
    lobby = Lobby()
    desk = Desk(Rules("bench", SITE.fhir.senders["charge_items"]), books, lobby)
    listener = FhirListener(Door("bench", "127.0.0.1", 0, Limits(connections_per_peer_max=1_000)), desk, lobby)
    pipe.send(told._replace(port=await listener.open()))
    seconds, times = await asyncio.get_running_loop().run_in_executor(None, pipe.recv)
    commits = books.commits
    await listener.close()
    await books.close()
    assert not failures, failures
    return seconds, times, commits


def rounds(pipe: Pipe, asked: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
        found = [one_round(pipe, Path(folder), asked, f"r{n}") for n in range(asked.rounds)]
    middle = {name: statistics.median(one[name] for one in found) for name in found[0]}
    behind = "the whole engine behind it" if asked.engine else "intake alone"
    print(
        f"FHIR door, {asked.connections} connections, {asked.messages} new ChargeItems, {behind}:"
        f" {middle['rate']:,.0f}/s, p50 {middle['p50_ms']:.1f} ms, p99 {middle['p99_ms']:.1f} ms,"
        f" most {middle['max_ms']:.1f} ms, {middle['cpu_us']:.0f} us of processor each,"
        f" {middle['per_commit']:.1f} to a commit"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--messages", type=int, default=8_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--engine", action="store_true")
    parser.add_argument("--folder", default=None, help="where the ledgers are made")
    asked = parser.parse_args()
    here, there = multiprocessing.Pipe()
    senders = multiprocessing.get_context("spawn").Process(target=senders_process, args=(there,), daemon=True)
    senders.start()
    rounds(here, asked)
    here.send(None)
    senders.join(5)


if __name__ == "__main__":
    main()
