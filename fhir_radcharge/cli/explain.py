"""`explain`: why a charge exists, what became of an event or a message, how a course stands, or why not."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any, get_args
from zoneinfo import ZoneInfo

import click

from fhir_radcharge import ledger
from fhir_radcharge.cli.shared import config_option, found_config, json_option, say_json, say_table
from fhir_radcharge.config import Config
from fhir_radcharge.errors import LedgerError
from fhir_radcharge.explain import Found, NotFoundError, book_of, explanation, found, told
from fhir_radcharge.explain.finding import Kind
from fhir_radcharge.explain.patient import latest_day
from fhir_radcharge.rules.why_not import why_not
from fhir_radcharge.serving import official_db, site_in_force
from fhir_radcharge.site_edits import site_edits


@click.command()
@click.argument("name", metavar="ID")
@click.option("--why-not", "code", help="Say why this code is not charged, instead.")
@click.option("--date", "day", type=click.DateTime(["%Y-%m-%d"]), help="The date of service for --why-not.")
@click.option("--patient", type=int, help="The patient's number, where several have a course or event ID.")
@click.option("--kind", type=click.Choice(get_args(Kind)), help="What ID is, where several things have that name.")
@config_option
@json_option
def explain(
    name: str,
    code: str | None,
    day: Any,
    patient: int | None,
    kind: Kind | None,
    config_path: Path | None,
    as_json: bool,
) -> None:
    """Tell the whole decision log of ID: a posting or control id, an event, a message (#12 or MSH-10), a course."""
    config = found_config(config_path)
    with opened(config) as books:
        rulebook = site_in_force(config, books).rulebook
        try:
            what = found(books, name, patient, kind)
        except NotFoundError as problem:
            click.echo(str(problem), err=True)
            sys.exit(1)
        if code is not None:
            _say_why_not(books, config, what, code, day.date() if day else None, as_json)
            return
        row = explanation(books, rulebook, what)
    if as_json:
        say_json(row)
        return
    for line in told(row, ZoneInfo(config.site.timezone)):
        click.echo(line)
    if row["what"] == "course":
        _say_strip(row)


@contextmanager
def opened(config: Config) -> Iterator[sqlite3.Connection]:
    """Open the books of a site for reading, beside a running engine; LedgerError if there are none."""
    path = config.store.path
    if not path.exists():
        raise LedgerError(f"{path.name}: there are no books there yet; run `fhir-radcharge serve` or `demo` first")
    connection = ledger.reader(path)
    try:
        yield connection
    except sqlite3.Error as error:
        raise ledger.unreadable(connection, path.name, error) from error
    finally:
        connection.close()


def _say_why_not(
    books: sqlite3.Connection, config: Config, what: Found, code: str, day: date | None, as_json: bool
) -> None:
    site, said = site_in_force(config, books), []
    rulebook = site.rulebook.on(day) if day else site.rulebook
    edits = site_edits(site, official_db(config))
    rows = books.execute("select distinct patient from event where message = ?", (what.name,)).fetchall()
    patients = [what.patient] if what.patient else [patient for (patient,) in rows]
    for patient in patients:
        events = book_of(books, patient).events()
        said += why_not(code, events, rulebook, latest_day(books), day, edits)
    if not patients:
        said = ["no event was read from this message"]
    if as_json:
        say_json({"code": code, "date": day, "why_not": said})
        return
    on = f" on {day}" if day else ""
    click.echo(f"{code}{on}: {'not charged' if said else 'it is due, and nothing holds it'}")
    for sentence in said:
        click.echo(f"  {sentence}")


def _say_strip(row: dict[str, Any]) -> None:
    def cell(said: list[str]) -> str:
        return ", ".join(said)

    columns = ["day", "given", *row["bills"], "waits"]
    say_table(
        "",
        columns,
        [
            (day["day"], cell(day["given"]), *(cell(day[bill]) for bill in row["bills"]), cell(day["held"]))
            for day in row["days"]
        ],
    )
    click.echo("\n.. on its way   ? may have arrived   || waits behind another   ~ shadow")
