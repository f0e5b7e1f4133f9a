"""A department of invented patients, run through the real engine into real books, for what reports on them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any, Literal

from project import MAPPINGS

from fhir_radcharge.engine import Engine, Heard, Outcome
from fhir_radcharge.engine.rooms import rooms
from fhir_radcharge.ledger import Ledger
from fhir_radcharge.model import Due
from fhir_radcharge.simulate import messages, run_of
from fhir_radcharge.site import Site, load_site
from fhir_radcharge.site_edits import edited_charges_due, site_edits

FIRST = date(2026, 1, 5)
Kind = Literal["accepted", "refused", "not_taken", "silent"]


class Office:
    """An engine over its books whose clock a test sets, and billing systems that answer as they are told."""

    def __init__(self, path: Path, site: Site, due: Callable[..., Due] | None = None) -> None:
        self.path, self.site = path, site
        self.now = datetime.combine(FIRST, time(), UTC)
        self.ledger = Ledger(path)
        doors = rooms()._replace(charges_due=due or edited_charges_due(site_edits(site, None)))
        self.engine = Engine(self.ledger, site, lambda: self.now, doors)

    def activate(self) -> None:
        self.engine.decisions.activate(self.site.digest, "all", "ada", "seen its difference")

    def hear(self, *raws: bytes) -> None:
        with self.ledger.transaction():
            self.engine.receive([Heard("rv", "127.0.0.1", raw) for raw in raws])

    def work(self) -> None:
        while self.engine.work(500):
            pass

    def send(self, kind: Kind = "accepted", most: int = 10_000) -> int:
        """Send to every destination until nothing is left, or `most` messages to each; return how many."""
        count = 0
        for name in self.site.destinations:
            left = most
            while left > 0:
                with self.ledger.transaction():
                    sends = self.engine.take(name, range(min(left, 16)), 16)
                if not sends:
                    break
                left -= len(sends)
                count += len(sends)
                code = "AE" if kind == "refused" else "AA"
                self.engine.settle([Outcome(s.seq, s.attempt, kind, code, b"") for s in sends])
        return count

    def close(self) -> None:
        self.ledger.close()


def simulated(office: Office, courses: int, until: date, answer: Callable[[Office, date], Any]) -> None:
    """Let courses be treated day by day; `answer` says what the billing systems do at the end of each day."""
    day: list[bytes] = []
    today = FIRST
    for said in messages(run_of("clinic", 7, FIRST, courses=courses), "plain"):
        if said.at.date() > until:
            break
        if said.at.date() != today and day:
            _end(office, today, day, answer)
            day = []
        today = said.at.date()
        day.append(said.raw)
    _end(office, today, day, answer)


def _end(office: Office, today: date, day: list[bytes], answer: Callable[[Office, date], Any]) -> None:
    office.now = datetime.combine(today, time(18), UTC)
    office.hear(*day)
    office.work()
    office.now += timedelta(minutes=10)
    answer(office, today)
    office.engine.day(today)
    office.work()


def copied(books: Path, folder: Path) -> Path:
    """Return a copy of the books and of their secret."""
    for suffix in ("", "-wal", ".secret"):
        file = books.with_name(books.name + suffix)
        if file.exists():
            shutil.copy2(file, folder / file.name)
    return folder / books.name


def draft(folder: Path, *edits: tuple[str, str, str]) -> Path:
    """Return a copy of the shipped tables in which texts of files are replaced: file, old, new."""
    path = folder / "draft"
    shutil.copytree(MAPPINGS, path)
    for name, old, new in edits:
        text = (path / name).read_text(encoding="utf-8")
        assert old in text, f"{name} has no {old!r}"
        (path / name).write_text(text.replace(old, new), encoding="utf-8")
    return path


def shipped() -> Site:
    return load_site(MAPPINGS)
