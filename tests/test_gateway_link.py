"""The outbound link: no answer is ever taken for another message's, and no message is said twice unasked."""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import pytest
from gateway_peers import Behaviour, Destination, Till, ack, books_of, run, until

from fhir_radcharge.gateway.link import Link
from fhir_radcharge.gateway.route import ANSWERS, Backoff, Route
from fhir_radcharge.wire.mllp import frame

QUICK = Backoff(first_s=0.002, cap_s=0.01)


class Office:
    """A link over a till, to a destination that behaves as told."""

    def __init__(self, till: Till, link: Link, destination: Destination) -> None:
        self.till, self.link, self.destination = till, link, destination


@asynccontextmanager
async def office(behave: Behaviour, *control_ids: str, **route: Any) -> Any:
    till, destination = Till(), Destination(behave)
    till.queue("billing", 0, *control_ids)
    port = await destination.listen()
    async with books_of(till) as books:
        defaults = {"timeout_s": 2.0, "backoff": QUICK, "doubt_s": 0.02}
        link = Link(Route("billing", "127.0.0.1", port, **{**defaults, **route}), books, lambda: 0.5)
        link.open()
        try:
            yield Office(till, link, destination)
        finally:
            await link.close(0.2)
            await destination.stop()


def answering(*codes: str) -> Behaviour:
    """Answer each message with the next code, and with the last one from then on."""
    left = list(codes)

    async def behave(control_id: str, writer: asyncio.StreamWriter) -> None:
        writer.write(frame(ack(control_id, left.pop(0) if len(left) > 1 else left[0])))

    return behave


def raw_first(data: bytes) -> Behaviour:
    """Answer the first message with these bytes, the others with AA."""
    first = [data]

    async def behave(control_id: str, writer: asyncio.StreamWriter) -> None:
        writer.write(first.pop() if first else frame(ack(control_id)))

    return behave


def test_each_answer_code_has_its_outcome() -> None:
    async def story() -> None:
        async with office(answering("AA", "AE", "AR", "CA", "CE", "CR"), *(f"M{n}" for n in range(1, 7))) as desk:
            await until(lambda: len(desk.till.outcomes) == 6)

            assert desk.till.told() == [
                (1, 1, "accepted", "AA"), (2, 1, "refused", "AE"), (3, 1, "refused", "AR"),
                (4, 1, "accepted", "CA"), (5, 1, "refused", "CE"), (6, 1, "refused", "CR"),
            ]  # fmt: skip
            assert desk.destination.heard == [(0, f"M{n}") for n in range(1, 7)]

    run(story())


def test_the_answer_itself_goes_to_the_books() -> None:
    async def story() -> None:
        async with office(answering("AE"), "M1") as desk:
            await until(lambda: len(desk.till.outcomes) == 1)

            assert desk.till.outcomes[0].raw == ack("M1", "AE")

    run(story())


def test_a_destination_that_cannot_take_it_now_is_given_the_same_bytes_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def story() -> None:
        answers = {**ANSWERS, "AR": "not_taken"}
        async with office(answering("AR", "AR", "AA"), "M1", answers=answers) as desk:
            await until(lambda: len(desk.till.outcomes) == 3)

            assert desk.till.told() == [
                (1, 1, "not_taken", "AR"), (1, 2, "not_taken", "AR"), (1, 3, "accepted", "AA"),
            ]  # fmt: skip
            assert desk.destination.heard == [(0, "M1")] * 3

    run(story())

    said = [vars(record)["values"] for record in caplog.records if record.msg == "not_taken"]
    assert [(1, "AR")] == [(values["times"], values["code"]) for values in said]


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (frame(ack("M9")), "foreign"),
        (frame(ack("")), "foreign"),
        (frame(ack("M1", "XX")), "garbled"),
        (frame(b"MSH|^~\\&|B|C\r"), "garbled"),
        (frame(b"hello"), "garbled"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "garbled"),
        (b"\x0b" + b"x" * 70_000, "garbled"),
    ],
)
def test_an_answer_that_is_not_the_one_awaited_closes_the_socket(said: bytes, why: str) -> None:
    async def story() -> None:
        async with office(raw_first(said), "M1", "M2") as desk:
            await until(lambda: len(desk.till.outcomes) == 2)

            assert desk.till.told() == [(1, 1, "silent", why), (2, 1, "accepted", "AA")]
            assert desk.destination.heard == [(0, "M1"), (1, "M2")]

    run(story())


