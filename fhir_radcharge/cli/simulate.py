"""`simulate`: invented courses as messages, to a listener, a folder or standard output, and what they must yield."""

from __future__ import annotations

import socket
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import date, timedelta
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

import click
from rich.progress import TextColumn

from fhir_radcharge.cli import EXIT_UNAVAILABLE
from fhir_radcharge.cli.bars import bar, counted
from fhir_radcharge.config_values import Address
from fhir_radcharge.errors import ConfigError
from fhir_radcharge.simulate import DIALECTS, courses, messages, run_of, write_truth
from fhir_radcharge.simulate.dialects import FHIR
from fhir_radcharge.simulate.fhir_dialect import path_of
from fhir_radcharge.simulate.pathways import pathways
from fhir_radcharge.simulate.stream import Run
from fhir_radcharge.wire import ack
from fhir_radcharge.wire.mllp import Frame, Framer, frame

_ANSWER_WAIT_S = 30.0
# Long enough for every course to be closed by its grace and every image to be past its window.
_SETTLED = timedelta(days=60)

Say = Callable[[bytes], str]


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
            click.echo(f"{one.name:<24}{one.site}, {sum(phase.fractions for phase in one.phase)} fractions")
        return
    run = run_of(size, seed, start.date(), pathway, count)
    codes, last = _play(run, dialect, to)
    told = f"{sum(codes.values()):,} messages of {run.courses:,} courses"
    if "://" in to:
        told += ", answered " + ", ".join(f"{code} {number:,} times" for code, number in sorted(codes.items()))
    path = truth_path or (
        Path(to) / "truth.csv" if to != "-" and "://" not in to else Path("truth.csv") if to != "-" else None
    )
    if path is not None:
        day = as_of.date() if as_of else last + _SETTLED
        with path.open("w", encoding="utf-8", newline="") as out:
            lines = write_truth(courses(run), day, out)
        told += f"; {lines:,} lines due by {day} are in {path.name}"
    click.echo(told, err=True)
    sys.exit(0 if all(code in ("", "AA", "CA", "200", "201") for code in codes) else 1)


def _play(run: Run, dialect: str, to: str) -> tuple[Counter[str], date]:
    codes: Counter[str] = Counter()
    last = run.start
    with ExitStack() as open_things:
        sink: tuple[Say, str] = open_things.enter_context(_sink(to, dialect))
        say, word = sink
        progress = open_things.enter_context(bar(counted("courses"), TextColumn("{task.fields[said]:,} messages")))
        task = progress.add_task(word, total=run.courses, said=0)
        for number, one in enumerate(messages(run, dialect), 1):
            codes[say(one.raw)] += 1
            last = max(last, one.at.date())
            if number % 100 == 0:
                progress.update(task, completed=one.course, said=number)
    return codes, last


@contextmanager
def _sink(to: str, dialect: str) -> Iterator[tuple[Say, str]]:
    """Yield what takes a message and returns its answer's code, and whether anything is sent, in words."""
    if to == "-":
        yield _writing(sys.stdout.buffer), "writing; nothing is sent"
    elif to.startswith("mllp://" if dialect == FHIR else "http://"):
        raise ConfigError(f"--to: the dialect {dialect} is not spoken over {to.partition('://')[0]}")
    elif to.startswith("http://"):
        with _posted(_address(to)) as say:
            yield say, "SENDING"
    elif to.startswith("mllp://"):
        with _spoken(_address(to)) as say:
            yield say, "SENDING"
    elif "://" in to:
        raise ConfigError(f"--to: '{to}' is neither mllp:// nor http://host:port, nor a folder, nor -")
    else:
        folder = Path(to)
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / ("messages.ndjson" if dialect == FHIR else "messages.hl7")).open("wb") as file:
            yield _writing(file), "writing; nothing is sent"


def _writing(out: Any) -> Say:
    def say(raw: bytes) -> str:
        out.write(raw + b"\n")
        return ""

    return say


def _address(to: str) -> Address:
    try:
        parts = urlsplit(to)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or not port:
        raise ConfigError(f"--to: '{to}' is no address; write mllp://host:port or http://host:port")
    address = Address(host, port)
    if not address.loopback:
        click.echo(
            f"warning: {host} is another machine; these patients are invented, and go there in the clear", err=True
        )
    return address


@contextmanager
def _spoken(address: Address) -> Iterator[Say]:
    """Yield what says a message over one connection and waits for its answer before the next."""
    try:
        channel = socket.create_connection((address.host, address.port), timeout=_ANSWER_WAIT_S)
    except OSError as error:
        _stop(f"--to: nobody answers at {address.host}:{address.port}: {error.strerror or error}")
    framer = Framer()

    def say(raw: bytes) -> str:
        channel.sendall(frame(raw))
        while data := channel.recv(65_536):
            for item in framer.feed(data):
                if isinstance(item, Frame):
                    return ack.read_answer(item.payload).code
        _stop("--to: the connection ended before an answer came; nothing more was sent")

    with channel:
        try:
            yield say
        except OSError as error:
            _stop(f"--to: no answer came: {error.strerror or error}; nothing more was sent")


@contextmanager
def _posted(address: Address) -> Iterator[Say]:
    """Yield what posts a resource over one connection and waits for its answer before the next."""
    channel = HTTPConnection(address.host, address.port, timeout=_ANSWER_WAIT_S)

    def say(raw: bytes) -> str:
        channel.request("POST", f"/fhir/{path_of(raw)}", raw, {"Content-Type": "application/fhir+json"})
        response = channel.getresponse()
        response.read()
        return str(response.status)

    with closing(channel):
        try:
            yield say
        except (OSError, HTTPException) as error:
            _stop(f"--to: no answer came: {error or type(error).__name__}; nothing more was sent")


def _stop(text: str) -> NoReturn:
    click.echo(text, err=True)
    sys.exit(EXIT_UNAVAILABLE)
