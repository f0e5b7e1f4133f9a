"""A destination that takes many lines in one message: one answer for all of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from fhir_radcharge.engine import Engine, Heard, Outcome
from fhir_radcharge.ledger import Ledger, broken_promises
from fhir_radcharge.wire import er7
from tests.engine_fakes import Clock
from tests.test_engine_identity import session
from tests.test_engine_rooms import site

_BILLER = site().destinations["global_biller"]
SITE = replace(site(), destinations={"global_biller": replace(_BILLER, per_message="many")})


def two_sessions() -> bytes:
    """One message that tells two sessions of a patient."""
    first = session("F1", "A").decode().split("\r")
    second = session("F2", "A").decode().split("\r")
    return "\r".join([*second[:4], *first[4:8], *second[4:]]).encode()


class Office:
    def __init__(self, path: Path) -> None:
        self.ledger = Ledger(path)
        self.engine = Engine(self.ledger, SITE, Clock())
        self.engine.decisions.activate(SITE.digest, "all", "ada", "shipped tables")
        self.hear(two_sessions())

    def hear(self, raw: bytes) -> None:
        with self.ledger.transaction():
            self.engine.receive([Heard("rv", "loopback", raw)])
        self.work()

    def work(self) -> None:
        while self.engine.work(10):
            pass

    def send(self, kind: str = "accepted") -> list[list[tuple[str, str]]]:
        """Send what there is once; return the signs and dates of the lines of each message."""
        sends = self.engine.take("global_biller", range(4), 4)
        self.engine.settle([Outcome(each.seq, each.attempt, kind, "AA", b"") for each in sends])  # type: ignore[arg-type]
        self.work()
        return [[(ft1[6], ft1[4][:8]) for ft1 in er7.read_message(each.body).all("FT1")] for each in sends]


def test_lines_of_one_session_message_are_said_together(tmp_path: Path) -> None:
    office = Office(tmp_path / "a.db")

    (lines,) = office.send()

    assert {("CG", "20260302"), ("CG", "20260303")} <= set(lines)
    assert office.ledger.read("select count(distinct send), count(distinct id) from posting") == [(1, len(lines))]
    assert broken_promises(office.ledger.connection) == []


def test_a_refused_message_takes_all_its_lines_with_it_and_what_waits_for_them(tmp_path: Path) -> None:
    office = Office(tmp_path / "a.db")
    office.hear(session("F1", "A", at="1100").replace(b"|CG|", b"|CD|"))
    (lines,) = office.send("refused")

    struck = {name for (name,) in office.ledger.read("select posting from struck")}
    postings = {name for (name,) in office.ledger.read("select id from posting")}
    assert len(lines) >= 2
    assert struck == postings
    assert office.send() == []
    assert broken_promises(office.ledger.connection) == []
