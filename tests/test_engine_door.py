"""What the door refuses: messages that depart from the standard at a strict listener, and everything on a full disk."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from fhir_radcharge.engine import Engine, Heard
from fhir_radcharge.errors import LedgerError
from fhir_radcharge.ledger import Ledger
from fhir_radcharge.live_tables import CurrentSite
from fhir_radcharge.wire import ack
from tests.engine_fakes import ROOMS, SITE, Clock, Desk, Sender, dft, ft1

WRONG = dft("1", "P1", ft1("E1"))
RIGHT = (
    b"MSH|^~\\&|RV|NORTH|CHG|X|20260302||DFT^P03^DFT_P03|2|P|2.5.1\rEVN|P03|20260302\r"
    b"PID|1||P1||INVENTED^PATIENT\rPV1|1|O\rFT1|1|E2||20260302||CG|77412\r"
)


def test_a_strict_listener_refuses_what_departs_from_the_standard_and_keeps_it(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "a.db")
    engine = Engine(ledger, SITE, Clock(), ROOMS, strict=frozenset({"strict"}))
    engine.decisions.activate(SITE.digest, "all", "ada", "first tables")
    with ledger.transaction():
        answers = engine.receive([Heard(name, "peer", raw) for name in ("strict", "loose") for raw in (WRONG, RIGHT)])
        answers += engine.receive([Heard("loose", "peer", WRONG.replace(b"|1|P|", b"|3|P|"))])
    while engine.work(10):
        pass

    told = [ack.read_answer(answer) for answer in answers if answer]
    assert [answer.code for answer in told] == ["AE", "AA", "AE", "AA", "AA"]
    assert b"\rERR|" in (answers[0] or b"")
    items = ledger.read("select distinct category, message from open_item order by 1, 2")
    assert items == [("nonconforming", 1)]
    assert [row[0] for row in ledger.read("select event_id from event order by number")] == ["E2", "E1"]


def test_a_person_may_let_a_refused_message_in(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "a.db")
    engine = Engine(ledger, SITE, Clock(), ROOMS, strict=frozenset({"strict"}))
    engine.decisions.activate(SITE.digest, "all", "ada", "first tables")
    with ledger.transaction():
        engine.receive([Heard("strict", "peer", WRONG)])
    (key,) = ledger.read("select key from open_item limit 1")[0]
    engine.decisions.release(key, "ada", "the sender cannot mend it")
    while engine.work(10):
        pass

    assert ledger.read("select event_id from event") == [("E1",)]
    assert ledger.read("select 1 from open_item") == []


def test_a_sender_who_is_not_admitted_is_refused_in_words_and_kept_for_a_person(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "a.db")
    engine = Engine(ledger, SITE, Clock(), ROOMS, admitted={"rv": frozenset({"rv"}), "open": frozenset()})
    engine.decisions.activate(SITE.digest, "all", "ada", "first tables")
    known, other, stranger = (
        dft(name, "P1", ft1(f"E{name}"), application=sender) for name, sender in (("1", "RV"), ("2", "LOOSE"), ("3", "WHO"))
    )
    with ledger.transaction():
        answers = engine.receive([Heard("rv", "peer", raw) for raw in (known, other, stranger)])
        answers += engine.receive([Heard("open", "peer", dft("4", "P1", ft1("E4"), application="LOOSE"))])
    while engine.work(10):
        pass

    told = [ack.read_answer(answer) for answer in answers if answer]
    assert [answer.code for answer in told] == ["AA", "AR", "AR", "AA"]
    assert [error.place for answer in told for error in answer.errors] == ["MSH[1]-3", "MSH[1]-3"]
    assert ledger.read("select category, message from open_item order by message") == [
        ("not_admitted", 2), ("not_admitted", 3)
    ]  # fmt: skip
    assert ledger.read("select raw from message where number = 3") == [(stranger,)]
    assert [row[0] for row in ledger.read("select event_id from event order by number")] == ["E1", "E4"]

    (key,) = ledger.read("select key from open_item where message = 2")[0]
    engine.decisions.release(key, "ada", "it is one of ours")
    while engine.work(10):
        pass
    assert [row[0] for row in ledger.read("select event_id from event order by number")] == ["E1", "E4", "E2"]
    assert ledger.read("select message from open_item") == [(3,)]


def test_a_profile_that_is_activated_is_asked_by_the_next_message(tmp_path: Path) -> None:
    site = CurrentSite(SITE)
    ledger = Ledger(tmp_path / "a.db")
    engine = Engine(ledger, site, Clock(), ROOMS, admitted={"rv": frozenset({"new"})})

    def answered(number: str) -> str:
        with ledger.transaction():
            (answer,) = engine.receive([Heard("rv", "peer", dft(number, "P1", ft1("E1"), application="NEW"))])
        return ack.read_answer(answer or b"").code

    before = answered("1")
    site.swap(SITE._replace(digest="tables-2", senders={"NEW": Sender(name="new")}))

    assert (before, answered("2")) == ("AR", "AA")


def test_nothing_is_heard_while_the_disk_is_nearly_full_and_all_again_once_it_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = 1 << 30

    def statvfs(_: Any) -> Any:
        return os.statvfs_result((4096, 4096, 1 << 30, 1 << 30, free // 4096, 0, 0, 0, 0, 255))

    monkeypatch.setattr(os, "statvfs", statvfs)
    desk = Desk(tmp_path / "a.db")
    desk.hear(dft("1", "P1", ft1("E1")))
    free = 32 << 20
    with pytest.raises(LedgerError, match="MiB"):
        desk.hear(dft("2", "P1", ft1("E2")))
    desk.work()
    assert len(desk.send()) == 1

    free = 128 << 20
    assert desk.codes(dft("2", "P1", ft1("E2"))) == ["AA"]
