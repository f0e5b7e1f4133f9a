"""`verify`: coding cases against the tables, one line a case."""

from __future__ import annotations

import sys
from itertools import groupby
from pathlib import Path

import click

from fhir_radcharge.cli.shared import found_mappings, json_option, say_json
from fhir_radcharge.rulebook_files import load_rulebook
from fhir_radcharge.rules.charging import charges_due
from fhir_radcharge.verify import case_files, report
from fhir_radcharge.verify import verify as verdicts


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--mappings", type=click.Path(exists=True, path_type=Path), help="The folder of tables.")
@json_option
def verify(files: tuple[Path, ...], mappings: Path | None, as_json: bool) -> None:
    """Run coding cases (FILES, or folders of them) and say which bill differs; exit 1 if any does."""
    rulebook = load_rulebook(found_mappings(mappings))
    results = list(verdicts(case_files(files), rulebook, charges_due))
    if as_json:
        say_json([{"id": name, "ok": all(r.ok for r in group), "differences": [f"{r.run}: {d}" for r in group
                   for d in r.differences]} for name, found in groupby(results, key=lambda r: r.id)
                  for group in [list(found)]])  # fmt: skip
    else:
        for told in report(results):
            click.echo(told)
    sys.exit(0 if all(result.ok for result in results) else 1)
