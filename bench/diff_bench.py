"""What a comparison of tables costs over generated books: events a second on one core, and memory as it goes.

python bench/diff_bench.py [events] [--books FILE] [--draft FOLDER] [--profile]

One run of the simulator goes through the real engine; the books are then multiplied to the number of events that
is asked for. Without --draft two drafts are measured: one that changes a row that hardly ever answers, and one
that changes the row of a third of all sessions.
"""

from __future__ import annotations

import argparse
import cProfile
import gc
import pstats
import resource
import shutil
import sqlite3
import sys
import tempfile
import time
from datetime import date
from multiprocessing import get_context
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from report_kit import Office, shipped, simulated  # noqa: E402

from fhir_radcharge.ledger import reader  # noqa: E402
from fhir_radcharge.site import load_site  # noqa: E402
from fhir_radcharge.site_edits import site_edits  # noqa: E402
from fhir_radcharge.whatif.answers import Span, Tally  # noqa: E402
from fhir_radcharge.whatif.books import Side, Totals, compared  # noqa: E402

COURSES = 150
RARE = ('level: ["2", "3"],        code: "77402"', 'level: ["2", "3"],        code: "77407"')
COMMON = ('level: [unknown, "2"],    code: "77407"', 'level: [unknown, "2"],    code: "77412"')


def made(path: Path, events: int) -> None:
    """Write books with at least so many events."""
    office = Office(path, shipped())
    office.activate()
    simulated(office, COURSES, date.max, lambda office, _: office.send())
    office.close()
    books = sqlite3.connect(path)
    ((have,),) = books.execute("select count(*) from event")
    tops = {name: books.execute(f"select max(number) from {name}").fetchone()[0]
            for name in ("patient", "event", "posting", "message")}  # fmt: skip
    for copy in range(1, -(-events // have)):
        p, e, n, m = (tops[name] * copy for name in ("patient", "event", "posting", "message"))
        books.execute(f"insert into message select number + {m}, listener, peer, received_at, dedup, content,"
                      " disposition, answer, raw from message where number <= ?", (tops["message"],))  # fmt: skip
        books.execute(f"insert into patient select number + {p}, randomblob(16) from patient where number <= ?",
                      (tops["patient"],))  # fmt: skip
        books.execute(
            f"insert into event select number + {e}, key, source, event_id, revision, kind,"
            f" patient + {p}, account, voided, message + {m}, edition, content, body from event where number <= ?",
            (tops["event"],),
        )
        columns = [row[1] for row in books.execute("pragma table_info(posting)")]
        spelled = {"number": f"number + {n}", "id": f"id || '{copy}'", "patient": f"patient + {p}",
                   "message": f"message + {m}",
                   "credits": f"credits || '{copy}'",
                   # An account is of one patient: of the copy, not of the one that was copied.
                   "account": f"(select lower(hex(key)) from patient q where q.number = posting.patient + {p})"
                   " || substr(account, instr(account, '/'))"}  # fmt: skip
        books.execute(f"insert into posting select {', '.join(spelled.get(c, c) for c in columns)}"
                      " from posting where number <= ?", (tops["posting"],))  # fmt: skip
        books.commit()
    books.close()


def measured(path: Path, base: Side, draft: Side, profile: bool) -> None:
    """Print the figures of one comparison, ten lines, so that growth shows."""
    connection = reader(path)
    ((total,),) = connection.execute("select count(*) from event")
    tally, totals, watch = Tally(), Totals(), _Watch(total)
    profiler = cProfile.Profile() if profile else None
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    start, cpu = time.perf_counter(), time.process_time()
    if profiler:
        profiler.enable()
    compared(connection, base, draft, Span(), tally, lambda one: totals.add(one) if hasattr(one, "stands_as") else None,
             watch.seen)  # fmt: skip
    if profiler:
        profiler.disable()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - start
    connection.close()
    print(f"{tally.events:,} events, {tally.patients:,} patients, {tally.changed:,} lines differ, "
          f"{totals.counts.total():,} postings foreseen, {tally.recomputed:,} patients computed twice: "
          f"{tally.events / cpu:,.0f} events/s of one core ({cpu * 1e6 / tally.events:.1f} us), "
          f"{tally.events / wall:,.0f}/s by the wall clock", flush=True)  # fmt: skip
    if profiler:
        pstats.Stats(profiler).sort_stats("tottime").print_stats(30)


class _Watch:
    """Prints a line at each tenth."""

    def __init__(self, total: int) -> None:
        self.each, self.done, self.next = total // 10, 0, total // 10

    def seen(self, events: int) -> None:
        self.done += events
        if self.done >= self.next:
            self.next += self.each
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
            print(f"  {self.done:>10,} events  {memory} MB", flush=True)


def main() -> None:
    """Make the books if there are none, and compare."""
    parser = argparse.ArgumentParser()
    parser.add_argument("events", nargs="?", type=int, default=50_000)
    parser.add_argument("--books", type=Path)
    parser.add_argument("--draft", type=Path)
    parser.add_argument("--profile", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = asked.books or Path(folder) / "bench.db"
        if not path.exists():
            # In a process of its own, so that the memory shown is that of the comparison.
            making = get_context("spawn").Process(target=made, args=(path, asked.events))
            making.start()
            making.join()
        own = {"rare": RARE, "common": COMMON}
        drafts = {name: _draft(Path(folder) / name, edit) for name, edit in own.items()}
        if asked.draft:
            drafts = {"draft": asked.draft}
        for name, draft in drafts.items():
            site, other = shipped(), load_site(draft)
            print(name)
            measured(path, Side(site, site_edits(site, None)), Side(other, site_edits(other, None)), asked.profile)


def _draft(path: Path, edit: tuple[str, str]) -> Path:
    shutil.copytree(ROOT / "mappings", path)
    file = path / "rules" / "level_codes.yaml"
    text = file.read_text(encoding="utf-8")
    assert edit[0] in text
    file.write_text(text.replace(*edit), encoding="utf-8")
    return path


if __name__ == "__main__":
    main()
