"""A real ledger, filled by a real engine over the shipped tables with simulated courses, for verbs to be run on."""

from __future__ import annotations

import shutil
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from click.testing import CliRunner, Result

from fhir_radcharge.cli import cli
from fhir_radcharge.editions import packed
from fhir_radcharge.engine import Engine, Heard, Outcome
from fhir_radcharge.ledger import Ledger, reader
from fhir_radcharge.simulate import messages, run_of
from fhir_radcharge.site import load_site

ROOT = Path(__file__).resolve().parents[1]
CONFIG = """
[site]
name = "north"
timezone = "America/Chicago"
[store]
path = "books.db"
[rules]
mappings = "mappings"
[control]
socket = "sock"
[credits]
per_hour_before_pause = 40
[[listen]]
name = "rv"
bind = "127.0.0.1:0"
"""


class Clock:
    """Goes on by a second each time it is asked."""

    def __init__(self) -> None:
        self.now = datetime(2026, 3, 2, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


class Desk:
    """A site in a folder: its configuration, its tables, its books."""

    def __init__(self, folder: Path, *, activate: bool = True) -> None:
        self.folder = folder
        self.config = folder / "radcharge.toml"
        self.config.write_text(CONFIG)
        shutil.copytree(ROOT / "mappings", folder / "mappings")
        # A known secret, so that the ids of the postings are known too.
        (folder / "books.db.secret").write_bytes(b"s" * 32)
        (folder / "books.db.secret").chmod(0o600)
        self.site = load_site(folder / "mappings")
        self.clock = Clock()
        self.open()
        if activate:
            files = packed(folder / "mappings")[1]
            self.engine.decisions.activate(self.site.digest, "all", "ada", "first tables", files=files)

    def open(self) -> None:
        """Take the books."""
        self.ledger = Ledger(self.folder / "books.db")
        self.engine = Engine(self.ledger, self.site, self.clock)

    def hear(self, *raws: bytes, together: int = 4) -> None:
        """Receive messages a few at a time and work through them, as they come in over days."""
        for start in range(0, len(raws), together):
            self.hear_all(*raws[start : start + together])

    def hear_all(self, *raws: bytes) -> None:
        """Receive messages together and work through them."""
        with self.ledger.transaction():
            self.engine.receive([Heard("rv", "127.0.0.1", raw) for raw in raws])
        self.work()

    def work(self) -> None:
        """Work until nothing is left."""
        for _ in range(10_000):
            if not self.engine.work(100):
                return
        raise AssertionError("work does not end")

    def send(self, kind: str = "accepted", code: str = "AA") -> int:
        """Send until nothing goes out; return how many went."""
        count = 0
        for name in self.site.destinations:
            while sends := self.engine.take(name, range(2), 2):
                count += len(sends)
                self.engine.settle([Outcome(s.seq, s.attempt, kind, code, b"") for s in sends])  # type: ignore[arg-type]
                if kind == "not_taken":
                    break
        return count

    def day(self, day: date) -> None:
        """Let a day come."""
        self.engine.day(day)
        self.work()

    def close(self) -> Desk:
        """Let another process have the books."""
        self.ledger.close()
        return self

    def run(self, *words: str) -> Result:
        """Run a verb."""
        verb, *rest = words
        return CliRunner().invoke(cli, [verb, *rest, "--config", str(self.config)])

    def rows(self, sql: str) -> list[tuple[object, ...]]:
        """Return the answer of a question to the books, read beside whoever has them."""
        connection = reader(self.folder / "books.db")
        try:
            return connection.execute(sql).fetchall()
        finally:
            connection.close()

    def one(self, sql: str) -> object:
        """Return the one value of a question to the books."""
        return self.rows(sql)[0][0]


def copied(desk: Desk, folder: Path) -> Desk:
    """Return a desk over a copy of closed books, which a test may write into."""
    shutil.copytree(desk.folder, folder / "copy")
    twin = object.__new__(Desk)
    twin.folder, twin.config, twin.site, twin.clock = (
        folder / "copy",
        folder / "copy/radcharge.toml",
        desk.site,
        Clock(),
    )
    return twin


def course_messages(
    pathway: str = "prostate_imrt", courses: int = 1, seed: int = 7, size: str = "smoke", dialect: str = "plain"
) -> list[bytes]:
    """Return the messages of simulated courses in 2026."""
    run = run_of(size, seed, date(2026, 2, 2), pathway, courses)
    return [said.raw for said in messages(run, dialect)]


def voided(raw: bytes) -> bytes:
    """Return the message by which the sender of a plain message takes it back, an hour later."""
    head, rest = raw.split(b"\r", 1)
    fields = head.split(b"|")
    sent, fields[9] = fields[6], fields[9] + b"V"
    later = sent[:8] + b"2300" + sent[12:]
    return b"|".join(fields) + b"\r" + rest.replace(b"EVN||" + sent, b"EVN||" + later).replace(b"|CG|", b"|CD|")
