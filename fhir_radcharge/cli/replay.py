"""`replay`: an archive of messages through the same rooms as the engine: a report, or said to a listener if told to."""

from __future__ import annotations

import csv
import json
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from fhir_radcharge import archive
from fhir_radcharge.cli.bars import bar
from fhir_radcharge.cli.shared import console, found_mappings, json_option, say_json, say_table
from fhir_radcharge.cli.sinks import accepted, answered, sink
from fhir_radcharge.plural import number_of
from fhir_radcharge.recoding import FHIR_SENDER, Hearing, row_of
from fhir_radcharge.site import load_site
from fhir_radcharge.site_edits import site_edits


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--mappings", type=click.Path(exists=True, path_type=Path), help="The folder of tables.")
@click.option("--ndjson", type=click.Path(path_type=Path), help="Write every line here, one JSON object a line.")
@click.option("--csv", "csv_path", type=click.Path(path_type=Path), help="Write every line here as CSV.")
@click.option("--as-of", type=click.DateTime(["%Y-%m-%d"]), help="The last facility date that has come.")
@click.option("--official", type=click.Path(path_type=Path), help="The imported official tables.")
@click.option("--fhir-sender", default=FHIR_SENDER, show_default=True, help="The profile that reads FHIR resources.")
@click.option("--sender", help="Read every DFT by this profile, whatever its MSH-3 and MSH-4 say.")
@click.option("--send", help="Say them to a listener instead, one by one: mllp://host:port, or http:// for FHIR.")
@json_option
def replay(paths: tuple[Path, ...], mappings: Path | None, ndjson: Path | None, csv_path: Path | None,
           as_of: Any, official: Path | None, fhir_sender: str, sender: str | None, send: str | None,
           as_json: bool) -> None:  # fmt: skip
    """Read the messages of PATHS (files, folders, zip or tar) and say what they make due. Nothing is sent.

    With --send they are said to a running listener as they are, which keeps, codes and sends as ever.
    """
    if send is not None:
        sys.exit(0 if _sent(paths, send, as_json) else 1)
    site = load_site(found_mappings(mappings))
    started = time.monotonic()
    lines: Counter[tuple[str, str, str]] = Counter()
    flags: Counter[str] = Counter()
    failed: list[str] = []
    with tempfile.TemporaryDirectory(prefix="radcharge-") as folder, ExitStack() as open_files:
        hearing = _heard(paths, Hearing(site, Path(folder), fhir_name=fhir_sender, dft_name=sender), as_json)
        sinks = _Sinks(open_files, ndjson, csv_path)
        for patient in hearing.patients(as_of.date() if as_of else None, site_edits(site, official)):
            failed.extend([f"{patient.key}: {patient.failed}"] if patient.failed else [])
            for charge in patient.due.charges:
                lines[charge.bill, charge.code, charge.hold or ""] += charge.units
                sinks.write(patient, charge)
            flags.update(flag.reason for flag in patient.due.flags)
    seconds = time.monotonic() - started
    _say(hearing, lines, flags, failed, seconds, as_json)
    sys.exit(1 if hearing.parked or failed else 0)


def _heard(paths: tuple[Path, ...], hearing: Hearing, quiet: bool) -> Hearing:
    columns = (TextColumn("reading; nothing is sent"), BarColumn(), TextColumn("{task.percentage:.0f} %"),
               TextColumn("{task.fields[count]:,} messages"), TimeRemainingColumn())  # fmt: skip
    with Progress(*columns, console=console(), transient=True, disable=quiet) as progress:
        task = progress.add_task("", total=archive.size(paths), count=0)

        def watch(seen: int) -> None:
            progress.update(task, advance=seen, count=hearing.counts["messages"])

        for file, entry in archive.messages(paths, watch):
            if entry.problem is not None:
                hearing.counts["file problems"] += 1
                click.echo(f"{file}: {entry.problem}", err=True)
            else:
                hearing.hear(file, entry.number, entry.raw)
    return hearing