@pytest.mark.parametrize(
    "said",
    [
        frame(ack("M1")).removesuffix(b"\r"),
        frame(ack("M1").removesuffix(b"\r")),
        frame(ack("M1").removesuffix(b"\r")).removesuffix(b"\r"),
        frame(ack("M1").replace(b"\r", b"\r\n")),
        b"\r\n" + frame(ack("M1")),
    ],
)
def test_an_answer_with_untidy_line_ends_is_an_answer(said: bytes) -> None:
    async def story() -> None:
        async with office(raw_first(said), "M1", "M2") as desk:
            await until(lambda: len(desk.till.outcomes) == 2)

            assert desk.till.told() == [(1, 1, "accepted", "AA"), (2, 1, "accepted", "AA")]
            assert desk.destination.heard == [(0, "M1"), (0, "M2")]

    run(story())


def test_an_answer_in_pieces_is_an_answer() -> None:
    async def behave(control_id: str, writer: asyncio.StreamWriter) -> None:
        for byte in frame(ack(control_id)):
            writer.write(bytes((byte,)))
            await writer.drain()
            await asyncio.sleep(0)

    async def story() -> None:
        async with office(behave, "M1", "M2") as desk:
            await until(lambda: len(desk.till.outcomes) == 2)

            assert desk.till.told() == [(1, 1, "accepted", "AA"), (2, 1, "accepted", "AA")]

    run(story())


def test_a_doubled_answer_counts_once_and_closes_the_socket() -> None:
    async def story() -> None:
        async with office(raw_first(frame(ack("M1")) * 2), "M1", "M2") as desk:
            await until(lambda: len(desk.till.outcomes) == 2)

            assert desk.till.told() == [(1, 1, "accepted", "AA"), (2, 1, "accepted", "AA")]
            assert desk.destination.heard == [(0, "M1"), (1, "M2")]

    run(story())


def test_a_late_answer_is_never_taken_for_another_message() -> None:
    async def story() -> None:
        late: list[asyncio.StreamWriter] = []

        async def behave(control_id: str, writer: asyncio.StreamWriter) -> None:
            if control_id == "M1":
                late.append(writer)
                return
            late[0].write(frame(ack("M1")))
            writer.write(frame(ack("M1")) if control_id == "M2" else frame(ack(control_id)))

        async with office(behave, "M1", "M2", "M3", timeout_s=0.1) as desk:
            await until(lambda: len(desk.till.outcomes) == 3)

            assert desk.till.told() == [
                (1, 1, "silent", "timeout"), (2, 1, "silent", "foreign"), (3, 1, "accepted", "AA"),
            ]  # fmt: skip
            assert desk.destination.heard == [(0, "M1"), (1, "M2"), (2, "M3")]

    run(story())


def test_a_connection_that_ends_before_the_answer_leaves_the_message_silent() -> None:
    async def behave(control_id: str, writer: asyncio.StreamWriter) -> None:
        if control_id == "M1":
            writer.transport.abort()
        else:
            writer.write(frame(ack(control_id)))

    async def story() -> None:
        async with office(behave, "M1", "M2") as desk:
            await until(lambda: len(desk.till.outcomes) == 2)

            assert desk.till.told() == [(1, 1, "silent", "closed"), (2, 1, "accepted", "AA")]

    run(story())


