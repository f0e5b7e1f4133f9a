"""Verbs that write: through the socket of a running server, else under the lock; never both."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fhir_radcharge.control import VERBS
from fhir_radcharge.engine.state import is_paused
from fhir_radcharge.errors import LedgerError, UnsafeError
from fhir_radcharge.gateway.control import ControlSocket
from fhir_radcharge.site import load_site
from tests.cli_desk import Desk, course_messages


@contextmanager
def server(desk: Desk) -> Iterator[list[str]]:
    """Serve the verbs on the desk's own engine, as the gateway does; yield the names of those that were asked."""
    asked: list[str] = []

    async def obey(verb: str, args: Mapping[str, Any]) -> Any:
        if verb == "status":
            return {}
        asked.append(verb)
        with desk.ledger.transaction():
            return VERBS[verb](desk.engine, args)

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    control = ControlSocket(desk.folder / "sock", obey)
    asyncio.run_coroutine_threadsafe(control.open(), loop).result(5)
    try:
        yield asked
    finally:
        asyncio.run_coroutine_threadsafe(control.close(), loop).result(5)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)
        loop.close()


@pytest.mark.parametrize(
    ("verb", "said"),
    [
        ("pause", "global_biller: paused; 0 messages wait\n"),
        ("resume", "global_biller: SENDING again; 0 messages wait\n"),
        ("drain", "global_biller: draining, nothing new is computed; 0 messages wait\n"),
        ("shadow", "global_biller: a shadow, nothing is sent; 0 messages wait\n"),
        ("live", "global_biller: live, SENDING; 0 messages wait\n"),
    ],
)
def test_a_destination_is_set_and_the_decision_is_kept(tmp_path: Path, verb: str, said: str) -> None:
    desk = Desk(tmp_path).close()

    result = desk.run(verb, "global_biller", "--why", "they are down", "--by", "ada")

    assert (0, said) == (result.exit_code, result.output)
    assert [(verb, "destination/global_biller", "ada", "they are down")] == desk.rows(
        "select kind, subject, by, why from decision order by number desc limit 1")  # fmt: skip


def test_an_unknown_destination_is_refused(tmp_path: Path) -> None:
    result = Desk(tmp_path).close().run("pause", "nowhere", "--why", "x")

    assert (UnsafeError, "there is no destination 'nowhere' in this site's files") == (
        type(result.exception), str(result.exception))  # fmt: skip


def test_a_running_server_is_asked_and_its_books_are_not_touched_beside_it(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.hear_all(*course_messages("bone_2d", seed=3))
    with server(desk) as asked:
        result = desk.run("pause", "facility_biller", "--why", "they are down", "--by", "ada")
        refused = desk.run("queue", "release", "NOSUCHITEM", "--why", "x")

    assert (["pause", "release"], 0, True) == (asked, result.exit_code, is_paused(desk.ledger, "facility_biller"))
    assert isinstance(refused.exception, UnsafeError)
    desk.close()


def test_books_that_another_process_has_are_unavailable(tmp_path: Path) -> None:
    desk = Desk(tmp_path)

    result = desk.run("pause", "global_biller", "--why", "x")

    assert isinstance(result.exception, LedgerError)
    assert "open in another process" in str(result.exception)
    desk.close()


def test_a_server_does_not_activate_tables_that_it_has_not_loaded(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    path = desk.folder / "mappings/settings.yaml"
    path.write_text(path.read_text() + "# another day\n")
    with server(desk) as asked:
        result = desk.run("rules", "activate", "--by", "ada", "--why", "new year")

    assert (["activate"], UnsafeError) == (asked, type(result.exception))
    assert "restart it, then activate" in str(result.exception)
    assert 1 == desk.one("select count(*) from activation")
    desk.close()


def test_a_server_applies_what_is_read_again(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.hear_all(*course_messages("bone_2d", seed=3))
    path = desk.folder / "mappings/senders/plain.yaml"
    path.write_text(path.read_text().replace('from: ["OBX:ports"]', 'from: ["OBX:fields"]'))
    desk.close()
    desk.site = load_site(desk.folder / "mappings")
    desk.open()
    desk.engine.decisions.activate(desk.site.digest, "new", "ada", "ports are not read")
    with server(desk) as asked:
        result = desk.run("rules", "reread", "--apply", "ada", "ports are not read")

    fractions = desk.one("select count(*) from event where kind = 'fraction' and edition = 1")
    assert (["reread"], 0) == (asked, result.exit_code)
    assert f"{fractions} differences ({fractions} changed): appended; what is due is computed anew\n" in result.output
    desk.close()
