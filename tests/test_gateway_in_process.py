"""The books in a process of their own: the same promises, errors that cross, and an end of one that ends the other."""

from __future__ import annotations

import asyncio
import os
import pickle
import random
import signal
import socket
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from gateway_peers import Till, message, run, until
from test_gateway_books import Ear, heard

from fhir_radcharge.engine import Outcome, Send
from fhir_radcharge.errors import LedgerError, MessageError, RadchargeError
from fhir_radcharge.gateway.books import Books
from fhir_radcharge.gateway.in_process import InProcess, Unpacker, packed
from fhir_radcharge.gateway.pace import Pace
from fhir_radcharge.ledger import Ledger

QUICK = Pace(poll_s=0.02, retry_s=0.01, retry_max_s=0.02)


# Verbs are functions of a module, because they go to another process.


def kept(engine: Any, args: Any) -> list[bytes]:
    return list(engine.kept)


def outcomes(engine: Any, args: Any) -> list[Outcome]:
    return list(engine.outcomes)


def process_of(engine: Any, args: Any) -> tuple[int, int]:
    return os.getpid(), os.getppid()


def queued(engine: Any, args: Any) -> None:
    engine.queue("biller", 0, *args["names"])


def unreadable(engine: Any, args: Any) -> None:
    raise MessageError("FT1[2]-4", "no date", "send one", "101")


class Local(Exception):
    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two} of TESTER^IVA")


def cannot_cross(engine: Any, args: Any) -> None:
    raise Local(1, 2)


def result_cannot_cross(engine: Any, args: Any) -> Any:
    return lambda: 1


def stays_busy(engine: Any, args: Any) -> None:
    signal.pause()


def with_books(story: Callable[[Books, list[BaseException]], Coroutine[Any, Any, None]], till: Till) -> None:
    """Run a story with books that are owned by another process; the process has ended afterwards."""
    place = InProcess(till.books, QUICK)

    async def told() -> None:
        failures: list[BaseException] = []
        books = Books(place, failures.append)
        await books.open()
        await story(books, failures)
        await books.close()

    try:
        run(told())
    finally:
        place.end()
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


class Biller:
    """A link that writes down what it is to carry."""

    destination, lanes = "biller", 1

    def __init__(self) -> None:
        self.sends: list[Send] = []

    def carry(self, sends: list[Send]) -> None:
        self.sends += sends


def test_what_is_heard_is_kept_and_answered_by_another_process() -> None:
    async def story(books: Books, failures: list[BaseException]) -> None:
        ears = [Ear() for _ in range(40)]
        for n, ear in enumerate(ears):
            books.hear(ear, heard(f"M{n}", f"M{n + 100}"))
        await until(lambda: all(len(ear.answers) == 2 for ear in ears))

        assert await books.ask(kept, {}) == [message(f"M{n + more}") for n in range(40) for more in (0, 100)]
        child, parent = await books.ask(process_of, {})
        assert (child != os.getpid(), parent) == (True, os.getpid())
        assert (books.kept, books.storage_ok, failures) == (80, True, [])

    with_books(story, Till())


def test_a_lane_is_fed_and_its_outcome_written() -> None:
    async def story(books: Books, failures: list[BaseException]) -> None:
        biller = Biller()
        books.want(biller, 0)
        await books.ask(queued, {"names": ["M1", "M2"]})
        await until(lambda: len(biller.sends) == 1)
        books.settle(Outcome(1, 1, "accepted", "AA", b""))
        books.want(biller, 0)
        await until(lambda: len(biller.sends) == 2)

        assert [send.body for send in biller.sends] == [message("M1"), message("M2")]
        assert await books.ask(outcomes, {}) == [Outcome(1, 1, "accepted", "AA", b"")]

    with_books(story, Till())


class FullOnce(Till):
    """A till whose first commit of messages fails."""

    def receive(self, heard: Any) -> Any:
        self.failures_to_come = 0 if self.remark else 1
        self.remark = "again"
        return super().receive(heard)


def test_a_storage_failure_there_gives_up_its_own_batch_here() -> None:
    async def story(books: Books, failures: list[BaseException]) -> None:
        unlucky, lucky = Ear(), Ear()
        books.hear(unlucky, heard("M1"))
        await until(lambda: unlucky.given_up == ["storage"])
        books.hear(lucky, heard("M2"))
        await until(lambda: len(lucky.answers) == 1)

        assert await books.ask(kept, {}) == [message("M2")]
        assert unlucky.answers == []

    with_books(story, FullOnce())


