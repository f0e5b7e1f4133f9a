"""`diff`: what other tables would change, over everything ever heard; nothing is sent."""

from __future__ import annotations

import csv
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click
from rich.progress import TextColumn

from fhir_radcharge import archive
from fhir_radcharge.cli.bars import bar
from fhir_radcharge.cli.explain import opened
from fhir_radcharge.cli.shared import config_option, found_config, found_mappings, json_option, say_json, say_table
from fhir_radcharge.config import Config
from fhir_radcharge.csv_cells import cells
from fhir_radcharge.errors import ConfigError, LedgerError
from fhir_radcharge.gateway.doors import as_configured
from fhir_radcharge.memory import settled
from fhir_radcharge.recoding import Hearing
from fhir_radcharge.serving import official_db, site_in_force
from fhir_radcharge.site import load_site
from fhir_radcharge.site_edits import site_edits
from fhir_radcharge.whatif import page as whatif_page
from fhir_radcharge.whatif.answers import EFFECTS, Change, Span, Tally
from fhir_radcharge.whatif.archive import of_archive, of_cases, tallied
from fhir_radcharge.whatif.books import Foreseen, Side, Totals, Unsendable, compared, waits

GROUPS_SHOWN = 12
FORESEEN_IN_JSON = 10_000
COLUMNS = ("what", "patient", "effect", "bill", "course", "code_before", "units_before", "date_before", "hold_before",
           "code_after", "units_after", "date_after", "hold_after", "decided_before", "decided_after", "reason",
           "destination", "kind", "posting", "credits", "cause", "charge_was", "pending")  # fmt: skip

_PATH = click.Path(exists=True, path_type=Path)
_FILE = click.Path(path_type=Path)
_DAY = click.DateTime(["%Y-%m-%d"])


@click.command()
@click.option("--rules", required=True, type=_PATH, help="The other folder of tables.")
@config_option
@click.option("--mappings", type=_PATH, help="The tables to compare with; else those of the site.")
@click.option("--from", "first", type=_DAY, help="The first date of service to look at.")
@click.option("--to", "last", type=_DAY, help="The last date of service to look at.")
@click.option("--cases", type=_PATH, multiple=True, help="Compare over case files instead of the books.")
@click.option("--archive", "archives", type=_PATH, multiple=True, help="Compare over archived messages instead.")
@click.option("--as-of", type=_DAY, help="The last facility date that has come, for --archive.")
@click.option("--official", type=_FILE, help="The imported official tables; else those beside the books.")
@click.option("--html", type=click.Path(path_type=Path), help="Write a page without patients, for a committee.")
@click.option("--csv", "csv_path", type=click.Path(path_type=Path), help="Write every line and correction as CSV.")
@json_option
def diff(rules: Path, config_path: Path | None, mappings: Path | None, first: Any, last: Any, cases: tuple[Path, ...],
         archives: tuple[Path, ...], as_of: Any, official: Path | None, html: Path | None, csv_path: Path | None,
         as_json: bool) -> None:  # fmt: skip
    """Compare what is due under the site's tables with what would be due under other ones. Nothing is sent.

    Exit 1 when something would change.
    """
    if cases and archives:
        raise ConfigError("compare over --cases or over --archive, not over both")
    span = Span(first.date() if first else None, last.date() if last else None)
    started = time.monotonic()
    with ExitStack() as files:
        told = _Told(files, csv_path)
        if cases or archives:
            title = _without_books(told, rules, mappings, cases, archives, span, as_of, official, as_json)
        else:
            title = _over_books(told, rules, config_path, mappings, span, official, as_json)
    if html:
        html.write_text(whatif_page.page(title, told.tally, told.totals), encoding="utf-8")
    if as_json:
        _say_json(title, told)
    else:
        _say(title, told, time.monotonic() - started)
    sys.exit(1 if told.differs else 0)


class _Told:
    """What was found: sums, the file of every line, and the foreseen postings as far as they are printed."""

    def __init__(self, files: ExitStack, csv_path: Path | None) -> None:
        self.tally, self.totals = Tally(), Totals()
        self.foreseen: list[Foreseen] = []
        self._writer: Any = None
        if csv_path:
            self._writer = csv.writer(files.enter_context(csv_path.open("w", encoding="utf-8", newline="")))
            self._writer.writerow(COLUMNS)

    def say(self, found: Any) -> None:
        """Take a change or a foreseen posting."""
        if isinstance(found, Foreseen | Unsendable):
            self.totals.add(found)
        if isinstance(found, Foreseen) and len(self.foreseen) < FORESEEN_IN_JSON:
            self.foreseen.append(found)
        if self._writer is not None:
            self._writer.writerow(cells(_cells_of(found)))

    @property
    def differs(self) -> bool:
        """Whether anything would be other than it is."""
        tally = self.tally
        return bool(tally.changed or tally.flags or tally.failed or self.totals.counts or self.totals.unsendable)


