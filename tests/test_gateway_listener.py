"""The inbound door: nothing is answered before it is kept, and no peer harms another."""

from __future__ import annotations

import asyncio
import random
import socket
from contextlib import asynccontextmanager
from typing import Any

from gateway_peers import Sender, Till, ack, books_of, control_id_of, message, run, until

from fhir_radcharge.gateway.listener import Listener
from fhir_radcharge.gateway.lobby import Door, Limits, Lobby
from fhir_radcharge.wire.mllp import frame


class House:
    """A listener over a till, and the port to reach it."""

    def __init__(self, till: Till, lobby: Lobby, listener: Listener, port: int) -> None:
        self.till, self.lobby, self.listener, self.port = till, lobby, listener, port

    async def sender(self) -> Sender:
        return await Sender.connect(self.port)


@asynccontextmanager
async def house(lobby: Lobby | None = None, **rules: Any) -> Any:
    till, lobby = Till(), lobby or Lobby()
    limits = Limits(**rules.pop("limits", {}))
    async with books_of(till) as books:
        listener = Listener(Door("rv", "127.0.0.1", 0, limits, **rules), books, lobby)
        yield House(till, lobby, listener, await listener.open())
        till.gate.set()
        await listener.close(1.0)
    assert till.closed


def expected(till: Till, *payloads: bytes) -> list[bytes]:
    return [till.answers[payload] for payload in payloads]


def test_every_message_is_answered_in_order_wherever_the_stream_is_cut() -> None:
    async def story() -> None:
        async with house() as home:
            payloads = [message(f"M{n}", padding=n) for n in range(40)]
            stream = b"\r\n".join(map(frame, payloads))
            chance = random.Random(7)
            cuts = sorted(chance.sample(range(1, len(stream)), 60))
            sender = await home.sender()
            for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
                sender.write(stream[start:end])
                await asyncio.sleep(0)

            answers = await sender.answers(40)

            assert answers == expected(home.till, *payloads)
            assert home.till.kept == payloads

    run(story())


def test_one_byte_at_a_time_is_one_message() -> None:
    async def story() -> None:
        async with house() as home:
            sender = await home.sender()
            for byte in frame(message("M1")):
                sender.write(bytes((byte,)))
                await sender.writer.drain()

            assert await sender.answer() == home.till.answers[message("M1")]

    run(story())


def test_nothing_is_said_before_the_commit() -> None:
    async def story() -> None:
        async with house() as home:
            sender = await home.sender()
            home.till.gate.clear()
            home.till.waiting.clear()
            sender.send(message("M1"))
            await asyncio.to_thread(home.till.waiting.wait)
            read = asyncio.ensure_future(sender.answer())
            done, _ = await asyncio.wait([read], timeout=0.05)
            assert not done

            home.till.gate.set()

            assert control_id_of(message("M1")) == "M1"
            assert await read == home.till.answers[message("M1")]

    run(story())


def test_a_storage_failure_is_silent_and_the_repeat_is_answered() -> None:
    async def story() -> None:
        async with house() as home:
            await until(lambda: home.till.commits > 0)
            home.till.gate.clear()
            sender, other = await home.sender(), await home.sender()
            sender.send(message("M1"), message("M2"))
            other.send(message("M3"))
            await asyncio.to_thread(home.till.waiting.wait)
            home.till.failures_to_come = 1_000_000
            home.till.gate.set()
            assert await sender.ended() == b""
            assert await other.ended() == b""
            home.till.failures_to_come = 0

            again = await home.sender()
            again.send(message("M1"))

            assert await again.answer() == home.till.answers[message("M1")]
            assert home.till.kept == [message("M1")]

    run(story())


