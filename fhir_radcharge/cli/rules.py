"""`rules`: which tables compute, let others compute, and read what was heard again."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import sys
import tempfile
from collections import Counter
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import click

from fhir_radcharge import editions
from fhir_radcharge.cli import activating
from fhir_radcharge.cli.bars import bar, counted
from fhir_radcharge.cli.deciding import decide, who_and_why
from fhir_radcharge.cli.explain import opened
from fhir_radcharge.cli.shared import config_option, found_config, json_option, say_json, say_table, utc_now
from fhir_radcharge.config import Config
from fhir_radcharge.control import act
from fhir_radcharge.control.rereading import Reread, rereadings
from fhir_radcharge.errors import TableError, UnsafeError
from fhir_radcharge.explain.words import listed, time_words
from fhir_radcharge.plural import number_of
from fhir_radcharge.serving import site_of
from fhir_radcharge.site import digest_of, load_site
from fhir_radcharge.tables.policy import load_sources
from fhir_radcharge.tables.rulebook import load_rulebook, problems
from fhir_radcharge.tables.site_words import site_problems
from fhir_radcharge.wire.fhir.definitions import charge_item_definitions

_PART = 500
_SAMPLES = 10


@click.group()
def rules() -> None:
    """Say which tables compute, activate others, or read what was heard again with them."""


@rules.command()
@config_option
@json_option
def status(config_path: Path | None, as_json: bool) -> None:
    """Say which tables compute, since when and by whom, and how the files here differ; exit 1 if they do."""
    config = found_config(config_path)
    mappings = config.rules.mappings
    here = digest_of(mappings)
    with opened(config) as books:
        active = _activations(books)
        changed = _changed(books, active[0]["digest"] if active else None, mappings)
        spans = editions.spans(lambda sql, values: books.execute(sql, values).fetchall())
    same = bool(active) and active[0]["digest"] == here
    if as_json:
        say_json(
            {"here": here, "active": active[0]["digest"] if active else None, "changed": changed, "activations": active,
             "in_force": [{"digest": span.digest, "from": span.first} for span in spans]}
        )  # fmt: skip
        sys.exit(0 if same else 1)
    zone = ZoneInfo(config.site.timezone)
    click.echo(f"here    {here[:16]}")
    for row in active[:1]:
        at = time_words(row["at"], zone)
        click.echo(f"active  {row['digest'][:16]} since {at}, scope {row['scope']}, by {row['by']}: {row['why']}")
    for span, following in pairwise(spans):
        click.echo(f"        {span.digest[:16]} decides dates of service before {following.first}")
    if not active:
        click.echo("active  none: nothing is computed until tables are activated")
    _say_changed(changed)
    sys.exit(0 if same else 1)


@rules.command()
@click.option(
    "--scope",
    type=click.Choice(["new", "all"]),
    default="new",
    show_default=True,
    help="new: dates of service from --from on; all: every date, which may credit and charge again.",
)
@click.option(
    "--from", "first", type=click.DateTime(["%Y-%m-%d"]), help="The first date of service; else the facility's today."
)
@click.option("--yes", is_flag=True, help="Let lines of the past change, or credits go, as was shown.")
@click.option("--second-person", help="Who else agreed, where more credits would go than may go unasked.")
@who_and_why
def activate(
    scope: str, first: Any, yes: bool, second_person: str | None, by: str, why: str, config_path: Path | None,
    as_json: bool,
) -> None:  # fmt: skip
    """Show what the tables of this folder would change, then let them compute; exit 4 if it may not be.

    Refused while `check` finds anything, while lines of the past would change without --yes, and while more credits
    would go out than the site allows without a second person. The first activation decides all dates of service.
    """
    config = found_config(config_path)
    mappings = config.rules.mappings
    found = _problems(mappings)
    if found:
        for problem in found[:_SAMPLES]:
            click.echo(problem, err=True)
        raise UnsafeError(f"{len(found)} findings in {mappings.name}: mend them, then activate; see `check`")
    site = site_of(config)
    day = activating.first_day(scope, first.date() if first else None, site.today(utc_now()))
    if config.store.path.exists():
        with opened(config) as books:
            active = _activations(books)
            changed = _changed(books, active[0]["digest"] if active else None, mappings)
            seen = activating.seen(config, books, site, scope, day, as_json)
            ((heard,),) = books.execute("select count(*) from message")
    else:
        changed, seen, heard = {"new": sorted(file_hashes(mappings)), "changed": [], "gone": []}, None, 0
    if not as_json:
        _say_changed(changed)
    if seen is not None:
        activating.said(seen, heard, scope, day, as_json)
        activating.refused(seen, scope, yes, second_person, config.credits.per_hour_before_pause)
    args = {
        "digest": site.digest, "scope": scope, "from": day.isoformat() if day else None, "by": by, "why": why,
        "second_person": second_person, "files": file_hashes(mappings),
    }  # fmt: skip
    said = "{digest:.16} computes now, scope {scope}; patients computed again: {patients}"
    decide(config_path, "activate", args, said, as_json)


@rules.command()
@click.argument("names", metavar="[DIGEST] DIR", nargs=-1, required=True)
@click.option("--fhir", is_flag=True, help="Write one ChargeItemDefinition for each code and span of dates instead.")
@config_option
@json_option
def export(names: tuple[str, ...], fhir: bool, config_path: Path | None, as_json: bool) -> None:
    """Write the tables that begin with DIGEST, byte for byte, from the books into the new folder DIR.

    With --fhir the tables are written as FHIR resources; without DIGEST those of the site's folder.
    """
    if len(names) > 2:
        raise click.UsageError("name one DIGEST and one DIR")
    digest, folder = names[0] if len(names) == 2 else None, Path(names[-1])
    if folder.exists() and any(folder.iterdir()):
        raise UnsafeError(f"{folder.name} is not empty; name a new folder")
    if digest is None and not fhir:
        raise click.UsageError("name the DIGEST of the tables; `rules status` shows which were activated")
    config = found_config(config_path)
    with ExitStack() as kept:
        mappings = config.rules.mappings
        if digest is not None:
            with opened(config) as books:
                digest, body = editions.named(lambda sql, values: books.execute(sql, values).fetchall(), digest)
            mappings = Path(kept.enter_context(tempfile.TemporaryDirectory(prefix="radcharge-"))) if fhir else folder
            count = editions.written(body, mappings)
        if fhir:
            count = _written_as_fhir(mappings, folder)
    if as_json:
        say_json({"digest": digest, "folder": str(folder), "files": count})
    else:
        click.echo(f"{number_of(count, 'file')} written to {folder}")


def _written_as_fhir(mappings: Path, folder: Path) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    count = 0
    sources = load_sources(mappings / "sources.yaml")
    for name, resource in charge_item_definitions(load_rulebook(mappings), sources):
        text = json.dumps(resource, ensure_ascii=False, indent=2) + "\n"
        (folder / f"{name}.json").write_text(text, encoding="utf-8")
        count += 1
    return count


@rules.command()
@click.option(
    "--apply", "by_why", nargs=2, metavar="BY WHY", help="Append what differs; who and why are kept in the books."
)
@config_option
@json_option
def reread(by_why: tuple[str, str] | None, config_path: Path | None, as_json: bool) -> None:
    """Read every stored message with today's profiles and show what they say otherwise; exit 1 if anything."""
    config = found_config(config_path)
    counts, samples = _reread(config, as_json, by_why)
    if as_json:
        say_json({"counts": counts, "samples": [_sample(one) for one in samples], "applied": by_why is not None})
    else:
        if samples:
            say_table(
                "",
                ["message", "event", "what", "differs"],
                [
                    (f"#{s['message']}", f"{s['kind']} {s['event']}", s["what"], "; ".join(s["changes"]))
                    for s in map(_sample, samples)
                ],
            )
        done = (
            "appended; what is due is computed anew" if by_why else "nothing was changed; --apply BY WHY appends them"
        )
        total = sum(counts.values())
        words = listed([f"{count} {what}" for what, count in counts.items() if count])
        said = f"{number_of(total, 'difference')} ({words}): {done}"
        click.echo(said if total else "every message says what the books have")
    sys.exit(1 if sum(counts.values()) and not by_why else 0)


