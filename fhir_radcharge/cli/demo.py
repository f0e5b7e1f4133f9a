"""`demo`: the main job, whole, on invented patients: a department speaks, the engine charges, billers book."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import click
from rich.progress import BarColumn, Progress, TextColumn

from fhir_radcharge.cli.shared import console, found_mappings, say_table
from fhir_radcharge.config import load
from fhir_radcharge.editions import packed
from fhir_radcharge.errors import RadchargeError
from fhir_radcharge.ledger import Ledger, queries, reader
from fhir_radcharge.plural import number_of
from fhir_radcharge.serving import engine_of, site_of
from fhir_radcharge.simulate import messages, run_of, truth
from fhir_radcharge.simulate.dialects import FHIR
from fhir_radcharge.simulate.fhir_peers import FhirBiller, post
from fhir_radcharge.simulate.peers import Biller, speak
from fhir_radcharge.simulate.stream import Run, courses

FOLDER = Path("var/demo")
DIALECTS = ("mosaiq_like", "aria_like", "plain")
BILLERS = ("global_biller", "facility_biller", "professional_biller")
FHIR_BILLER = "hospital_put"
QUIET_S, PATIENCE_S = 0.6, 60.0
AS_OF = date(2026, 3, 31)
HIGHEST = "77412"

_TOML = """# Written by `fhir-radcharge demo`: invented patients, throw-away books.
[site]
name = "demo"
timezone = "America/Chicago"

[store]
path = "radcharge.db"

[rules]
mappings = "{mappings}"

[control]
socket = "radcharge.sock"

[credits]
per_hour_before_pause = 100000
"""
_LISTEN = """
[[listen]]
name = "rv-{number}"
bind = "127.0.0.1:0"
senders = ["{sender}"]
"""
_SEND = """
[[send]]
name = "{name}"
to = "127.0.0.1:{port}"
timeout_s = 10.0
"""


_FHIR = """
[[fhir_listen]]
name = "rv-fhir"
bind = "127.0.0.1:0"
sender = "rv_fhir"

