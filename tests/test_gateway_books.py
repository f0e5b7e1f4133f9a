"""The owner of the books: one commit for all that waits, short slices in between, and nobody harmed by another's fault."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Collection, Sequence
from typing import Any

import pytest
from gateway_peers import Till, books_of, message, run, until
from on_thread import OnThread

from fhir_radcharge.engine import Heard, Outcome, Send
from fhir_radcharge.errors import LedgerError
from fhir_radcharge.gateway.books import Books
from fhir_radcharge.gateway.logs import JsonLines
from fhir_radcharge.gateway.pace import Pace, Slices


class Ear:
    """A speaker that writes down what it was told."""

    def __init__(self) -> None:
        self.answers: list[bytes | None] = []
        self.given_up: list[str] = []

    def answer(self, answers: list[bytes | None]) -> None:
        self.answers += answers

    def give_up(self, reason: str) -> None:
        self.given_up.append(reason)


def heard(*names: str) -> list[Heard]:
    return [Heard("rv", "peer", message(name)) for name in names]


def test_all_that_waits_is_kept_with_one_commit() -> None:
    async def story() -> None:
        till = Till()
        async with books_of(till, poll_s=60.0) as books:
            first, ears = Ear(), [Ear() for _ in range(50)]
            await until(lambda: till.commits > 0)
            till.gate.clear()
            till.waiting.clear()
            books.hear(first, heard("M0"))
            await asyncio.to_thread(till.waiting.wait)
            for n, ear in enumerate(ears):
                books.hear(ear, heard(f"M{n + 1}", f"M{n + 51}"))
            till.gate.set()
            await until(lambda: all(len(ear.answers) == 2 for ear in ears))

            assert till.kept[0] == message("M0")
            assert [ear.answers for ear in ears] == [
                [till.answers[message(f"M{n + 1}")], till.answers[message(f"M{n + 51}")]] for n in range(50)
            ]
            assert till.commits_that_kept == [1, 100]

    run(story())


def test_a_commit_takes_no_more_frames_than_it_may() -> None:
    async def story() -> None:
        till = Till()
        async with books_of(till, frames_max=10) as books:
            till.gate.clear()
            ears = [Ear() for _ in range(35)]
            for n, ear in enumerate(ears):
                books.hear(ear, heard(f"M{n}"))
            till.gate.set()
            await until(lambda: all(ear.answers for ear in ears))

            assert max(till.commits_that_kept) <= 10

    run(story())


def test_a_storage_failure_gives_up_its_own_batch_and_the_next_is_kept() -> None:
    async def story() -> None:
        till = Till()
        async with books_of(till, poll_s=60.0) as books:
            await until(lambda: till.commits > 0)
            till.failures_to_come = 1
            unlucky, lucky = Ear(), Ear()
            books.hear(unlucky, heard("M1"))
            await until(lambda: unlucky.given_up == ["storage"])
            books.hear(lucky, heard("M2"))
            await until(lambda: len(lucky.answers) == 1)

            assert (unlucky.answers, lucky.given_up, till.kept) == ([], [], [message("M2")])
            assert books.storage_ok

    run(story())


def test_a_backlog_is_worked_through_in_slices_while_senders_are_served() -> None:
    async def story() -> None:
        till, ear = Till(), Ear()
        till.backlog = 5_000
        async with books_of(till, messages_max=7) as books:
            for n in range(50):
                books.hear(ear, heard(f"M{n}"))
                await until(lambda n=n: len(ear.answers) == n + 1)
            await until(lambda: till.backlog == 0)

            assert max(till.slices) <= 7

    run(story())


class Carrier:
    """A link of one lane that writes down what it is to carry."""

    destination, lanes = "biller", 1

    def __init__(self) -> None:
        self.sends: list[Send] = []

    def carry(self, sends: list[Send]) -> None:
        self.sends += sends


def test_a_lane_that_is_answered_during_a_slice_goes_on_with_its_commit() -> None:
    class Slow(Till):
        def __init__(self) -> None:
            super().__init__()
            self.begun, self.go_on = threading.Event(), threading.Event()
            self.taken_after: dict[str, int] = {}

        def work(self, messages_max: int, patients_max: int) -> int:
            if self.backlog:
                self.begun.set()
                assert self.go_on.wait(5.0)
            return super().work(messages_max, patients_max)

        def take(self, destination: str, free_lanes: Collection[int], lanes: int) -> list[Send]:
            sends = super().take(destination, free_lanes, lanes)
            self.taken_after.update((send.control_id, self.commits) for send in sends)
            return sends

    async def story() -> None:
        till = Slow()
        till.queue("biller", 0, "M1", "M2")
        carrier, ear = Carrier(), Ear()
        async with books_of(till, poll_s=60.0) as books:
            books.want(carrier, 0)
            await until(lambda: len(carrier.sends) == 1)
            till.backlog = 1
            books.hear(ear, heard("M9"))
            await asyncio.to_thread(till.begun.wait, 5.0)
            before = till.commits
            books.settle(Outcome(1, 1, "accepted", "AA", b""))
            books.want(carrier, 0)
            till.go_on.set()
            await until(lambda: len(carrier.sends) == 2)

            assert (carrier.sends[1].body, till.taken_after["M2"]) == (message("M2"), before)

    run(story())


def test_a_verb_that_fails_undoes_nothing_of_others() -> None:
    async def story() -> None:
        def fail(engine: Any, args: Any) -> None:
            engine.kept.clear()
            raise ValueError("no")

        till, ear = Till(), Ear()
        async with books_of(till) as books:
            books.hear(ear, heard("M1"))
            reply = books.ask(fail, {})
            books.hear(ear, heard("M2"))
            with pytest.raises(ValueError, match="no"):
                await reply
            await until(lambda: len(ear.answers) == 2)

            assert till.kept == [message("M1"), message("M2")]

    run(story())


def test_a_verb_hears_of_a_storage_failure() -> None:
    async def story() -> None:
        till = Till()
        async with books_of(till, poll_s=60.0) as books:
            await until(lambda: till.commits > 0)
            till.failures_to_come = 1
            with pytest.raises(LedgerError):
                await books.ask(lambda engine, args: 1, {})

            assert await books.ask(lambda engine, args: args["n"] + 1, {"n": 1}) == 2

    run(story())


def test_the_engine_is_told_of_an_end_in_order_and_books_that_cannot_be_written_are_closed_without() -> None:
    async def story(failures: int) -> None:
        till, told = Till(), list[BaseException]()
        books = Books(OnThread(till.books), told.append)
        await books.open()
        await until(lambda: till.slices != [])
        till.failures_to_come = failures
        await books.close()
        assert (told, till.rested, till.closed) == ([], True, True)

    run(story(0))
    run(story(1))


def test_a_disk_that_is_full_for_hours_ends_nothing_and_fills_no_log(caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        till = Till()
        async with books_of(till, retry_s=1e-9, retry_max_s=1e-9, poll_s=0.01) as books:
            till.failures_to_come = 1_500
            ear = Ear()
            await until(lambda: till.failures_to_come == 0)
            books.hear(ear, heard("M1"))
            await until(lambda: ear.answers != [])

    run(story())
    told = [one.values["failures"] for one in caplog.records if one.msg == "storage_failed"]  # type: ignore[attr-defined]
    assert told == [1, 10, 100, 1000]


def test_our_own_bug_is_reported_with_its_reason(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Till):
        def receive(self, heard: Sequence[Heard]) -> list[bytes | None]:
            raise ZeroDivisionError("of TESTER^IVA")

    async def story() -> None:
        till, failures = Broken(), []
        books = Books(OnThread(till.books), failures.append)
        await books.open()
        books.hear(Ear(), heard("M1"))
        await until(lambda: bool(failures))
        await books.close()

        (record,) = [one for one in caplog.records if one.msg == "books_defect"]
        line = json.loads(JsonLines().format(record))
        assert (line["exception"], line["place"].split(":")[0]) == ("ZeroDivisionError", "test_gateway_books.py")
        assert "IVA" not in JsonLines().format(record)
        assert [type(error) for error in failures] == [ZeroDivisionError]
        assert (till.rested, till.closed) == (False, True)

    run(story())


class Watch:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_slices_are_as_long_as_wanted_and_wait_while_senders_have_their_turn() -> None:
    watch = Watch()
    slices = Slices(Pace(slice_s=0.005, door_s=0.006, quiet_s=0.25, quiet_slice_s=0.025, messages_max=500), watch)
    assert slices.due(heard=True)
    for _ in range(50):
        slices.took(slices.size * 0.001, slices.size)
        watch.now += 0.010
        assert slices.due(heard=True)
    assert slices.size in (4, 5)

    slices.took(0.005, 5)
    watch.now += 0.005
    assert not slices.due(heard=True)
    assert slices.due(heard=False)
    watch.now += 0.002
    assert slices.due(heard=True)

    watch.now += 1.0
    assert slices.due(heard=False)
    assert slices.size in (24, 25)


def test_a_slow_message_is_a_slice_of_its_own() -> None:
    watch = Watch()
    slices = Slices(Pace(slice_s=0.005), watch)
    for _ in range(20):
        slices.took(0.1 * slices.size, slices.size)
        watch.now += 1.0
        slices.due(heard=True)

    assert slices.size == 1
