"""The running gateway: ready when it can keep messages, reachable by its owner, and gone without a loss."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import stat
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from gateway_peers import Destination, Sender, Till, ack, message, run, until
from on_thread import OnThread

from fhir_radcharge.chargemaster import ChargeMaster
from fhir_radcharge.config import Config, load
from fhir_radcharge.config_values import Address
from fhir_radcharge.errors import ConfigError, LedgerError, RadchargeError, UnsafeError
from fhir_radcharge.gateway.control import NoServerError, ask
from fhir_radcharge.gateway.doors import answers_of, as_configured
from fhir_radcharge.gateway.logs import JsonLines, log, surrogate
from fhir_radcharge.gateway.server import Gateway, Surroundings
from fhir_radcharge.places import Plans, Settings
from fhir_radcharge.profiles.destinations import read_destination
from fhir_radcharge.profiles.reading import read_sender
from fhir_radcharge.site import Site
from fhir_radcharge.wire.ack import read_answer
from fhir_radcharge.wire.mllp import frame

MAPPINGS = Path(__file__).parent.parent / "mappings"
# 23:30 on 1 March in Chicago is 2 March in Greenwich.
LATE = datetime(2026, 3, 2, 5, 30, tzinfo=UTC)


def site() -> Site:
    """Return a site with the example profiles and no rules."""
    senders = {name: read_sender(MAPPINGS / "senders" / f"{name}.yaml", name) for name in ("plain", "aria_like")}
    biller = read_destination(MAPPINGS / "destinations" / "global_biller.yaml", "global_biller.yaml")
    by_name = {(one.application, one.facility): one for one in senders.values()}
    return Site(
        senders, {"global_biller": biller}, Settings({}), Plans({}), ChargeMaster({}), None, "digest",
        ZoneInfo("America/Chicago"), by_name,
    )  # fmt: skip


def configured(folder: Path, listen: str = "", send: str = "") -> Config:
    (folder / "radcharge.toml").write_text(
        f"""