def test_an_error_of_a_verb_crosses_with_its_parts_and_a_strange_one_without_its_words() -> None:
    async def story(books: Books, failures: list[BaseException]) -> None:
        with pytest.raises(MessageError) as known:
            await books.ask(unreadable, {})
        assert (known.value.place, known.value.remedy, known.value.code) == ("FT1[2]-4", "send one", "101")
        with pytest.raises(RadchargeError, match="Local in the process") as strange:
            await books.ask(cannot_cross, {})
        assert "IVA" not in str(strange.value)
        with pytest.raises(RadchargeError, match="function in the process"):
            await books.ask(result_cannot_cross, {})

    with_books(story, Till())


def test_what_cannot_go_over_ends_it_with_its_reason_and_is_not_waited_for() -> None:
    async def story(books: Books, failures: list[BaseException]) -> None:
        asked = books.ask(lambda engine, args: 1, {})
        await until(lambda: bool(failures))
        await books.close()
        with pytest.raises(LedgerError, match="closed before this was done"):
            await asked

        assert "pickle" in str(failures[0])

    with_books(story, Till())


def test_books_that_cannot_be_opened_there_say_why_here() -> None:
    def shut() -> Any:
        raise LedgerError("no such folder")

    place = InProcess(shut, QUICK)

    async def story() -> None:
        with pytest.raises(LedgerError, match="no such folder"):
            await Books(place, lambda error: None).open()

    run(story())
    place.end()


def test_a_process_of_the_books_that_is_killed_is_told_and_nobody_waits_for_it() -> None:
    async def story(books: Books, failures: list[BaseException]) -> None:
        child, _ = await books.ask(process_of, {})
        asked = books.ask(stays_busy, {})
        await asyncio.sleep(0.05)
        os.kill(child, signal.SIGKILL)
        with pytest.raises(LedgerError, match="closed before this was done"):
            await asked

        assert [str(error) for error in failures] == [
            "the process that owns the books was ended from outside; start again"
        ]

    with_books(story, Till())


def test_a_process_that_does_not_end_is_killed() -> None:
    place = InProcess(Till().books, QUICK)

    async def story() -> int:
        books = Books(place, lambda error: None)
        await books.open()
        child, _ = await books.ask(process_of, {})
        books.ask(stays_busy, {})
        await asyncio.sleep(0.05)
        assert place._transport is not None
        place._transport.abort()  # as at the end of the gateway
        await asyncio.sleep(0.05)
        return int(child)

    child = asyncio.run(story())
    place.end()

    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


def test_a_process_that_the_system_reaps_unasked_has_ended() -> None:
    """Some supervisors start a program with SIGCHLD ignored, and that is inherited."""

    async def story(books: Books, failures: list[BaseException]) -> None:
        assert await books.ask(kept, {}) == []

    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        with_books(story, Till())
    finally:
        signal.signal(signal.SIGCHLD, before)


def test_the_process_ends_by_itself_with_the_gateway_and_lets_go_of_the_books(tmp_path: Path) -> None:
    path = tmp_path / "radcharge.db"
    gone, theirs = socket.socketpair()
    gateway = os.fork()
    if gateway == 0:
        gone.close()

        def open_books() -> Any:
            ledger = Ledger(path)
            theirs.sendall(b"opened")
            return Till(), ledger

        InProcess(open_books, QUICK)
        signal.pause()
        os._exit(1)
    theirs.close()
    assert gone.recv(6) == b"opened"
    os.kill(gateway, signal.SIGKILL)
    os.waitpid(gateway, 0)

    Ledger(path, lock_within_s=5.0).close()
    gone.settimeout(5.0)
    assert gone.recv(1) == b"", "its last holder has ended"
    gone.close()


def test_values_cross_whole_however_the_stream_is_cut() -> None:
    chance = random.Random(5)
    lots = [[message(f"M{n}", chance.randrange(3_000))] * chance.randrange(4) for n in range(30)]
    stream = b"".join(map(packed, lots))
    for longest in (1, 7, 1_000, len(stream)):
        unpacker, found, start = Unpacker(), [], 0
        while start < len(stream):
            end = start + chance.randint(1, longest)
            found += unpacker.feed(stream[start:end])
            start = end

        assert found == [value for lot in lots for value in lot]


@pytest.mark.parametrize("error", [MessageError("PID-3", "none", "send it"), LedgerError("full")])
def test_an_error_is_the_same_in_another_process(error: RadchargeError) -> None:
    again = pickle.loads(pickle.dumps(error))

    assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))
