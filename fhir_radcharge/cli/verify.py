"""`verify`: coding cases against the tables, one line a case."""

from __future__ import annotations

import sys
from itertools import groupby
from pathlib import Path
from typing import Any

import click

from fhir_radcharge import verify_fhir
from fhir_radcharge.cli.shared import found_mappings, json_option, say_json
from fhir_radcharge.profiles.fhir import load_fhir
from fhir_radcharge.rules.charging import charges_due
from fhir_radcharge.tables.rulebook import load_rulebook
from fhir_radcharge.verify import case_files, report
from fhir_radcharge.verify import verify as verdicts


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--mappings", type=click.Path(exists=True, path_type=Path), help="The folder of tables.")
@click.option("--fhir", "as_fhir", is_flag=True, help="Say each event as FHIR and read it before it is charged.")
@json_option
def verify(files: tuple[Path, ...], mappings: Path | None, as_fhir: bool, as_json: bool) -> None:
    """Run coding cases (FILES, or folders of them) and say which bill differs; exit 1 if any does."""
    folder = found_mappings(mappings)
    rulebook, paths = load_rulebook(folder), case_files(files)
    if as_fhir:
        found = list(verify_fhir.verify_as_fhir(paths, rulebook, load_fhir(folder)))
        told = verify_fhir.report(found)
    else:
        found = [verify_fhir.Verdict(result, ()) for result in verdicts(paths, rulebook, charges_due)]
        told = report(one.result for one in found)
    if as_json:
        cases = groupby(found, key=lambda one: one.result.id)
        say_json([_as_json(name, list(group), as_fhir) for name, group in cases])
    else:
        for line in told:
            click.echo(line)
    sys.exit(0 if all(one.result.ok for one in found) else 1)


def _as_json(name: str, runs: list[verify_fhir.Verdict], as_fhir: bool) -> dict[str, Any]:
    results = [one.result for one in runs]
    told = [f"{result.run}: {said}" for result in results for said in result.differences]
    verdict = {"id": name, "ok": all(result.ok for result in results), "differences": told}
    unsaid = list(dict.fromkeys(said for one in runs for said in one.unsaid))
    return {**verdict, "not_said_as_fhir": unsaid} if as_fhir else verdict