def test_with_an_application_answer_awaited_the_accept_answer_is_not_the_last_word() -> None:
    async def behave(control_id: str, writer: asyncio.StreamWriter) -> None:
        writer.write(frame(ack(control_id, "CA")) + frame(ack(control_id, "AE" if control_id == "M1" else "AA")))

    async def story() -> None:
        async with office(behave, "M1", "M2", awaits_application=True) as desk:
            await until(lambda: len(desk.till.outcomes) == 2)

            assert desk.till.told() == [(1, 1, "refused", "AE"), (2, 1, "accepted", "AA")]
            assert desk.destination.connections == 1

    run(story())


def test_ten_kinds_of_disorder_misattribute_nothing() -> None:
    async def story() -> None:
        chance, said = random.Random(11), {}

        async def behave(control_id: str, writer: asyncio.StreamWriter) -> None:
            kind = chance.choice(["AA", "AE", "CA", "foreign", "twice", "garbage", "close", "half", "mute", "AA", "AA"])
            said[control_id] = kind
            answer = frame(ack(control_id, kind if len(kind) == 2 else "AA"))
            if kind == "close":
                writer.transport.abort()
            elif kind != "mute":
                writer.write({
                    "foreign": frame(ack("M999")), "twice": answer * 2, "garbage": b"\x0b?|\x1c\r", "half": answer[:9],
                }.get(kind, answer))  # fmt: skip

        names = [f"M{n}" for n in range(1, 301)]
        async with office(behave, *names, timeout_s=0.02) as desk:
            await until(lambda: len(desk.till.outcomes) == 300)
            truth = {"AA": "accepted", "CA": "accepted", "twice": "accepted", "AE": "refused"}

            assert [(one.seq, one.kind) for one in desk.till.outcomes] == [
                (n, truth.get(said[f"M{n}"], "silent")) for n in range(1, 301)
            ]
            assert [name for _, name in desk.destination.heard] == names

    run(story())


def test_lanes_carry_their_own_messages_side_by_side() -> None:
    async def story() -> None:
        waiting: list[tuple[str, asyncio.StreamWriter]] = []

        async def behave(control_id: str, writer: asyncio.StreamWriter) -> None:
            waiting.append((control_id, writer))
            if len(waiting) == 3:
                for name, one in waiting:
                    one.write(frame(ack(name)))

        async with office(behave, "M1", lanes=3) as desk:
            desk.till.queue("billing", 1, "M2")
            desk.till.queue("billing", 2, "M3")
            await until(lambda: len(desk.till.outcomes) == 3)

            assert sorted(desk.till.told()) == [(n, 1, "accepted", "AA") for n in (1, 2, 3)]
            assert sorted({number for number, _ in desk.destination.heard}) == [0, 1, 2]

    run(story())


def test_while_a_destination_is_away_one_lane_tries_and_all_come_back() -> None:
    async def story() -> None:
        async with office(answering("AA"), lanes=4) as desk:
            await until(lambda: desk.link.up == 4)
            await desk.destination.stop()
            await until(lambda: desk.link.up == 0)
            await until(lambda: sum(lane.dialling for lane in desk.link._all) == 1)
            desk.till.queue("billing", 3, "M1")
            await desk.destination.listen(desk.destination.port)
            await until(lambda: desk.link.up == 4)
            await until(lambda: len(desk.till.outcomes) == 1)

            assert desk.till.told() == [(1, 1, "accepted", "AA")]

    run(story())


def test_waits_double_up_to_a_cap_and_half_of_each_is_chance() -> None:
    backoff = Backoff(first_s=1.0, cap_s=60.0)

    assert [backoff.wait_s(n, 0.0) for n in (1, 2, 3, 7, 99)] == [0.5, 1.0, 2.0, 30.0, 30.0]
    assert [backoff.wait_s(n, 0.5) for n in (1, 2, 3, 7, 99)] == [0.75, 1.5, 3.0, 45.0, 45.0]


