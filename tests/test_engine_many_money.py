"""A destination that takes part of a message: whatever is refused, lost or begun anew, it has in the end what is due."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import pytest

from fhir_radcharge.engine import Engine, Heard, Outcome
from fhir_radcharge.ledger import Ledger, broken_promises
from fhir_radcharge.site import Site, load_site
from fhir_radcharge.tables.rulebook import load_rulebook
from fhir_radcharge.wire import er7
from tests.engine_fakes import Clock
from tests.test_engine_identity import DAYS, coverage, merge, session, visit
from tests.test_engine_many import BY_LINE, answer_naming
from tests.test_engine_rooms import MAPPINGS

HOW = ["accepted", "accepted", "named", "named", "named", "refused", "not_taken", "silent"]
WHAT = ["hear", "hear", "void", "merge", "cover", "visit", "send", "send", "send", "send", "decide", "decide", "restart",
        "activate"]  # fmt: skip


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> tuple[Site, Site]:
    """The shipped tables, and some that give the same sessions another code: its credit and charge go out together."""
    folder = tmp_path_factory.mktemp("other") / "mappings"
    shutil.copytree(MAPPINGS, folder)
    table = folder / "rules" / "superficial.yaml"
    table.write_text(table.read_text().replace('"77437"', '"77438"'))
    other = replace(load_site(folder), rulebook=load_rulebook(folder), destinations=BY_LINE.destinations)
    assert other.digest != BY_LINE.digest
    return BY_LINE, other


def sessions_of(patient: str, days: Collection[int], at: str, sign: str = "CG") -> bytes:
    """One message that tells sessions of a patient on these days of March."""
    told = [
        session("F1", patient, at=at).decode().replace("F1", f"F{day}{patient}").replace("|CG|", f"|{sign}|")
        .replace(DAYS["F1"] + "0900", f"202603{day:02}0900").replace(DAYS["F1"], "20260320").split("\r")
        for day in days
    ]  # fmt: skip
    lines = [line for one in told[:-1] for line in one[4:8]]
    return "\r".join([*told[-1][:4], *lines, *told[-1][4:]]).encode()


class House:
    """The engine, restarted at will, and a biller that adds up the lines that it took."""

    def __init__(self, path: Path, at: Site, chance: random.Random) -> None:
        self.path, self.site, self.chance = path, at, chance
        self.books: Counter[tuple[str, ...]] = Counter()
        self.arrived: dict[int, bool] = {}
        self.mixed = 0
        self.open()
        self.activate(at)

    def open(self) -> None:
        self.ledger = Ledger(self.path)
        self.engine = Engine(self.ledger, self.site, Clock())
        self.work()

    def restart(self) -> None:
        self.ledger.close()
        self.open()

    def activate(self, at: Site) -> None:
        self.site = at
        self.restart()
        self.engine.decisions.activate(at.digest, "all", "ada", "other tables")
        self.work()

    def work(self) -> None:
        while self.engine.work(10):
            pass

    def hear(self, raw: bytes) -> None:
        with self.ledger.transaction():
            self.engine.receive([Heard("rv", "loopback", raw)])
        self.work()

    def post(self, body: bytes, but: Collection[int] = ()) -> None:
        message = er7.read_message(body)
        pid, in1 = message.first("PID"), message.first("IN1")
        account = pid[3], (pid + [""] * 20)[18], in1[3] if in1 else ""
        for number, ft1 in enumerate(message.all("FT1"), 1):
            if number not in but:
                line = *account, ft1[25].split("^")[0], ft1[4][:8]
                self.books[line] += int(ft1[10]) * (1 if ft1[6] == "CG" else -1)
                assert self.books[line] >= 0, "it credits what it never charged"

    def send(self, kinds: list[str]) -> bool:
        sends = self.engine.take("global_biller", range(4), 4)
        outcomes = []
        for send in sends:
            kind, raw = self.chance.choice(kinds), b""
            if kind == "accepted":
                self.post(send.body)
            elif kind == "named":
                signs = [ft1[6] for ft1 in er7.read_message(send.body).all("FT1")]
                named = self.chance.sample(range(1, len(signs) + 1), self.chance.randint(1, len(signs)))
                self.mixed += len(set(signs)) == 2
                self.post(send.body, named)
                kind, raw = "refused", answer_naming([f"FT1^{number}" for number in named])
            elif kind == "silent":
                self.arrived[send.seq] = self.chance.random() < 0.5
                if self.arrived[send.seq]:
                    self.post(send.body)
                if self.chance.random() < 0.3:
                    continue  # the process ends before it knows: the next start takes it as silent
            outcomes.append(Outcome(send.seq, send.attempt, kind, "AA", raw))  # type: ignore[arg-type]
        self.engine.settle(outcomes)
        self.work()
        return bool(sends)

    def decide(self, most: int) -> bool:
        """Decide on some of what waits for a person, who knows what became of it."""
        items = self.ledger.read(
            "select i.key, i.category, p.send from open_item i left join posting p on p.id = i.note"
            " where i.category in ('refused', 'unanswered') order by i.key"
        )
        for key, category, send in self.chance.sample(items, min(most, len(items))):
            if category == "refused":
                self.engine.decisions.release(key, "ada", "mended there")
            elif self.arrived[send]:
                self.engine.decisions.arrived(key, "ada", "it is there")
            elif self.chance.random() < 0.5:
                self.engine.decisions.resend(key, "ada", "it is not there")
            else:
                self.engine.decisions.not_arrived(key, "ada", "it is not there")
            self.work()
        return bool(items)

    def end(self) -> dict[tuple[str, ...], int]:
        """Let all be said, decided and taken; return what the biller has."""
        while self.send(["accepted"]) or self.decide(100):
            pass
        self.restart()
        while self.send(["accepted"]) or self.decide(100):
            pass
        assert self.ledger.read("select count(*) from outbox") == [(0,)]
        assert broken_promises(self.ledger.connection) == []
        self.ledger.close()
        return {line: units for line, units in self.books.items() if units}


def test_what_a_biller_has_in_the_end_is_what_is_due_however_it_took_it(
    tmp_path: Path, sites: tuple[Site, Site]
) -> None:
    mixed = 0
    for seed in range(40):
        chance = random.Random(seed)
        house, story = House(tmp_path / f"{seed}.db", sites[0], chance), []
        for step in range(chance.randint(6, 25)):
            what, patient, at, later = chance.choice(WHAT), chance.choice("AB"), f"08{step:02}", f"2026032108{step:02}"
            raw = b""
            if what == "hear":
                raw = sessions_of(patient, sorted(chance.sample(range(2, 14), chance.randint(1, 8))), at)
            elif what == "void":
                raw = sessions_of(patient, sorted(chance.sample(range(2, 14), chance.randint(1, 4))), at, "CD")
            elif what == "merge" and chance.random() < 0.3:
                raw = merge("A", "B", later)
            elif what == "cover":
                raw = coverage(patient, chance.choice(["MCARE", "MCARE-RG", "AETNA"]), at=later)
            elif what == "visit" and chance.random() < 0.4:
                raw = visit(patient, "V1", "V2", at=later)
            elif what == "send":
                house.send(HOW)
            elif what == "decide":
                house.decide(1)
            elif what == "restart":
                house.restart()
            elif what == "activate":
                house.activate(sites[house.site is sites[0]])
            if raw:
                story.append(raw)
                house.hear(raw)
        for _ in range(10):
            house.send(HOW)
            house.decide(1)

        plain = House(tmp_path / f"{seed}-plain.db", house.site, chance)
        for raw in story:
            plain.hear(raw)
        assert (seed, house.end()) == (seed, plain.end())
        mixed += house.mixed
    assert mixed > 3, "some messages that were refused in part had credits and charges"