def _cells_of(found: Any) -> list[Any]:
    if isinstance(found, Foreseen):
        return _posting_cells(found)
    return _unsendable_cells(found) if isinstance(found, Unsendable) else _change_cells(*found)


def _change_cells(patient: Any, change: Change) -> list[Any]:
    sides: list[Any] = []
    for line in (change.before, change.after):
        sides += ["", "", "", ""] if line is None else [
            "-".join((line.code, *line.modifiers)), line.units, line.day.isoformat(), line.hold or ""]  # fmt: skip
    line = change.line
    return ["line", patient, change.effect, line.bill, line.course, *sides, change.decided_before,
            change.decided_after, change.reason, "", "", "", "", "", "", ""]  # fmt: skip


def _posting_cells(one: Foreseen) -> list[Any]:
    code = "-".join(filter(None, (one.code, one.modifiers)))
    return ["correction", one.patient, "", one.bill, one.course, "", "", "", "", code, one.units,
            one.day.isoformat(), "", "", "", "", one.destination, one.kind, one.id, one.credits or "", one.cause,
            one.stands_as, "yes" if one.pending else ""]  # fmt: skip


def _unsendable_cells(one: Unsendable) -> list[Any]:
    return ["unsendable", one.patient, *[""] * 13, one.reason, one.destination, *[""] * 6]


# -- where the events come from --------------------------------------------------------------------------------


def _side(mappings: Path, official: Path | None, config: Config | None = None) -> Side:
    site = load_site(mappings)
    if config is not None:
        site, official = as_configured(site, config), official or official_db(config)
    return Side(site, site_edits(site, official))


def _over_books(told: _Told, rules: Path, config_path: Path | None, mappings: Path | None, span: Span,
                official: Path | None, quiet: bool) -> whatif_page.Title:  # fmt: skip
    config = found_config(config_path)
    path = Path(config.store.path)
    if not path.exists():
        raise LedgerError(f"{path.name}: there are no books yet; compare with --archive or --cases")
    base, draft = (_side(folder, official, config) for folder in (mappings or Path(config.rules.mappings), rules))
    with opened(config) as connection:
        now = waits(connection)
        in_force = site_in_force(config, connection)
        if mappings is None or base.site.digest == in_force.digest:
            # What computes: not what the folder says meanwhile, and earlier dates by tables that only the books have.
            base = Side(in_force, site_edits(in_force, official or official_db(config)))
        ((total,),) = connection.execute("select count(*) from event")
        # What is read once and kept need not be looked at by the collector again and again.
        settled()
        with _Watch(total, "events", quiet) as watch:
            compared(connection, base, draft, span, told.tally, told.say, watch.seen)
    warnings = []
    if now.active != base.site.digest:
        warnings.append("the site's folder is not what was activated last, so 'before' is the folder; the corrections"
                        " are against what stands")  # fmt: skip
    if now.messages:
        warnings.append(f"{now.messages:,} stored messages are not yet worked through")
    if now.parked:
        warnings.append(f"{now.parked:,} messages that could not be read will be tried again by an activation")
    return _title(base, draft, "everything ever heard", span, warnings)


def _without_books(told: _Told, rules: Path, mappings: Path | None, cases: tuple[Path, ...],
                   archives: tuple[Path, ...], span: Span, as_of: Any, official: Path | None,
                   quiet: bool) -> whatif_page.Title:  # fmt: skip
    base, draft = _side(found_mappings(mappings), official), _side(rules, official)
    if cases:
        paths = archive.files(cases)
        tallied(of_cases(paths, base, draft), base, draft, span, told.tally, told.say)
        return _title(base, draft, f"{told.tally.patients:,} runs of cases", span, [])
    size = archive.size(archives)
    with tempfile.TemporaryDirectory(prefix="radcharge-") as folder, _Watch(size, "bytes", quiet) as watch:
        hearings = []
        for name, side in (("before", base), ("after", draft)):
            (Path(folder) / name).mkdir()
            hearings.append(Hearing(side.site, Path(folder) / name))
        for file, entry in archive.messages(archives, watch.seen):
            if entry.problem is None:
                for hearing in hearings:
                    hearing.hear(file, entry.number, entry.raw)
        pairs = of_archive(hearings[0], hearings[1], base, draft, as_of.date() if as_of else None)
        tallied(pairs, base, draft, span, told.tally, told.say)
    parked = [len(hearing.parked) for hearing in hearings]
    warnings = [f"{parked[0]:,} messages or lines could not be read before, {parked[1]:,} after"] if any(parked) else []
    return _title(base, draft, f"an archive of {hearings[0].counts['messages']:,} messages", span, warnings)