def test_a_sender_that_lost_its_answer_gets_the_stored_one() -> None:
    async def story() -> None:
        async with house() as home:
            home.till.gate.clear()
            first = await home.sender()
            first.send(message("M1"))
            await until(lambda: home.lobby.buffered > 0)
            first.reset()
            home.till.gate.set()
            await until(lambda: home.till.kept == [message("M1")] and not home.lobby.connections)
            stored = home.till.answers[message("M1")]

            second = await home.sender()
            second.send(message("M1"))

            assert await second.answer() == stored
            assert home.till.kept == [message("M1")]

    run(story())


def test_one_lost_connection_loses_no_answer_of_the_others() -> None:
    async def story() -> None:
        async with house() as home:
            senders = [await home.sender() for _ in range(8)]
            home.till.gate.clear()
            for n, sender in enumerate(senders):
                sender.send(message(f"M{n}"))
            await until(lambda: sum(one.owed for one in home.lobby.connections) == 8)
            for sender in senders[::2]:
                sender.reset()
            home.till.gate.set()

            answers = [await sender.answer() for sender in senders[1::2]]

            assert answers == expected(home.till, *(message(f"M{n}") for n in range(1, 8, 2)))

    run(story())


def test_a_fault_while_one_answer_is_written_loses_no_answer_of_the_others() -> None:
    async def story() -> None:
        async with house() as home:
            broken, whole = await home.sender(), await home.sender()
            await until(lambda: len(home.lobby.connections) == 2)
            mine = broken.writer.get_extra_info("sockname")[1]
            victim = next(one for one in home.lobby.connections if one._peer == f"127.0.0.1:{mine}")
            victim._transport = _Faulty(victim._transport)
            home.till.gate.clear()
            broken.send(message("M1"))
            whole.send(message("M2"))
            await until(lambda: sum(one.owed for one in home.lobby.connections) == 2)
            home.till.gate.set()

            assert await whole.answer() == home.till.answers[message("M2")]

    run(story())


