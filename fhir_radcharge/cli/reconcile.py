"""`reconcile`: every fraction delivered against its charges on each bill, and the answers to them."""

from __future__ import annotations

import csv
import sys
from collections.abc import Container, Sequence
from contextlib import ExitStack
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from fhir_radcharge.cli.explain import opened
from fhir_radcharge.cli.shared import config_option, found_config, json_option, say_json, say_table, utc_now
from fhir_radcharge.csv_cells import cells
from fhir_radcharge.errors import ConfigError
from fhir_radcharge.reconciliation import page as reconciliation_page
from fhir_radcharge.reconciliation.account import STATES, Entry, as_row
from fhir_radcharge.reconciliation.report import Reconciliation, reconciled
from fhir_radcharge.reconciliation.waits import figures
from fhir_radcharge.serving import official_db, site_in_force
from fhir_radcharge.site_edits import site_edits

SHOWN = 40
_FILE = click.Path(path_type=Path)
_DAY = click.DateTime(["%Y-%m-%d"])


@click.command()
@config_option
@click.option("--date", "day", help="One date of treatment: yyyy-mm-dd, today, or yesterday (the default).")
@click.option("--from", "first", type=_DAY, help="The first date of treatment.")
@click.option("--to", "last", type=_DAY, help="The last date of treatment.")
@click.option("--official", type=_FILE, help="The imported official tables; else those beside the books.")
@click.option("--csv", "csv_path", type=click.Path(path_type=Path), help="Write every fraction, a row for each bill.")
@click.option("--html", type=click.Path(path_type=Path), help="Write a page to read and to print.")
@json_option
def reconcile(config_path: Path | None, day: str | None, first: Any, last: Any, official: Path | None,
              csv_path: Path | None, html: Path | None, as_json: bool) -> None:  # fmt: skip
    """Compare the fractions delivered with what was charged and accepted; exit 1 if anything is to be looked at."""
    config = found_config(config_path)
    now = utc_now()
    with ExitStack() as files:
        connection = files.enter_context(opened(config))
        site = site_in_force(config, connection)
        edits = site_edits(site, official or official_db(config))
        start, end = _dates(day, first, last, site.today(now))
        since = end - timedelta(days=reconciliation_page.DAYS - 1) if html else None
        found = reconciled(connection, site, edits, start, end, now, since, _writer(files, csv_path))
    if html:
        html.write_text(reconciliation_page.page(found, config.site.name, str(site.zone)), encoding="utf-8")
    if as_json:
        _say_json(found)
    else:
        _say(found)
    sys.exit(0 if found.is_clean else 1)


def _dates(day: str | None, first: datetime | None, last: datetime | None, today: date) -> tuple[date, date]:
    if day is not None and (first or last):
        raise ConfigError("name a --date, or --from and --to, not both")
    if first or last:
        start = first.date() if first else last.date() if last else today
        end = last.date() if last else today
        if end < start:
            raise ConfigError(f"--from {start} is after --to {end}; swap them")
        return start, end
    near = {None: today - timedelta(days=1), "yesterday": today - timedelta(days=1), "today": today}
    if day in near:
        return near[day], near[day]
    try:
        one = date.fromisoformat(str(day))
    except ValueError as error:
        raise ConfigError(f"--date {day} is not a date yyyy-mm-dd, nor today or yesterday") from error
    return one, one


def _writer(files: ExitStack, path: Path | None) -> Any:
    if path is None:
        return lambda _: None
    writer = csv.writer(files.enter_context(path.open("w", encoding="utf-8", newline="")))
    writer.writerow(Entry._fields)
    return lambda entry: writer.writerow(cells(entry))


def _say(found: Reconciliation) -> None:
    click.echo(f"{found.first} to {found.last}: {reconciliation_page.sentence(found)}")
    click.echo(reconciliation_page.lag_sentence(found))
    if found.bills:
        states = [state for state in STATES if any(counts[state] for counts in found.bills.values())]
        say_table("\nFractions by bill", ["bill", *states], [
            (bill, *(counts[state] for state in states)) for bill, counts in sorted(found.bills.items())],
            states)  # fmt: skip
    rows = sorted(found.findings, key=lambda e: (STATES.index(e.state), e.day, e.patient, e.event, e.bill))
    if rows:
        click.echo("")
    for entry in rows[:SHOWN]:
        click.echo(_line(entry))
    if len(rows) > SHOWN:
        click.echo(f"... and {len(rows) - SHOWN} more; see them with --csv, --html or --json")
    for gap in found.gaps:
        click.echo(f"gap: patient {gap.patient}, course {gap.course}: fraction "
                   f"{', '.join(map(str, gap.missing))} before {gap.before} was never told")  # fmt: skip
    for credit in found.credits:
        click.echo(f"credit waits: {credit.posting} to {credit.destination}, {credit.code} of {credit.day}: "
                   f"{credit.state}, {credit.age_days} d")  # fmt: skip
    for one in found.parked:
        click.echo(f"put aside: message {one.message}: {one.category} {one.place} {one.reason}")
    for first, last in _runs(found.silent_days, found.days):
        click.echo(f"no fraction on {first}, a business day" if first == last else
                   f"no fraction from {first} to {last}, on any business day")  # fmt: skip
    for number, why in found.failed:
        click.echo(f"not reckoned: patient {number}: {why}")
    if found.unread:
        click.echo(reconciliation_page.unread_sentence(found))


def _runs(silent: Sequence[date], treated: Container[date]) -> list[tuple[date, date]]:
    """Return the first and last days of stretches without a fraction: between two of their days none was treated."""
    runs: list[tuple[date, date]] = []
    for day in silent:
        if runs:
            first, last = runs[-1]
            between = (last + timedelta(days=n) for n in range(1, (day - last).days))
            if not any(one in treated for one in between):
                runs[-1] = (first, day)
                continue
        runs.append((day, day))
    return runs


def _line(entry: Entry) -> str:
    age = "" if entry.age_days is None else f"{entry.age_days} d"
    who = ", ".join(filter(None, (entry.owner, age)))
    reason = f"{entry.reason.replace('_', ' ')}{f' ({who})' if who else ''}"
    return (f"{entry.state.upper():<10} {entry.day}  patient {entry.patient}, course {entry.course}  "
            f"{entry.bill} {entry.codes}  {reason}")  # fmt: skip


def _say_json(found: Reconciliation) -> None:
    say_json({
        "from": found.first, "to": found.last, "fractions": found.counts, "bills": found.bills,
        "findings": [as_row(entry) for entry in found.findings], "lag_seconds": figures(found.lags)._asdict(),
        "days": {str(day): counts for day, counts in sorted(found.days.items())},
        "gaps": [gap._asdict() for gap in found.gaps], "credits": [one._asdict() for one in found.credits],
        "parked": [one._asdict() for one in found.parked], "silent_days": found.silent_days,
        "not_reckoned": found.failed, "unread": found.unread, "clean": found.is_clean,
    })  # fmt: skip
