"""`lint`: what is wrong in HL7 messages, by the tables of their own version."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from fhir_radcharge.cli.shared import json_option, say_json
from fhir_radcharge.errors import MessageError
from fhir_radcharge.plural import number_of
from fhir_radcharge.wire import batch, conformance, er7


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--errors-only", is_flag=True, help="Leave warnings out.")
@json_option
def lint(files: tuple[Path, ...], errors_only: bool, as_json: bool) -> None:
    """Check the messages of FILES against version, structure and data types; exit 1 if there is an error."""
    found = [row for path in files for row in _of_file(path)]
    if errors_only:
        found = [row for row in found if row["severity"] == "error"]
    if as_json:
        say_json(found)
    else:
        for row in found:
            click.echo(f"{row['file']}:{row['message']}: {row['place']}: {row['severity']} {row['code']} {row['text']}")
        click.echo(number_of(len(found), "finding"))
    sys.exit(1 if any(row["severity"] == "error" for row in found) else 0)


def _of_file(path: Path) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for entry in batch.messages(path.read_bytes()):
        problem = getattr(entry, "problem", None)
        try:
            if problem is not None:
                raise problem
            findings = conformance.findings(er7.read_message(entry.raw))
        except MessageError as error:
            rows.append({"file": path.name, "message": entry.number, "place": error.place, "severity": "error",
                         "code": error.code, "text": f"{error.problem}; {error.remedy}"})  # fmt: skip
            continue
        rows.extend({"file": path.name, "message": entry.number, "place": f.place, "severity": f.severity,
                     "code": f.code, "text": f.text} for f in findings)  # fmt: skip
    return rows
