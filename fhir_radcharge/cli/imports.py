"""`import`: what an earlier system has charged, or the official files that the site downloaded."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import click
from rich.progress import DownloadColumn

from fhir_radcharge.cli.bars import bar, counted
from fhir_radcharge.cli.deciding import user, who_and_why
from fhir_radcharge.cli.shared import config_option, found_config, json_option, say_json
from fhir_radcharge.control import act
from fhir_radcharge.control.opening_file import read_opening
from fhir_radcharge.official.loading import Summary, import_file
from fhir_radcharge.official.names import KINDS
from fhir_radcharge.official.store import OfficialStore
from fhir_radcharge.official.telling import told
from fhir_radcharge.plural import number_of
from fhir_radcharge.serving import official_db, site_of

# A line to the running server holds at most 4 MiB; a row is below 1 KiB.
_ROWS_IN_PART = 2_000


@click.group("import")
def import_() -> None:
    """Load opening charges, or the official files that you downloaded."""


@import_.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@who_and_why
def opening(file: Path, by: str, why: str, config_path: Path | None, as_json: bool) -> None:
    """Load the charges of FILE (CSV, see docs/opening.md) as standing: they are credited if wrong, and never sent."""
    config = found_config(config_path)
    rows = read_opening(file, site_of(config).destinations)
    new = 0
    with bar(counted("rows"), quiet=as_json) as progress:
        task = progress.add_task("loading; nothing is sent", total=len(rows))
        for start in range(0, len(rows), _ROWS_IN_PART):
            part = rows[start : start + _ROWS_IN_PART]
            new += act(config, "opening", {"rows": part, "by": by, "why": why}, 600.0)["new"]
            progress.advance(task, len(part))
    if as_json:
        say_json({"rows": len(rows), "new": new})
        return
    click.echo(
        f"{number_of(len(rows), 'charge')} read, {new} new; the others stood already. They stand, and are never sent."
    )


@import_.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--known-from", type=click.DateTime(["%Y-%m-%d"]), required=True, help="The day on which you learnt of it."
)
@click.option(
    "--store", type=click.Path(path_type=Path), help="The database of official tables; else beside the books."
)
@click.option("--kind", type=click.Choice(KINDS), help="What a renamed file is.")
@click.option("--as-of", type=click.DateTime(["%Y-%m-%d"]), help="The first day that a renamed file is for.")
@click.option(
    "--tolerate", type=click.IntRange(0), default=0, show_default=True, help="How many bad rows to leave out."
)
@click.option("--parts", type=click.IntRange(1), help="How many files make the edition, where not the usual number.")
@click.option("--by", default=user, show_default="your user name", help="Who imports; it is kept in the books.")
@click.option("--why", default="new official tables", show_default=True, help="Why; it is kept in the books.")
@config_option
@json_option
def official(
    files: tuple[Path, ...],
    known_from: Any,
    store: Path | None,
    kind: str | None,
    as_of: Any,
    tolerate: int,
    parts: int | None,
    by: str,
    why: str,
    config_path: Path | None,
    as_json: bool,
) -> None:
    """Import official FILES as they were published (plain or .zip), each whole or not at all, and say what changed.

    Beside the books they edit lines at once, also in a running server: a line that waits is held or let go, and one
    that stands is flagged. With --store they are only kept.
    """
    path = store if store is not None else official_db(found_config(config_path))
    path.parent.mkdir(parents=True, exist_ok=True)
    tables = OfficialStore(path)
    said: list[dict[str, Any]] = []
    try:
        for file in files:
            summary = _imported(
                file,
                tables,
                as_json,
                known_from=known_from.date(),
                kind=kind,
                as_of=as_of.date() if as_of else None,
                tolerate=tolerate,
                parts=parts,
            )
            said.append(_plainly(file, summary))
            if not as_json:
                click.echo("\n".join(told(summary)))
    finally:
        tables.close()
    result = None
    if store is None and found_config(config_path).store.path.exists():
        names = [one["edition"] for one in said]
        result = act(found_config(config_path), "official", {"editions": names, "by": by, "why": why}, 600.0)
    if as_json:
        say_json(said)
    elif result is not None:
        click.echo(f"{result['digest']:.12} edits lines now; patients computed again: {result['patients']}")


def _plainly(file: Path, summary: Summary) -> dict[str, Any]:
    named = {name: getattr(summary, name) for name in ("rows", "tombstones", "bad_rows", "missing", "repeated")}
    return {"file": file.name, "edition": summary.edition.name, **named, "told": told(summary)}


def _imported(file: Path, tables: OfficialStore, quiet: bool, *, known_from: date, **named: Any) -> Summary:
    with bar(DownloadColumn(binary_units=True), quiet=quiet) as progress:
        task = progress.add_task(f"importing {file.name}; nothing is sent", total=None)

        def watch(done: int, whole: int | None) -> None:
            progress.update(task, completed=done, total=whole)

        return import_file(file, tables, known_from=known_from, progress=watch, **named)
