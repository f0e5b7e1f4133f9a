"""`books`: are the books what was promised; on any database, live or restored."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import click
from rich.progress import Progress

from fhir_radcharge import ledger
from fhir_radcharge.cli.bars import bar, counted
from fhir_radcharge.cli.explain import opened
from fhir_radcharge.cli.shared import config_option, found_config, json_option, say_json, say_table
from fhir_radcharge.config import Config
from fhir_radcharge.convergence import not_judged, unequal
from fhir_radcharge.invariants import CHECKS
from fhir_radcharge.plural import number_of
from fhir_radcharge.serving import official_db, site_in_force
from fhir_radcharge.site_edits import site_edits

_BREACHES_MAX = 5
_CONVERGED = "what stands at each destination is what is due"


@click.command()
@click.option(
    "--database",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Books of any place, such as a backup; what is due is then not computed.",
)
@config_option
@json_option
def books(database: Path | None, config_path: Path | None, as_json: bool) -> None:
    """Check the invariants and the hash chain of the books; nothing is changed or sent; exit 1 on a breach."""
    config = found_config(config_path) if database is None else None
    with _opened(database, config) as connection, bar(counted(), quiet=as_json) as progress:
        told = list(_judged(connection, config, progress))
        counts = {
            name: connection.execute(f"select count(*) from {name}").fetchone()[0]  # noqa: S608
            for name in ("message", "event", "posting", "send", "chain")
        }
        head = connection.execute("select number, hash from chain order by number desc limit 1").fetchone()
    broken = [row for row in told if row[2] == "BROKEN"]
    if as_json:
        say_json(
            {
                "ok": not broken,
                "counts": counts,
                "head": {"batch": head[0], "hash": head[1].hex()} if head else None,
                "checks": [{"ids": i, "promise": p, "verdict": v, "breaches": b} for i, p, v, b in told],
            }
        )
        sys.exit(1 if broken else 0)
    say_table("", ["invariant", "promise", "verdict"], [row[:3] for row in told])
    for _, _, verdict, breaches in told:
        for breach in breaches:
            click.echo(f"{'  ' if verdict == 'BROKEN' else ''}{breach}")
    click.echo(
        f"\n{number_of(counts['message'], 'message')}, {number_of(counts['event'], 'event')}, "
        f"{number_of(counts['posting'], 'posting')}, {counts['send']:,} outbound, "
        f"{number_of(counts['chain'], 'commit')}"
    )
    if head:
        click.echo(f"newest commit {head[0]} {head[1].hex()[:32]}: note it elsewhere to see a cut")
    sys.exit(1 if broken else 0)


Row = tuple[str, str, str, list[str]]


def _judged(connection: sqlite3.Connection, config: Config | None, progress: Progress) -> Iterator[Row]:
    task = progress.add_task("checking the books; nothing is sent", total=len(CHECKS))
    # One moment for all: beside a running engine the books grow while they are read.
    connection.execute("begin")
    for check in CHECKS:
        breaches = list(islice(check.breaches(connection), _BREACHES_MAX))
        yield check.ids, check.promise, "BROKEN" if breaches else "holds", breaches
        progress.advance(task)
    connection.execute("commit")
    if config is not None:
        yield _converged(connection, config, progress)


def _converged(connection: sqlite3.Connection, config: Config, progress: Progress) -> Row:
    site = site_in_force(config, connection)
    reason = not_judged(connection, site)
    if reason:
        return "I6", _CONVERGED, "not judged", [f"I6 is not judged: {reason}"]
    (patients,) = connection.execute("select count(*) from patient").fetchone()
    task = progress.add_task("computing what is due; nothing is sent", total=patients)
    breaches: list[str] = []
    for _, wrong in unequal(connection, site, site_edits(site, official_db(config))):
        if wrong and len(breaches) < _BREACHES_MAX:
            breaches.append(wrong)
        progress.advance(task)
    return "I6", _CONVERGED, "BROKEN" if breaches else "holds", breaches


@contextmanager
def _opened(database: Path | None, config: Config | None) -> Iterator[sqlite3.Connection]:
    if config is not None:
        with opened(config) as connection:
            yield connection
        return
    assert database is not None
    connection = ledger.reader(database)
    try:
        yield connection
    except sqlite3.Error as error:
        raise ledger.unreadable(connection, database.name, error) from error
    finally:
        connection.close()
