"""`simulate`: invented courses as messages, to a listener, a folder or standard output, and what they must yield."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import click
from rich.progress import TextColumn

from fhir_radcharge.cli.bars import bar, counted
from fhir_radcharge.cli.sinks import Say, accepted, answered, sink, writing
from fhir_radcharge.errors import ConfigError
from fhir_radcharge.plural import number_of
from fhir_radcharge.simulate import DIALECTS, courses, messages, run_of, write_truth
from fhir_radcharge.simulate.dialects import FHIR
from fhir_radcharge.simulate.pathways import pathways
from fhir_radcharge.simulate.stream import Run

# Long enough for every course to be closed by its grace and every image to be past its window.
_SETTLED = timedelta(days=60)


@click.command()
@click.argument("pathway", default="all")
@click.option(
    "-n", "--courses", "count", type=click.IntRange(1), help="How many courses; else as many as the size says."
)
@click.option("--seed", type=int, default=1, show_default=True, help="The same seed is the same bytes.")
@click.option(
    "--size", default="smoke", show_default=True, help="smoke, clinic, system or torture: how much goes wrong."
)
@click.option(
    "--start", type=click.DateTime(["%Y-%m-%d"]), default="2026-01-05", show_default=True, help="The first day."
)
@click.option("--dialect", type=click.Choice((*DIALECTS, FHIR)), default="mosaiq_like", show_default=True)
@click.option("--to", default="-", show_default=True, help="mllp:// or http://host:port, a folder, or -.")
@click.option("--truth", "truth_path", type=click.Path(path_type=Path), help="Where the lines go that must come out.")
@click.option(
    "--as-of", type=click.DateTime(["%Y-%m-%d"]), help="The day by which they must; else 60 days after the last."
)
@click.option("--list", "list_", is_flag=True, help="List the pathways and stop.")
def simulate(
    pathway: str,
    count: int | None,
    seed: int,
    size: str,
    start: Any,
    dialect: str,
    to: str,
    truth_path: Path | None,
    as_of: Any,
    list_: bool,
) -> None:
    """Play PATHWAY (a pathway, a set of them, or all) on invented patients, the same for every seed."""
    if list_:
        for one in pathways().pathway:
            fractions = sum(phase.fractions for phase in one.phase)
            click.echo(f"{one.name:<24}{one.site}, {number_of(fractions, 'fraction')}")
        return
    run = run_of(size, seed, start.date(), pathway, count)
    codes, last = _play(run, dialect, to)
    told = f"{number_of(sum(codes.values()), 'message')} of {number_of(run.courses, 'course')}"
    if "://" in to:
        told += f", {answered(codes)}"
    path = truth_path or (
        Path(to) / "truth.csv" if to != "-" and "://" not in to else Path("truth.csv") if to != "-" else None
    )
    if path is not None:
        day = as_of.date() if as_of else last + _SETTLED
        with path.open("w", encoding="utf-8", newline="") as out:
            lines = write_truth(courses(run), day, out)
        told += f"; {number_of(lines, 'line')} due by {day} {'is' if lines == 1 else 'are'} in {path.name}"
    click.echo(told, err=True)
    sys.exit(0 if accepted(codes) else 1)


def _play(run: Run, dialect: str, to: str) -> tuple[Counter[str], date]:
    codes: Counter[str] = Counter()
    last = run.start
    with ExitStack() as open_things:
        taken: tuple[Say, str] = open_things.enter_context(_taken(to, dialect))
        say, word = taken
        progress = open_things.enter_context(bar(counted("courses"), TextColumn("{task.fields[said]:,} messages")))
        task = progress.add_task(word, total=run.courses, said=0)
        for number, one in enumerate(messages(run, dialect), 1):
            codes[say(one.raw)] += 1
            last = max(last, one.at.date())
            if number % 100 == 0:
                progress.update(task, completed=one.course, said=number)
    return codes, last


@contextmanager
def _taken(to: str, dialect: str) -> Iterator[tuple[Say, str]]:
    """Yield what takes a message and returns its answer's code, and whether anything is sent, in words."""
    if to == "-":
        yield writing(sys.stdout.buffer), "writing; nothing is sent"
    elif to.startswith("mllp://" if dialect == FHIR else "http://"):
        raise ConfigError(f"--to: the dialect {dialect} is not spoken over {to.partition('://')[0]}")
    elif "://" in to:
        with sink("--to", to, "these patients are invented, and") as say:
            yield say, "SENDING"
    else:
        folder = Path(to)
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / ("messages.ndjson" if dialect == FHIR else "messages.hl7")).open("wb") as file:
            yield writing(file), "writing; nothing is sent"