def test_a_peer_that_hangs_up_at_once_is_not_tried_in_a_tight_loop() -> None:
    async def story() -> None:
        tries: list[float] = []

        async def slam(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            tries.append(asyncio.get_running_loop().time())
            writer.transport.abort()

        server = await asyncio.start_server(slam, "127.0.0.1", 0)
        till = Till()
        async with books_of(till) as books:
            port = server.sockets[0].getsockname()[1]
            link = Link(Route("billing", "127.0.0.1", port, backoff=Backoff(0.01, 10.0)), books, lambda: 0.0)
            link.open()
            await until(lambda: len(tries) == 5)
            await link.close(0.1)
        server.close()
        waits = [later - sooner for sooner, later in pairwise(tries)]

        assert all(wait >= least for wait, least in zip(waits, (0.005, 0.01, 0.02, 0.04), strict=True))

    run(story())


def test_a_paused_link_says_nothing_and_resumes() -> None:
    async def story() -> None:
        async with office(answering("AA")) as desk:
            await until(lambda: desk.link.up == 1)
            desk.link.pause()
            desk.till.queue("billing", 0, "M1", "M2")
            commits = desk.till.commits
            await until(lambda: desk.till.commits > commits + 5)
            assert desk.destination.heard == []
            assert desk.link.state() == {"state": "paused", "lanes": 1, "up": 1, "outstanding": 0}

            desk.link.resume()
            await until(lambda: len(desk.till.outcomes) == 2)

            assert desk.till.told() == [(1, 1, "accepted", "AA"), (2, 1, "accepted", "AA")]

    run(story())


def test_draining_waits_for_the_outstanding_answer_and_takes_up_no_more() -> None:
    async def story() -> None:
        asked = asyncio.Event()
        release = asyncio.Event()

        async def behave(control_id: str, writer: asyncio.StreamWriter) -> None:
            asked.set()
            await release.wait()
            writer.write(frame(ack(control_id)))

        async with office(behave, "M1", "M2") as desk:
            await asked.wait()
            closing = asyncio.ensure_future(desk.link.close(5.0))
            await asyncio.sleep(0)
            release.set()
            await closing
            await until(lambda: len(desk.till.outcomes) == 1)

            assert desk.till.told() == [(1, 1, "accepted", "AA")]
            assert desk.destination.heard == [(0, "M1")]

    run(story())


def test_an_answer_that_does_not_come_while_draining_is_silence() -> None:
    async def mute(control_id: str, writer: asyncio.StreamWriter) -> None:
        pass

    async def story() -> None:
        async with office(mute, "M1") as desk:
            await until(lambda: desk.link.outstanding == 1)
            await desk.link.close(0.02)
            await until(lambda: len(desk.till.outcomes) == 1)

            assert desk.till.told() == [(1, 1, "silent", "shutdown")]

    run(story())


def test_outcomes_survive_a_storage_failure() -> None:
    async def story() -> None:
        async with office(answering("AA"), "M1", "M2", "M3") as desk:
            desk.till.failures_to_come = 3
            await until(lambda: len(desk.till.outcomes) == 3)

            assert desk.till.told() == [(n, 1, "accepted", "AA") for n in (1, 2, 3)]
            assert [name for _, name in desk.destination.heard] == ["M1", "M2", "M3"]

    run(story())


def test_a_body_that_cannot_be_framed_is_refused_and_the_next_goes_out() -> None:
    async def story() -> None:
        async with office(answering("AA")) as desk:
            desk.till.queue("billing", 0, "M1", "M2")
            name, body = desk.till.to_send["billing", 0][0]
            desk.till.to_send["billing", 0][0] = (name, body + b"\x1c")
            await until(lambda: len(desk.till.outcomes) == 2)

            assert desk.till.told() == [(1, 1, "refused", "not_sendable"), (2, 1, "accepted", "AA")]

    run(story())
