"""What `rules activate` shows before anything computes otherwise, and what it then refuses."""

from __future__ import annotations

import sqlite3
from datetime import date

import click
from rich.progress import TextColumn

from fhir_radcharge.cli.bars import bar
from fhir_radcharge.cli.shared import say_table
from fhir_radcharge.config import Config
from fhir_radcharge.engine.activation import scope_text
from fhir_radcharge.errors import UnsafeError
from fhir_radcharge.plural import number_of
from fhir_radcharge.site import Site
from fhir_radcharge.whatif.activation import Effect, effect
from fhir_radcharge.whatif.answers import EFFECTS
from fhir_radcharge.whatif.page import code_rows, flag_rows, total_rows

_CODES_SHOWN = 20


def first_day(scope: str, asked: date | None, today: date) -> date | None:
    """Return the first date of service that new tables decide; None: all dates. UnsafeError where both are said."""
    if scope == "all":
        if asked is not None:
            raise UnsafeError("--scope all decides every date; leave --from out, or say --scope new")
        return None
    return asked or today


def seen(
    config: Config, books: sqlite3.Connection, site: Site, scope: str, first: date | None, quiet: bool
) -> Effect:
    """Return what the activation would change, computed over everything ever heard."""
    ((total,),) = books.execute("select count(*) from event")
    with bar(TextColumn("{task.percentage:.0f} %"), quiet=quiet) as progress:
        task = progress.add_task("comparing; nothing is sent", total=total)
        return effect(config, books, site, scope_text(scope, first), lambda count: progress.advance(task, count))


def said(found: Effect, heard: int, scope: str, first: date | None, quiet: bool) -> None:
    """Print the effect; to where errors go, if the output is for machines."""
    if found.is_first:
        click.echo("nothing computes yet, so this activation changes no line", err=quiet)
        if heard:
            click.echo(f"messages that wait for it: {heard:,}; what they make due is computed at once, and sent"
                       " wherever a destination is live", err=quiet)  # fmt: skip
        return
    tally = found.tally
    dates = f"dates of service from {first}" if first else "all dates of service"
    counts = ", ".join(f"{tally.effects[effect]} {effect}" for effect in EFFECTS if tally.effects[effect])
    differ = f"{number_of(tally.changed, 'line differs', 'lines differ')}{f' ({counts})' if counts else ''}"
    click.echo(f"{dates}: {differ}, {tally.unchanged} do not;"
               f" {number_of(found.credits, 'credit')} would go", err=quiet)  # fmt: skip
    if quiet:
        return
    rows = [row[:4] for row in code_rows(tally) if row[4]]
    if rows:
        say_table("Units by code", ["bill", "code", "before", "after"], rows[:_CODES_SHOWN], ["before", "after"])
    if len(rows) > _CODES_SHOWN:
        click.echo(f"... and {len(rows) - _CODES_SHOWN} more codes; see `diff --rules`")
    if found.totals.counts:
        say_table("Corrections", ["destination", "kind", "the charge was", "postings", "units"],
                  total_rows(found.totals), ["postings", "units"])  # fmt: skip
    if found.totals.pending:
        click.echo(f"{found.totals.pending:,} of these wait already, whatever is activated")
    if tally.flags:
        say_table("Work items", ["reason", "raised", "gone"], flag_rows(tally), ["raised", "gone"])
    for (side, why), count in tally.failed.items():
        click.echo(f"not reckoned {side}: {number_of(count, 'patient')}: {why}")


def refused(found: Effect, scope: str, yes: bool, second: str | None, credits_max: int) -> None:
    """Raise UnsafeError where what was shown needs a word more than was said."""
    if found.credits > credits_max and not second:
        raise UnsafeError(
            f"{number_of(found.credits, 'credit')} would go, and {credits_max} may go unasked"
            " (credits.per_hour_before_pause); name who else agreed with --second-person"
        )
    if scope == "all" and found.tally.changed and not yes:
        raise UnsafeError(
            f"{number_of(found.tally.changed, 'line')} of the past would change;"
            " look at them with `diff --rules`, then say --yes"
        )