class _Watch:
    """Shows how far a comparison is: a bar, or where no terminal watches a plain line every ten seconds."""

    def __init__(self, total: int, what: str, quiet: bool) -> None:
        self._total, self._what, self._quiet = total, what, quiet
        self._done = 0
        self._started = self._told = time.monotonic()
        self._bar = bar(TextColumn("{task.percentage:.0f} %"), TextColumn("{task.fields[rate]}"), quiet=quiet)
        self._task = self._bar.add_task("comparing; nothing is sent", total=total, rate="")

    def __enter__(self) -> _Watch:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def seen(self, count: int) -> None:
        """Go on by some events, or bytes."""
        self._done += count
        now = time.monotonic()
        rate = f"{self._done / max(now - self._started, 1e-9):,.0f} {self._what}/s"
        self._bar.update(self._task, advance=count, rate=rate)
        if self._bar.disable and not self._quiet and now - self._told >= 10:
            self._told = now
            click.echo(f"comparing; nothing is sent: {self._done:,} of {self._total:,} {self._what}, {rate}", err=True)


def _title(base: Side, draft: Side, source: str, span: Span, warnings: list[str]) -> whatif_page.Title:
    dates = "all dates of service"
    if span.first or span.last:
        dates = f"dates of service {span.first or 'from the first'} to {span.last or 'the last'}"
    return whatif_page.Title(f"tables {base.site.digest[:12]}", f"draft {draft.site.digest[:12]}", source, dates,
                             tuple(warnings))  # fmt: skip


# -- what is printed -------------------------------------------------------------------------------------------


def _say(title: whatif_page.Title, told: _Told, seconds: float) -> None:
    tally = told.tally
    click.echo(f"{title.base} against {title.draft}; {title.source}; {title.dates}")
    for warning in title.warnings:
        click.echo(f"note: {warning}")
    effects = [("unchanged", f"{tally.unchanged:,}"), *((e, f"{tally.effects[e]:,}") for e in EFFECTS)]
    say_table("\nEffect", ["", "lines"], effects, ["lines"])
    folded = tally.folded()
    if folded:
        codes = [row for row in whatif_page.code_rows(tally) if row[4]]
        say_table("\nUnits by code, where they differ", ["bill", "code", "before", "after"],
                  [row[:4] for row in codes], ["before", "after"])  # fmt: skip
        say_table("\nGroups (same cause folded)", ["", "effect", "cause", "lines", "courses", "codes", "for example"], [
            (whatif_page.letter(n), cause.effect, whatif_page.told(cause), group.lines, group.courses,
             whatif_page.codes_told(group, 2), " ".join(course for _, course in group.samples[:2]))
            for n, (cause, group) in enumerate(folded[:GROUPS_SHOWN])], ["lines", "courses"])  # fmt: skip
        if len(folded) > GROUPS_SHOWN:
            click.echo(f"... and {len(folded) - GROUPS_SHOWN} more groups; see them with --html or --json")
    if tally.flags:
        say_table("\nWork items", ["reason", "raised", "gone"], whatif_page.flag_rows(tally), ["raised", "gone"])
    for side, why, count in whatif_page.failed_rows(tally):
        click.echo(f"not reckoned {side}: {count:,} patients: {why}")
    if told.totals.counts:
        say_table("\nCorrections, if activated for the past too", ["destination", "kind", "the charge was", "postings",
                  "units"], whatif_page.total_rows(told.totals), ["postings", "units"])  # fmt: skip
        if told.totals.pending:
            click.echo(f"{told.totals.pending:,} of these are due under the tables of today too")
    for destination, reason, count in whatif_page.unsendable_rows(told.totals):
        click.echo(f"{count:,} corrections to {destination} could not be put into a message: {reason}")
    click.echo(f"\n{tally.events:,} events, {tally.patients:,} patients; {seconds:.1f} s, "
               f"{tally.events / max(seconds, 1e-9):,.0f} a second. Nothing was sent.")  # fmt: skip


def _say_json(title: whatif_page.Title, told: _Told) -> None:
    tally = told.tally
    postings = told.totals.counts.total()
    say_json({
        "base": title.base, "draft": title.draft, "source": title.source, "dates": title.dates,
        "warnings": title.warnings, "events": tally.events, "patients": tally.patients,
        "unchanged": tally.unchanged, "effects": {effect: tally.effects[effect] for effect in EFFECTS},
        "by_code": [dict(zip(("bill", "code", "before", "after", "change"), row, strict=True))
                    for row in whatif_page.code_rows(tally)],
        "by_row": [dict(zip(("row", *EFFECTS), row, strict=True)) for row in whatif_page.row_rows(tally)],
        "groups": [{**cause._asdict(), "lines": group.lines, "courses": group.courses,
                    "codes": [[*codes, count] for codes, count in sorted(group.codes.items())],
                    "samples": group.samples} for cause, group in tally.folded()],
        "flags": whatif_page.flag_rows(tally), "failed": whatif_page.failed_rows(tally),
        "corrections": [one._asdict() for one in told.foreseen],
        "corrections_left_out": postings - len(told.foreseen), "pending": told.totals.pending,
        "unsendable": whatif_page.unsendable_rows(told.totals),
        "corrections_by": [dict(zip(("destination", "kind", "charge_was", "postings", "units"), row, strict=True))
                           for row in whatif_page.total_rows(told.totals)],
    })  # fmt: skip