[[send]]
name = "{name}"
to = "http://127.0.0.1:{port}/r4"
timeout_s = 10.0
"""


@click.command()
@click.option("--courses", "course_count", default=18, show_default=True, help="Courses of treatment.")
@click.option("--seed", default=2026, show_default=True, help="Another seed, other courses.")
@click.option("--fhir", is_flag=True, help="A fourth sender posts FHIR, and a fourth biller takes it.")
@click.option("--mappings", type=click.Path(exists=True, path_type=Path), help="The folder of tables.")
def demo(course_count: int, seed: int, fhir: bool, mappings: Path | None) -> None:
    """Stream a simulated department into a real engine and its charges into fake billing systems, over real MLLP.

    With --fhir one sender and one biller more speak FHIR, over real HTTP; the fourth biller books the hospital's bill
    like the second.
    """
    if FOLDER.exists():
        shutil.rmtree(FOLDER)
    FOLDER.mkdir(parents=True)
    folder = found_mappings(mappings).resolve()
    run = run_of("clinic", seed, date(2025, 12, 8), courses=course_count)
    _tell(asyncio.run(_played(folder, run, fhir)), run)


class Story(NamedTuple):
    """What the demo saw: what was said, and what each billing system booked."""

    said: int
    seconds: float
    billers: dict[str, Biller | FhirBiller]


async def _played(mappings: Path, run: Run, fhir: bool) -> Story:
    billers: dict[str, Biller | FhirBiller] = {name: Biller(name) for name in BILLERS}
    toml = _TOML.format(mappings=mappings)
    for number, sender in enumerate(DIALECTS, 1):
        toml += _LISTEN.format(number=number, sender=sender)
    for name, biller in billers.items():
        toml += _SEND.format(name=name, port=await biller.open())
    dialects = (*DIALECTS, FHIR) if fhir else DIALECTS
    if fhir:
        biller = billers[FHIR_BILLER] = FhirBiller(FHIR_BILLER)
        toml += _FHIR.format(name=FHIR_BILLER, port=await biller.open())
    path = FOLDER / "radcharge.toml"
    path.write_text(toml, encoding="utf-8")
    _activate(path)
    console().print(f"The engine runs in {FOLDER}, its tables activated. Nobody here is a real patient.\n")
    with _engine(path) as ports:
        # Each of them is the record-and-verify system of every third course, or fourth.
        payloads = [[said.raw for said in messages(run, dialect) if said.course % len(dialects) == number]
                    for number, dialect in enumerate(dialects)]  # fmt: skip
        return await _streamed(ports, payloads, billers)


async def _streamed(
    ports: list[int], payloads: list[list[bytes]], billers: dict[str, Biller | FhirBiller]
) -> Story:
    loop = asyncio.get_running_loop()
    total = sum(map(len, payloads))
    heard = [loop.time()]
    with _bar("the department speaks", total) as told:
        for biller in billers.values():
            biller.heard = lambda: heard.append(loop.time())
        begun = loop.time()
        counts = [0] * len(ports)
        ways = [speak] * len(DIALECTS) + [post] * (len(ports) - len(DIALECTS))

        def said(which: int, count: int) -> None:
            counts[which] = count
            told(sum(counts), sum(b.messages for b in billers.values()))

        spoken = enumerate(zip(ways, ports, payloads, strict=True))
        await asyncio.gather(*(way(port, one, lambda count, n=n: said(n, count))  # type: ignore[misc]
                               for n, (way, port, one) in spoken))  # fmt: skip
        # The billers are quiet when nothing more is due.
        while loop.time() - heard[-1] < QUIET_S and loop.time() - begun < PATIENCE_S:
            del heard[:-1]
            await asyncio.sleep(0.05)
            told(total, sum(b.messages for b in billers.values()))
    return Story(total, heard[-1] - begun, billers)


def _activate(path: Path) -> None:
    config = load(path)
    site = site_of(config)
    ledger = Ledger(Path(config.store.path))
    try:
        engine = engine_of(config, site, ledger)
        engine.decisions.activate(site.digest, "all", "demo", "first tables of the demonstration",
                                  files=packed(config.rules.mappings)[1])  # fmt: skip
        engine.day(AS_OF)
    finally:
        ledger.close()


@contextlib.contextmanager
def _engine(path: Path) -> Iterator[list[int]]:
    """Run `serve` as a process of its own; yield the ports of its listeners; end it by its id."""
    with (FOLDER / "engine.log").open("wb") as log:
        process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", "fhir_radcharge", "serve", "--config", str(path)],
            stdout=subprocess.PIPE, stderr=log)  # fmt: skip
        try:
            assert process.stdout is not None
            words = process.stdout.readline().decode().split()
            if not words or words[0] != "ready":
                raise RadchargeError(f"the engine did not start; see {FOLDER}/engine.log")
            yield [int(word.rpartition(":")[2]) for word in words if word.startswith("rv-")]
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(20)


@contextlib.contextmanager
def _bar(text: str, total: int) -> Iterator[Any]:
    columns = (TextColumn(text), BarColumn(), TextColumn("{task.completed:,}/{task.total:,} messages heard"),
               TextColumn("{task.fields[booked]:,} booked by the billers"))  # fmt: skip
    with Progress(*columns, console=console(), transient=False) as progress:
        task = progress.add_task("", total=total, booked=0)
        yield lambda done, booked: progress.update(task, completed=done, booked=booked)


def _tell(story: Story, run: Run) -> None:
    books = reader(Path(load(FOLDER / "radcharge.toml").store.path))
    try:
        events = Counter(kind for (kind,) in books.execute("select kind from event"))
        say_table(f"\nHeard: {number_of(story.said, 'message')} over MLLP, every one stored before it was answered",
                  ["what happened", "events"], sorted(events.items()), ["events"])  # fmt: skip
        _tell_charges(books)
        posting = _tell_corrections(books)
        _tell_waiting(books)
        _tell_sums(books, story, run)
        delivered = delivery_below(books, HIGHEST)
    finally:
        books.close()
    _tell_more(posting, delivered or posting)


def delivery_below(books: sqlite3.Connection, highest: str) -> str:
    """Return the id of a charge of a lower level, of a patient who never reached the highest one; "" if there is none.

    Why the highest was not charged is a fair question of it; of a physics check it would not be.
    """
    row = books.execute(
        "select id from posting where kind = 'CHARGE' and code in ('77407', '77402') and family = 'delivery'"
        " and patient not in (select patient from posting where code = ?) order by day desc, number limit 1",
        (highest,),
    ).fetchone()
    return str(row[0]) if row else ""


def _tell_more(posting: str, delivered: str) -> None:
    program = "fhir-radcharge" if shutil.which("fhir-radcharge") else ".venv/bin/fhir-radcharge"
    verbs = (
        (f"explain {posting}", "why this line exists, from the message to the answer"),
        (f"explain {delivered} --why-not {HIGHEST}", "why another code was not charged"),
        ("queue list", "what waits for a person, and what would release it"),
        ("reconcile --from 2025-12-08 --to 2026-01-30", "every session against its charges and answers"),
        ("verify fixtures/cases", "the coding cases, one line each"),
        ("books", "the invariants and the hash chain of these books"),
    )
    console().print("\n[bold]Look further[/bold]")
    for verb, why in verbs:
        console().print(f"  [cyan]{program} {verb}[/cyan]  [dim]{why}[/dim]", soft_wrap=True)


def _tell_charges(books: sqlite3.Connection) -> None:
    """Tell the units of each code on each bill, and which rows decided; nothing else of a line."""
    units: dict[str, Counter[str]] = {}
    samples: dict[str, str] = {}
    said = "select code, modifiers, bill, sum(units), min(id) from posting where kind = 'CHARGE' group by 1, 2, 3"
    for code, modifiers, bill, count, name in books.execute(f"{said} order by 1, 2"):
        written = "-".join([code, *filter(None, (modifiers or "").split(","))])
        units.setdefault(written, Counter())[bill] += count
        samples.setdefault(written, name)
    rows = []
    for written, by_bill in units.items():
        found = queries.posting(books, samples[written])
        bills = [by_bill[bill] or "" for bill in ("global", "facility", "professional")]
        rows.append((written, *bills, _because(found["why"] if found else [])))
    say_table("\nCharged, in units", ["code", "global", "facility", "professional", "decided by"], rows,
              ["global", "facility", "professional"])  # fmt: skip


_STEPS = frozenset({"claims", "places", "components", "techniques", "code_set", "delivery", "stated_complexity",
                    "energies"})  # fmt: skip


def _because(steps: list[dict[str, Any]]) -> str:
    return ", ".join([step["row"] for step in steps if step["table"] not in _STEPS][:3])


_CAUSES = {
    "gone": "voided or changed", "moved": "its group of five moved", "held": "must wait now",
    "units": "fewer units", "account": "another account",
}  # fmt: skip


def _tell_corrections(books: sqlite3.Connection) -> str:
    """Tell what was taken back, and return the id of a charge that is worth a look."""
    said = "select id, bill, code, day, cause, credits from posting where kind = 'CREDIT' order by number"
    rows = [(*row[:4], _CAUSES.get(row[4], row[4]), row[5]) for row in books.execute(said)]
    say_table(f"\nCorrected: {number_of(len(rows), 'credit')}, each naming the charge that it takes back",
              ["credit", "bill", "code", "date", "because", "takes back"], rows[:10])  # fmt: skip
    if len(rows) > 10:
        console().print(f"... and {len(rows) - 10} more", style="dim")
    if rows:
        return str(rows[0][5])
    return str(books.execute("select id from posting order by number limit 1").fetchone()[0])


def _tell_waiting(books: sqlite3.Connection) -> None:
    waits = Counter((item["category"], item["reason"]) for item in queries.queue(books) if item["category"] != "notice")
    say_table("\nWaits for a person", ["kind", "reason", "how many"],
              [(kind, reason, count) for (kind, reason), count in sorted(waits.items())], ["how many"])  # fmt: skip


def _tell_sums(books: sqlite3.Connection, story: Story, run: Run) -> None:
    wanted = dict.fromkeys(BILLERS, 0)
    bill = {"global": BILLERS[0], "facility": BILLERS[1], "professional": BILLERS[2]}
    for one in courses(run):
        for line in truth(one, AS_OF):
            if not line.hold:
                wanted[bill[line.bill]] += line.units
    rows = []
    wanted[FHIR_BILLER] = wanted[bill["facility"]]
    for name, biller in story.billers.items():
        units = _net_units(biller)
        said = "select count(distinct send) from posting where destination = ? and send is not null"
        sent = books.execute(said, (name,))
        rows.append((name, sent.fetchone()[0], biller.messages, biller.repeats, units, wanted[name],
                     "agree" if units == wanted[name] else "DIFFER"))  # fmt: skip
    say_table("\nThe billers' own books, against a reckoning that shares nothing with the engine",
              ["biller", "sent", "booked", "repeats", "net units", "reckoned", ""], rows,
              ["sent", "booked", "repeats", "net units", "reckoned"])  # fmt: skip
    out = sum(biller.messages for biller in story.billers.values())
    said = f"{number_of(story.said, 'message')} in, {out:,} out and answered, in {story.seconds:.1f} s."
    console().print(f"\n{said}", style="bold")


def _net_units(biller: Biller | FhirBiller) -> int:
    if isinstance(biller, FhirBiller):
        return sum(int(units) for units in biller.units().values())
    return sum(int(line.units) * (-1 if line.kind == "CD" else 1) for line in biller.lines)