def file_hashes(mappings: Path) -> dict[str, str]:
    """Return the SHA-256 of every file of a folder of tables, by its relative name."""
    files = (path for path in mappings.rglob("*") if path.is_file())
    named = {path.relative_to(mappings).as_posix(): path for path in files}
    return {
        name: hashlib.sha256(path.read_bytes()).hexdigest()
        for name, path in sorted(named.items())
        if not any(part.startswith((".", "__")) for part in name.split("/"))
    }


def _reread(config: Config, quiet: bool, by_why: tuple[str, str] | None) -> tuple[Counter[str], list[Reread]]:
    site = load_site(config.rules.mappings)
    counts: Counter[str] = Counter()
    samples: list[Reread] = []
    with opened(config) as books:
        (newest,) = books.execute("select coalesce(max(number), 0) from message").fetchone()
        read = lambda sql, values: books.execute(sql, values).fetchall()  # noqa: E731
        with bar(counted("messages"), quiet=quiet) as progress:
            task = progress.add_task("reading again; nothing is sent", total=newest)
            for after in range(0, newest, _PART):
                upto = min(after + _PART, newest)
                found = list(rereadings(read, site, after, upto, 0))
                counts.update(one.what for one in found)
                samples += found[: _SAMPLES - len(samples)]
                if by_why and found:
                    by, why = by_why
                    act(config, "reread", {"after": after, "upto": upto, "by": by, "why": why}, 600.0)
                progress.update(task, completed=upto)
    return counts, samples


