"""`check`: the configuration and the profiles read, the tables proved, the cases played, and what decides a day."""

from __future__ import annotations

import sys
from datetime import date
from pathlib import Path
from typing import Any

import click

from fhir_radcharge.cli.shared import found_mappings, json_option, say_json, say_table
from fhir_radcharge.config import load
from fhir_radcharge.errors import TableError
from fhir_radcharge.gateway.doors import as_configured
from fhir_radcharge.plural import number_of
from fhir_radcharge.rules.charging import charges_due
from fhir_radcharge.rules.rulebook import Rulebook
from fhir_radcharge.site import load_site
from fhir_radcharge.tables.rulebook import problems
from fhir_radcharge.tables.site_words import site_problems
from fhir_radcharge.verify import case_files, report, verify


@click.command()
@click.option("--config", "config_path", type=click.Path(exists=True, path_type=Path), help="Check this TOML file too.")
@click.option("--mappings", type=click.Path(exists=True, path_type=Path), help="The folder of tables.")
@click.option("--cases", type=click.Path(exists=True, path_type=Path), multiple=True, help="Play these cases too.")
@click.option("--payer", help="Show which row decides each knob of this payer profile.")
@click.option("--date", "day", type=click.DateTime(["%Y-%m-%d"]), help="The date of service for --payer.")
@json_option
def check(
    config_path: Path | None, mappings: Path | None, cases: tuple[Path, ...], payer: str | None, day: Any,
    as_json: bool,
) -> None:  # fmt: skip
    """Prove every table: no gap, no overlap, no dead row, no row without source; exit 1 if anything is wrong.

    With --config also that the file is understood and names only profiles that are there; with --cases also that
    every case comes out as it says.
    """
    config = load(config_path) if config_path else None
    folder = mappings or (Path(config.rules.mappings) if config else found_mappings(None))
    try:
        site = load_site(folder)
        rulebook = site.rulebook
        found = [*problems(rulebook, folder), *site_problems(site, folder)]
        if config is not None:
            as_configured(site, config)
        differing = [one for one in verify(case_files(cases), rulebook, charges_due) if not one.ok]
        found += list(report(differing))[:-1]
    except TableError as error:
        found = str(error).splitlines()
        _say_findings(found, as_json)
        sys.exit(1)
    if payer is not None:
        _say_knobs(rulebook, payer, day.date() if day else date.today(), as_json)
        return
    if found or as_json:
        _say_findings(found, as_json, rulebook.digest)
        sys.exit(1 if found else 0)
    rows = sum(len(table.rows) for table in rulebook.tables.values())
    say_table("Tables", ["what", "how many"], [
        ("decision tables, proved complete and without dead rows", len(rulebook.tables)),
        ("rows, each dated and cited", rows),
        ("counting rules", len(rulebook.counting)),
        ("exclusions", len(rulebook.exclusions)),
        ("codes with their validity", len(rulebook.catalogue)),
        ("payer profiles", len(rulebook.policy.profiles)),
        ("knobs", len(rulebook.policy.declared)),
        ("sender profiles", len(site.senders)),
        ("destinations", len(site.destinations)),
    ], numbers=["how many"])  # fmt: skip
    click.echo(f"\nrulebook {rulebook.digest[:16]}  site {site.digest[:16]}  no findings")


def _say_findings(found: list[str], as_json: bool, digest: str = "") -> None:
    if as_json:
        say_json({"findings": found, "rulebook": digest})
        return
    for line in found:
        click.echo(line)
    click.echo(number_of(len(found), "finding"))


def _say_knobs(rulebook: Rulebook, payer: str, day: date, as_json: bool) -> None:
    if not rulebook.policy.known(payer):
        raise TableError(f"no payer profile is called '{payer}'; see payers.yaml")
    knobs = rulebook.policy.knobs(payer, day)
    rows = []
    for name in sorted(knobs):
        origin = rulebook.policy.origin(payer, day, name)
        rows.append({"knob": name, "value": knobs[name], "profile": origin.profile, "from": origin.start,
                     "sources": origin.sources})  # fmt: skip
    if as_json:
        say_json(rows)
        return
    say_table(f"Knobs of {payer} on {day}", ["knob", "value", "set by", "from", "sources"], [
        (r["knob"], _word(r["value"]), r["profile"], r["from"], " ".join(r["sources"])) for r in rows])


def _word(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)