[site]
name = "north"
timezone = "America/Chicago"
[store]
path = "radcharge.db"
[rules]
mappings = "."
[control]
socket = "radcharge.sock"
[credits]
per_hour_before_pause = 40
[work]
drain_s = 2.0
[[listen]]
name = "rv"
bind = "127.0.0.1:0"
{listen}
{send}
"""
    )
    return load(folder / "radcharge.toml")


def count(engine: Any, args: Mapping[str, Any]) -> dict[str, int]:
    return {"kept": len(engine.kept) + args["more"]}


def break_something(engine: Any, args: Mapping[str, Any]) -> None:
    engine.kept.append(b"half")
    raise RuntimeError("TESTER^IVA")


def refuse(engine: Any, args: Mapping[str, Any]) -> None:
    raise UnsafeError("that would post a charge twice; release the hold instead")


VERBS = {"count": count, "break": break_something, "refuse": refuse}


class Running:
    """A gateway that is ready, and what it said."""

    def __init__(self, till: Till, folder: Path, line: str) -> None:
        self.till, self.socket, self.line = till, folder / "radcharge.sock", line
        self.port = int(line.split(" rv=127.0.0.1:")[1].split()[0])

    async def ask(self, verb: str, **args: Any) -> Any:
        return await asyncio.to_thread(ask, self.socket, verb, args, 5.0)


@asynccontextmanager
async def running(folder: Path, till: Till | None = None, **sections: str) -> AsyncIterator[Running]:
    till, lines = till or Till(), []
    config = configured(folder, **sections)
    around = Surroundings(lambda: LATE, lambda: 0.5, lines.append, logs=False)
    gateway = asyncio.ensure_future(Gateway(config, as_configured(site(), config), OnThread(till.books), VERBS, around).run())
    await until(lambda: bool(lines) or gateway.done())
    try:
        yield Running(till, folder, lines[0] if lines else gateway.result() or "")
    finally:
        if not gateway.done():
            till.gate.set()
            os.kill(os.getpid(), signal.SIGTERM)
        await gateway
    assert till.closed


def test_it_says_when_it_is_ready_and_answers_then(tmp_path: Path) -> None:
    async def story() -> None:
        async with running(tmp_path) as server:
            assert server.line == f"ready site=north pid={os.getpid()} rv=127.0.0.1:{server.port}"
            sender = await Sender.connect(server.port)
            sender.send(message("M1"))

            assert await sender.answer() == server.till.answers[message("M1")]

    run(story())


def test_on_sigterm_it_gives_what_it_owes_and_waits_for_what_it_asked(tmp_path: Path) -> None:
    async def story() -> None:
        asked, release = asyncio.Event(), asyncio.Event()

        async def behave(control_id: str, writer: asyncio.StreamWriter) -> None:
            asked.set()
            await release.wait()
            writer.write(frame(ack(control_id)))

        biller = Destination(behave)
        port = await biller.listen()
        till = Till()
        till.queue("global_biller", 0, "M7", "M8")
        link = f'[[send]]\nname = "global_biller"\nto = "127.0.0.1:{port}"\n'
        async with running(tmp_path, till, send=link) as server:
            sender = await Sender.connect(server.port)
            await asked.wait()
            till.gate.clear()
            till.waiting.clear()
            sender.send(message("M1"))
            await asyncio.to_thread(till.waiting.wait)
            os.kill(os.getpid(), signal.SIGTERM)
            await until(lambda: not server.socket.exists())
            release.set()
            till.gate.set()

            assert await sender.answers(2) == [till.answers[message("M1")], b""]
        await biller.stop()

        assert till.told() == [(7, 1, "accepted", "AA")]
        assert [name for _, name in biller.heard] == ["M7"]

    run(story())


def test_status_tells_of_storage_doors_and_links(tmp_path: Path) -> None:
    async def story() -> None:
        link = '[[send]]\nname = "global_biller"\nto = "127.0.0.1:1"\n'
        async with running(tmp_path, send=link) as server:
            status = await server.ask("status")
            assert status["commits"] >= 0

            assert {name: status[name] for name in ("site", "ready", "storage", "listeners", "links")} == {
                "site": "north",
                "ready": True,
                "storage": "ok",
                "listeners": {"rv": {"port": server.port, "connections": 0}},
                "links": {"global_biller": {"state": "unreachable", "lanes": 2, "up": 0, "outstanding": 0}},
            }

    run(story())


def test_a_failing_disk_shows_in_status_and_passes(tmp_path: Path) -> None:
    async def story() -> None:
        async with running(tmp_path) as server:
            server.till.failures_to_come = 1_000_000
            sender = await Sender.connect(server.port)
            sender.send(message("M1"))
            assert await sender.answer() == b""
            assert (await server.ask("status"))["storage"] == "failing"

            server.till.failures_to_come = 0
            again = await Sender.connect(server.port)
            again.send(message("M1"))

            assert await again.answer() == server.till.answers[message("M1")]
            assert (await server.ask("status"))["storage"] == "ok"

    run(story())


def test_verbs_run_on_the_books_and_their_mistakes_are_their_own(tmp_path: Path) -> None:
    async def story() -> None:
        async with running(tmp_path) as server:
            assert await server.ask("count", more=3) == {"kept": 3}
            with pytest.raises(RadchargeError, match="failed with RuntimeError; nothing was changed") as caught:
                await server.ask("break")
            assert "TESTER" not in str(caught.value)
            with pytest.raises(UnsafeError, match="that would post a charge twice"):
                await server.ask("refuse")
            with pytest.raises(RadchargeError, match="no verb 'dance' here; known: break, count, refuse, status"):
                await server.ask("dance")

            assert await server.ask("count", more=0) == {"kept": 0}

    run(story())


def test_a_line_that_is_no_request_is_told_so(tmp_path: Path) -> None:
    async def story() -> None:
        async with running(tmp_path) as server:
            reader, writer = await asyncio.open_unix_connection(server.socket)
            writer.write(b'hello\n{"verb": 1}\n[]\n{"verb": "count", "args": {"more": 1}}\n')
            replies = [json.loads(await reader.readline()) for _ in range(4)]
            writer.close()

            assert [reply["ok"] for reply in replies] == [False, False, False, True]

    run(story())


def test_only_the_owner_may_use_the_socket_and_it_goes_with_the_server(tmp_path: Path) -> None:
    async def story() -> None:
        async with running(tmp_path) as server:
            assert stat.S_IMODE(server.socket.stat().st_mode) == 0o600

    run(story())

    assert not (tmp_path / "radcharge.sock").exists()
    with pytest.raises(NoServerError, match=r"no server answers at radcharge\.sock"):
        ask(tmp_path / "radcharge.sock", "status", {})


def test_a_socket_left_by_a_dead_server_is_taken_over_and_a_living_one_is_not(tmp_path: Path) -> None:
    async def story() -> None:
        left = asyncio.start_unix_server(lambda reader, writer: None, tmp_path / "radcharge.sock")
        (await left).close()
        assert (tmp_path / "radcharge.sock").exists()
        async with running(tmp_path) as server:
            assert (await server.ask("status"))["ready"] is True

    run(story())


def test_the_day_of_the_facility_is_an_event(tmp_path: Path) -> None:
    async def story() -> None:
        async with running(tmp_path) as server:
            await until(lambda: server.till.days == [date(2026, 3, 1)])

    run(story())


def test_books_that_cannot_be_opened_stop_it_before_it_is_ready(tmp_path: Path) -> None:
    def shut() -> Any:
        raise LedgerError("the books are open in another process")

    async def story() -> None:
        config, lines = configured(tmp_path), []
        gateway = Gateway(config, site(), OnThread(shut), {}, Surroundings(say=lines.append, logs=False))
        with pytest.raises(LedgerError, match="open in another process"):
            await gateway.run()
        assert lines == []

    run(story())


def test_an_address_in_use_is_told_and_the_books_are_closed(tmp_path: Path) -> None:
    async def story() -> None:
        other = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
        taken = Address("127.0.0.1", other.sockets[0].getsockname()[1])
        config, till = configured(tmp_path), Till()
        config = config.model_copy(update={"listen": (config.listen[0].model_copy(update={"bind": taken}),)})
        gateway = Gateway(config, site(), OnThread(till.books), {}, Surroundings(lambda: LATE, logs=False))
        with pytest.raises(ConfigError, match=r"listen\[rv\].bind: .* free the address or name another"):
            await gateway.run()
        other.close()

        assert till.closed

    run(story())


def test_our_own_bug_ends_the_process_and_nobody_is_answered(tmp_path: Path) -> None:
    class Broken(Till):
        def receive(self, heard: Any) -> Any:
            raise AssertionError("a bug")

    async def story() -> None:
        async with running(tmp_path, Broken()) as server:
            sender = await Sender.connect(server.port)
            sender.send(message("M1"))
            assert await sender.ended() == b""

    with pytest.raises(AssertionError, match="a bug"):
        run(story())


def test_an_oversize_message_is_refused_in_words(tmp_path: Path) -> None:
    async def story() -> None:
        async with running(tmp_path, listen="limits.frame = 1000") as server:
            sender = await Sender.connect(server.port)
            sender.send(message("M1", padding=2_000), message("M2"))
            answer = read_answer(await sender.answer())

            assert (answer.code, answer.control_id) == ("AR", "")
            assert "longer than 1000 bytes" in answer.text
            assert await sender.answer() == server.till.answers[message("M2")]

    run(story())


def test_profile_and_configuration_must_not_contradict(tmp_path: Path) -> None:
    config = configured(tmp_path, 'senders = ["plane"]', '[[send]]\nname = "biller"\nto = "127.0.0.1:1"\n')
    elsewhere = config.model_copy(
        update={"site": config.site.model_copy(update={"timezone": "Europe/Berlin"})}
    )

    with pytest.raises(ConfigError) as caught:
        as_configured(site(), elsewhere)

    assert str(caught.value).split("\n") == [
        "site.timezone: is 'Europe/Berlin', but settings.yaml says 'America/Chicago'; make them equal",
        "listen[rv].senders: there is no sender profile 'plane'; correct it",
        "send[biller].name: there is no such destination profile; add or correct it",
    ]


def test_the_configuration_may_override_what_silence_means(tmp_path: Path) -> None:
    link = '[[send]]\nname = "global_biller"\nto = "127.0.0.1:1"\non_ambiguous = "resend"\n'

    found = as_configured(site(), configured(tmp_path, send=link))

    assert found.destinations["global_biller"].on_ambiguous == "resend"
    assert site().destinations["global_biller"].on_ambiguous == "hold"


def test_answers_mean_what_the_profile_says() -> None:
    assert answers_of(site().destinations["global_biller"]) == {
        "AA": "accepted", "CA": "accepted", "AE": "refused", "CE": "refused", "AR": "not_taken", "CR": "not_taken",
    }  # fmt: skip


def test_no_log_line_can_name_a_patient() -> None:
    lines: list[str] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(JsonLines().format(record))

    handler, ours, theirs = Kept(), logging.getLogger("fhir_radcharge"), logging.getLogger("hl7.mllp")
    for logger in (ours, theirs):
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG)
    try:
        log.warning("frame_slow", peer="10.0.0.1", times=1)
        theirs.error("field [%s] TESTER", "TESTER^IVA")
        try:
            raise KeyError("TESTER^IVA")
        except KeyError:
            theirs.exception("TESTER")
            ours.exception("failed")
    finally:
        for logger in (ours, theirs):
            logger.removeHandler(handler)

    told = [json.loads(line) for line in lines]
    assert not any("TESTER" in line for line in lines)
    assert {key: told[0][key] for key in ("level", "event", "peer", "times")} == {
        "level": "warning", "event": "frame_slow", "peer": "10.0.0.1", "times": 1,
    }  # fmt: skip
    assert [line["event"] for line in told] == ["frame_slow", "foreign_log", "foreign_log", "failed"]
    assert told[3]["exception"] == "KeyError"


def test_a_surrogate_is_stable_and_needs_the_secret() -> None:
    assert surrogate(b"a" * 32, "MRN1") == surrogate(b"a" * 32, "MRN1")
    assert surrogate(b"a" * 32, "MRN1") != surrogate(b"b" * 32, "MRN1")
