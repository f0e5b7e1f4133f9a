"""A destination that takes many lines in one message: one answer for all of them."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from fhir_radcharge.engine import Engine, Heard, Outcome
from fhir_radcharge.ledger import Ledger, broken_promises
from fhir_radcharge.site import Site
from fhir_radcharge.wire import er7
from tests.engine_fakes import Clock
from tests.test_engine_identity import DAYS, session
from tests.test_engine_rooms import site

_BILLER = site().destinations["global_biller"]
SITE = replace(site(), destinations={"global_biller": replace(_BILLER, per_message="many", refuses="messages")})


BY_LINE = replace(site(), destinations={"global_biller": replace(_BILLER, per_message="many", refuses="lines")})


def sessions(count: int) -> bytes:
    """One message that tells so many sessions of a patient."""
    days = [f"202603{day:02}" for day in (2, 3, 4, 5, 6, 9, 10, 11, 12, 13, 16, 17)][:count]
    told = [
        session("F1", "A").decode().replace("F1", f"F{number}").replace(DAYS["F1"], day).split("\r")
        for number, day in enumerate(days, 1)
    ]
    lines = [line for one in told[:-1] for line in one[4:8]]
    return "\r".join([*told[-1][:4], *lines, *told[-1][4:]]).encode()


class Office:
    def __init__(self, path: Path, at: Site = SITE, count: int = 2) -> None:
        self.ledger = Ledger(path)
        self.engine = Engine(self.ledger, at, Clock())
        self.engine.decisions.activate(at.digest, "all", "ada", "shipped tables")
        self.hear(sessions(count))

    def hear(self, raw: bytes) -> None:
        with self.ledger.transaction():
            self.engine.receive([Heard("rv", "loopback", raw)])
        self.work()

    def work(self) -> None:
        while self.engine.work(10):
            pass

    def send(self, kind: str = "accepted", answer: bytes = b"") -> list[list[tuple[str, str]]]:
        """Send what there is once; return the signs and dates of the lines of each message."""
        sends = self.engine.take("global_biller", range(4), 4)
        self.engine.settle([Outcome(each.seq, each.attempt, kind, "AA", answer) for each in sends])  # type: ignore[arg-type]
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


def answer_naming(places: Iterable[str], old: bool = False) -> bytes:
    """Return an AE with an ERR for each place, as of 2.5.1 or of 2.3."""
    head = "MSH|^~\\&|B|L|R|L|20260303||ACK|9|P|2.5.1\rMSA|AE|1\r"
    if old:
        return (head + "ERR|" + "~".join(f"{place}^25^207" for place in places) + "\r").encode()
    return (head + "".join(f"ERR||{place}^25|207|E\r" for place in places)).encode()


def test_a_refusal_that_names_lines_leaves_the_others_taken(tmp_path: Path) -> None:
    """Twelve lines and any of them refused: only those wait for a person, and nothing that was taken is said again."""
    chance = random.Random(12)
    for turn in range(40):
        office = Office(tmp_path / f"{turn}.db", BY_LINE, 12)
        refused = sorted(chance.sample(range(1, 13), chance.randint(1, 11)))
        (lines,) = office.send("refused", answer_naming((f"FT1^{n}" for n in refused), old=turn % 2 == 1))
        days = [day for _, day in lines]
        struck = office.ledger.read("select p.day from struck s join posting p on p.id = s.posting order by p.day")
        items = office.ledger.read("select place from open_item where category = 'refused'")

        assert len(lines) == 12
        assert [day.replace("-", "") for (day,) in struck] == sorted(days[n - 1] for n in refused)
        assert sorted(place.split()[-1] for (place,) in items) == sorted(day for (day,) in struck)
        assert office.ledger.read("select kind from answer") == [("in_part",)]
        assert office.send() == []
        for key, in office.ledger.read("select key from open_item where category = 'refused'"):
            office.engine.decisions.release(key, "ada", "mended there")
        office.work()
        again = [line for message in [*office.send(), *office.send()] for line in message]
        assert sorted(again) == sorted(("CG", days[n - 1]) for n in refused)
        assert broken_promises(office.ledger.connection) == []
        office.ledger.close()


@pytest.mark.parametrize(
    "answer",
    [
        b"", b"no answer at all", answer_naming([]), answer_naming(["FT1^1", "PID^1"]), answer_naming(["FT1^3"]),
        answer_naming(["FT1^2"]) + b"ERR||||E|||closed\r", answer_naming(["FT1^1", "FT1^2"]),
        answer_naming(["FT1"]), answer_naming(["FT1^0"]), answer_naming(["FT1^1x"]),
    ],
)  # fmt: skip
def test_a_refusal_about_anything_else_is_about_the_whole_message(tmp_path: Path, answer: bytes) -> None:
    office = Office(tmp_path / "a.db", BY_LINE)
    office.send("refused", answer)

    assert office.ledger.read("select count(*) from struck") == office.ledger.read("select count(*) from posting")
    assert office.ledger.read("select kind from answer") == [("refused",)]
    assert broken_promises(office.ledger.connection) == []


def test_a_warning_refuses_no_line(tmp_path: Path) -> None:
    office = Office(tmp_path / "a.db", BY_LINE)
    office.send("refused", answer_naming(["FT1^2"]) + b"ERR||FT1^1^7|0|W\r")

    assert office.ledger.read("select count(*) from struck") == [(1,)]


@pytest.mark.parametrize(
    "error", ["ERR||FT1^1^25~FT1^3^25|207|E", "ERR||FT1^1~FT1^3||E", "ERR||FT1^1~|207|E\rERR||FT1^3|||207"]
)
def test_one_error_may_name_many_lines_and_need_no_code(tmp_path: Path, error: str) -> None:
    """ERR-2 repeats, and a receiver that names a line in it has said enough: the second line was posted."""
    office = Office(tmp_path / "a.db", BY_LINE, 3)
    (lines,) = office.send("refused", f"MSH|^~\\&|B|L|R|L|20260303||ACK|9|P|2.5.1\rMSA|AE|1\r{error}\r".encode())

    struck = office.ledger.read("select p.day from struck s join posting p on p.id = s.posting order by p.day")
    assert [day.replace("-", "") for (day,) in struck] == [lines[0][1], lines[2][1]]


def test_lines_are_told_apart_only_where_the_profile_says_so(tmp_path: Path) -> None:
    office = Office(tmp_path / "a.db")
    office.send("refused", answer_naming(["FT1^2"]))

    assert office.ledger.read("select count(*) from struck") == [(2,)]