def _sent(paths: tuple[Path, ...], to: str, as_json: bool) -> bool:
    """Say every message to a listener; return whether all were accepted."""
    codes: Counter[str] = Counter()
    wants_fhir = to.startswith("http")
    with sink("--send", to, "the patients in these messages") as say, bar(
        TextColumn("{task.fields[count]:,} messages"), quiet=as_json
    ) as progress:
        task = progress.add_task("SENDING", total=archive.size(paths), count=0)
        for file, entry in archive.messages(paths, lambda seen: progress.update(task, advance=seen)):
            if entry.problem is not None:
                codes["unreadable"] += 1
                click.echo(f"{file}: {entry.problem}", err=True)
            elif entry.raw.lstrip().startswith(b"{") != wants_fhir:
                codes["not said"] += 1
                click.echo(f"{file}:{entry.number}: is not spoken over {to.partition(':')[0]}", err=True)
            else:
                codes[say(entry.raw)] += 1
                progress.update(task, count=codes.total())
    if as_json:
        say_json({"answers": codes})
    else:
        click.echo(f"{number_of(codes.total(), 'message')}, {answered(codes)}")
    return accepted(codes)


class _Sinks:
    """The files that every line is written to."""

    def __init__(self, files: ExitStack, ndjson: Path | None, csv_path: Path | None) -> None:
        self._json = files.enter_context(ndjson.open("w", encoding="utf-8")) if ndjson else None
        self._csv = files.enter_context(csv_path.open("w", encoding="utf-8", newline="")) if csv_path else None
        self._writer: Any = None

    def write(self, patient: Any, charge: Any) -> None:
        if self._json is None and self._csv is None:
            return
        row = row_of(patient, charge)
        if self._json is not None:
            self._json.write(json.dumps(row) + "\n")
        if self._csv is not None:
            if self._writer is None:
                self._writer = csv.DictWriter(self._csv, list(row))
                self._writer.writeheader()
            self._writer.writerow(row)


def _say(hearing: Hearing, lines: Counter[tuple[str, str, str]], flags: Counter[str], failed: list[str],
         seconds: float, as_json: bool) -> None:  # fmt: skip
    if as_json:
        due = [{"bill": b, "code": c, "hold": h, "units": n} for (b, c, h), n in sorted(lines.items())]
        say_json({"counts": hearing.counts, "seconds": seconds, "flags": flags, "failed": failed,
                  "parked": [parked._asdict() for parked in hearing.parked], "lines": due})  # fmt: skip
        return
    say_table("Due, in units", ["bill", "code", "sent", "held", "why held"], _table(lines), ["sent", "held"])
    if flags:
        say_table("\nWork items", ["reason", "how many"], sorted(flags.items()), ["how many"])
    for parked in hearing.parked[:20]:
        click.echo(f"parked: {parked.file}:{parked.message}: {parked.place}: {parked.problem}")
    if len(hearing.parked) > 20:
        click.echo(f"... and {len(hearing.parked) - 20} more; see them all with --json")
    for line in failed[:20]:
        click.echo(f"not reckoned: {line}")
    count = hearing.counts["messages"]
    said = f"{number_of(count, 'message')}, {number_of(hearing.counts['events'], 'event')}"
    click.echo(f"\n{said}, {len(hearing.parked):,} parked; "
               f"{seconds:.1f} s, {count / max(seconds, 1e-9):,.0f} a second. Nothing was sent.")  # fmt: skip


def _table(lines: Counter[tuple[str, str, str]]) -> list[tuple[str, str, int, int, str]]:
    keys = sorted({(bill, code) for bill, code, _ in lines})
    return [
        (bill, code, lines[bill, code, ""],
         sum(n for (b, c, h), n in lines.items() if (b, c) == (bill, code) and h),
         ", ".join(sorted(h for b, c, h in lines if (b, c) == (bill, code) and h)))
        for bill, code in keys
    ]  # fmt: skip