def _sample(one: Reread) -> dict[str, Any]:
    return {
        "message": one.message,
        "event": one.event.id,
        "kind": one.event.kind,
        "what": one.what,
        "changes": one.changes,
    }


def _problems(mappings: Path) -> list[str]:
    try:
        site = load_site(mappings)
        return [*problems(site.rulebook, mappings), *site_problems(site, mappings)]
    except TableError as error:
        return str(error).splitlines()


def _activations(books: sqlite3.Connection) -> list[dict[str, Any]]:
    rows = books.execute("select digest, scope, by, why, at from activation order by number desc").fetchall()
    return [dict(zip(("digest", "scope", "by", "why", "at"), row, strict=True)) for row in rows]


def _changed(books: sqlite3.Connection, digest: str | None, mappings: Path) -> dict[str, list[str]]:
    """Return which files are new, changed or gone since the tables of a digest were activated."""
    if digest == digest_of(mappings):
        return {"new": [], "changed": [], "gone": []}
    before = _hashes(books, digest) if digest is not None else {}
    now = file_hashes(mappings)
    return {
        "new": [name for name in now if name not in before],
        "changed": [name for name in now if name in before and before[name] != now[name]],
        "gone": [name for name in before if name not in now],
    }


def _hashes(books: sqlite3.Connection, digest: str) -> dict[str, str]:
    """Return the SHA-256 of each file of activated tables; books of an earlier version have hashes and no files."""
    body = editions.kept(lambda sql, values: books.execute(sql, values).fetchall(), digest)
    if body is not None:
        return {name: hashlib.sha256(content).hexdigest() for name, content in editions.unpacked(body)}
    row = books.execute(
        "select detail from decision where kind = 'tables' and subject = ? order by number desc limit 1", (digest,)
    ).fetchone()
    found: dict[str, str] = json.loads(row[0])["files"] if row else {}
    return found


def _say_changed(changed: dict[str, list[str]]) -> None:
    for what, names in changed.items():
        if names:
            click.echo(f"{what:<8}{listed(names)}")
    if not any(changed.values()):
        click.echo("no file differs from those that compute")