class _Faulty:
    """A transport whose write fails."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport

    def write(self, data: bytes) -> None:
        raise RuntimeError("cannot write")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


def test_after_an_oversize_frame_the_next_one_is_answered() -> None:
    async def story() -> None:
        refusal = ack("", "AR")
        async with house(limits={"frame_bytes_max": 500}, oversize=lambda limit: refusal) as home:
            sender = await home.sender()
            sender.send(message("M1"), message("M2", padding=2000), message("M3"))

            answers = await sender.answers(3)

            assert answers == [home.till.answers[message("M1")], refusal, home.till.answers[message("M3")]]
            assert home.till.kept == [message("M1"), message("M3")]

    run(story())


def test_a_web_browser_at_the_door_is_sent_away_without_a_word() -> None:
    async def story() -> None:
        async with house() as home:
            for opening in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x02\x00\x01", b"MSH|^~\\&|RV\r"):
                sender = await home.sender()
                sender.write(opening)
                assert await sender.ended() == b""
            assert home.till.kept == []

    run(story())


def test_line_ends_without_end_are_not_mllp() -> None:
    async def story() -> None:
        async with house(limits={"junk_bytes_max": 100}) as home:
            sender = await home.sender()
            sender.write(b"\r\n" * 100)

            assert await sender.ended() == b""

    run(story())


def test_a_slow_sender_is_cut_and_an_honest_one_is_served_meanwhile() -> None:
    async def story() -> None:
        async with house(limits={"frame_s": 0.2}) as home:
            slow, honest = await home.sender(), await home.sender()
            slow.write(frame(message("M1"))[:-20])
            ended = asyncio.ensure_future(slow.ended())
            served = 0
            while not ended.done():
                slow.write(b"x")
                honest.send(message(f"M{served + 2}"))
                assert await honest.answer()
                served += 1

            assert await ended == b""
            assert served > 0
            assert home.till.kept == [message(f"M{n + 2}") for n in range(served)]

    run(story())


def test_an_idle_connection_is_closed() -> None:
    async def story() -> None:
        async with house(limits={"idle_s": 0.1}) as home:
            sender = await home.sender()

            assert await sender.ended() == b""

    run(story())


def test_a_frame_without_its_final_cr_is_answered_when_nothing_follows() -> None:
    async def story() -> None:
        async with house(limits={"doubt_s": 0.02}) as home:
            sender = await home.sender()
            payload = message("M1").removesuffix(b"\r")
            sender.write(frame(payload).removesuffix(b"\r"))

            assert await sender.answer() == home.till.answers[payload]

    run(story())


def test_a_half_closed_sender_still_gets_its_answers() -> None:
    async def story() -> None:
        async with house() as home:
            sender = await home.sender()
            home.till.gate.clear()
            sender.send(message("M1"), message("M2"))
            sender.writer.write_eof()
            await until(lambda: sum(one.owed for one in home.lobby.connections) == 2)
            home.till.gate.set()

            assert await sender.answers(3) == [*expected(home.till, message("M1"), message("M2")), b""]

    run(story())


def test_connections_are_limited_for_each_peer_and_in_total() -> None:
    async def story() -> None:
        async with house(limits={"connections_per_peer_max": 2}) as home:
            admitted = [await home.sender(), await home.sender()]
            await until(lambda: len(home.lobby.connections) == 2)
            assert await (await home.sender()).ended() == b""
            admitted[0].send(message("M1"))
            assert await admitted[0].answer()
            admitted[0].reset()
            await until(lambda: len(home.lobby.connections) == 1)

            late = await home.sender()
            late.send(message("M2"))

            assert await late.answer() == home.till.answers[message("M2")]
        async with house(Lobby(connections_max=0)) as home:
            assert await (await home.sender()).ended() == b""

    run(story())


def test_unfinished_frames_of_all_peers_share_one_budget() -> None:
    async def story() -> None:
        async with house(Lobby(buffer_bytes_max=10_000)) as home:
            first, second = await home.sender(), await home.sender()
            first.write(b"\x0b" + b"x" * 8_000)
            await until(lambda: home.lobby.buffered == 8_000)
            second.write(b"\x0b" + b"x" * 8_000)

            assert await second.ended() == b""
            await until(lambda: home.lobby.buffered == 8_000)
            first.reset()
            await until(lambda: home.lobby.buffered == 0)

    run(story())


def test_a_sender_that_is_owed_too_many_answers_is_not_read() -> None:
    async def story() -> None:
        async with house(limits={"owed_max": 4}) as home:
            home.till.gate.clear()
            sender = await home.sender()
            payloads = [message(f"M{n}", padding=100_000) for n in range(200)]
            sender.send(*payloads)
            await until(lambda: any(one._full for one in home.lobby.connections))
            (connection,) = home.lobby.connections
            assert connection.owed < 20
            assert home.lobby.buffered < 2_000_000

            home.till.gate.set()

            assert await sender.answers(200) == expected(home.till, *payloads)
            assert home.lobby.buffered == 0

    run(story())


def test_a_sender_that_does_not_read_its_answers_is_cut() -> None:
    async def story() -> None:
        async with house(limits={"frame_s": 0.2}) as home:
            home.till.remark = "x" * 100_000
            deaf = socket.socket()
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf.connect(("127.0.0.1", home.port))
            sender = Sender(*await asyncio.open_connection(sock=deaf))
            sender.writer.transport.pause_reading()
            payload = message("M1")
            await until(lambda: len(home.lobby.connections) == 1)
            sender.send(*[payload] * 200)
            await until(lambda: not home.lobby.connections)

            assert home.till.kept == [payload]

    run(story())


def test_closing_answers_what_was_heard_and_hears_no_more() -> None:
    async def story() -> None:
        async with house() as home:
            sender, idle = await home.sender(), await home.sender()
            home.till.gate.clear()
            sender.send(message("M1"))
            await until(lambda: sum(one.owed for one in home.lobby.connections) == 1)
            closing = asyncio.ensure_future(home.listener.close(5.0))
            assert await idle.ended() == b""
            home.till.gate.set()
            await closing

            assert await sender.answers(2) == [home.till.answers[message("M1")], b""]

    run(story())
