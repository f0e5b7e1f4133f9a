"""`queue`: what waits for a person, and what a person says of it."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import click

from fhir_radcharge.cli.deciding import decide, who_and_why
from fhir_radcharge.cli.explain import opened
from fhir_radcharge.cli.shared import config_option, found_config, json_option, say_json, utc_now
from fhir_radcharge.control import act
from fhir_radcharge.explain import found
from fhir_radcharge.explain.words import item_words, listed, time_words
from fhir_radcharge.ledger import queries
from fhir_radcharge.model import MISSABLE
from fhir_radcharge.plural import number_of
from fhir_radcharge.tables.policy import load_reasons

Row = dict[str, Any]
# One bad message may raise thousands of items; this many of them show what is wrong with it.
OF_A_MESSAGE = 5


def filters(command: Any) -> Any:
    """Add the options by which a list is narrowed."""
    for option in (
        click.option("--owner", help="Only what this role is asked: physician, coder, biller, ..."),
        click.option("--reason", help="Only items with this reason."),
        click.option("--category", help="Only items of this category: hold, flag, refused, unanswered, ..."),
        click.option("--course", help="Only items of this course."),
        click.option("--check", is_flag=True, help="Exit 1 when anything is left in the list (for cron)."),
    ):
        command = option(command)
    return config_option(json_option(command))


@click.group(invoke_without_command=True)
@filters
@click.pass_context
def queue(ctx: click.Context, /, **options: Any) -> None:
    """List what waits for a person, or say something of an item (its KEY stands in the list)."""
    if ctx.invoked_subcommand is None:
        _list(**options)
    else:
        ctx.obj = options["config_path"]


@queue.command("list")
@filters
def list_(**options: Any) -> None:
    """List what waits for a person, the oldest first."""
    _list(**options)


@queue.command()
@click.argument("key")
@config_option
@json_option
@click.pass_context
def show(ctx: click.Context, key: str, config_path: Path | None, as_json: bool) -> None:
    """Show an item: what it means, since when, what was said of it, and what ends it."""
    config = found_config(config_path or ctx.obj)
    with opened(config) as books:
        reasons = _reasons(config.rules.mappings)
        past = queries.history(books, key)
        if not past:
            click.echo(f"no item is or was called '{key}'; see `queue`", err=True)
            sys.exit(1)
        item = past[-1]
        said = [row for row in queries.decisions(books) if key in row["subject"].split("/")]
    words = item_words(item["category"], item["reason"], reasons)
    if as_json:
        say_json({**item, **words._asdict(), "open": item["action"] == "held", "history": past, "decisions": said})
        return
    zone = ZoneInfo(config.site.timezone)
    click.echo(f"{key}  {item['category']} {item['reason']}  {'open' if item['action'] == 'held' else 'closed'}")
    for label, text in (
        ("means", words.meaning),
        ("place", item["place"]),
        ("note", item["note"]),
        ("owner", words.owner),
        ("way out", words.way_out),
        ("patient", str(item["patient"] or "")),
        ("course", item["course"]),
        ("at", item["destination"]),
        ("message", f"#{item['message']}" if item["message"] else ""),
    ):
        if text:
            click.echo(f"  {label:<10}{text}")
    for row in past:
        click.echo(f"  {row['action']:<10}{time_words(row['at'], zone)}")
    for row in said:
        click.echo(f"  {_said(row):<10}{time_words(row['at'], zone)} by {row['by']}: {row['why']}")


@queue.command()
@click.argument("key")
@click.option("--modifier", "modifiers", multiple=True, help="A modifier that the released line carries, such as 59.")
@who_and_why
@click.pass_context
def release(
    ctx: click.Context, key: str, modifiers: tuple[str, ...], by: str, why: str, config_path: Path | None, as_json: bool
) -> None:
    """Let an item go on: a held line is charged, a message read again, a refused line said anew."""
    args = {"key": key, "modifiers": list(modifiers), "by": by, "why": why}
    decide(config_path or ctx.obj, "release", args, f"{key}: released", as_json)


@queue.command()
@click.argument("key")
@click.option("--what", type=click.Choice(MISSABLE), required=True, help="What was missing and is there now.")
@who_and_why
@click.pass_context
def supply(ctx: click.Context, key: str, what: str, by: str, why: str, config_path: Path | None, as_json: bool) -> None:
    """Say that what the course of a held line lacked is there now."""
    args = {"key": key, "what": what, "by": by, "why": why}
    decide(config_path or ctx.obj, "supply", args, f"{key}: {what} supplied", as_json)


def _plain(name: str, help_: str, said: str) -> None:
    """Make a verb that needs no more than the item, who and why."""

    @queue.command(name, help=help_)
    @click.argument("key")
    @who_and_why
    @click.pass_context
    def verb(ctx: click.Context, key: str, by: str, why: str, config_path: Path | None, as_json: bool) -> None:
        args = {"key": key, "by": by, "why": why}
        decide(config_path or ctx.obj, name.replace("-", "_"), args, f"{key}: {said}", as_json)


@queue.command()
@click.argument("key", required=False)
@click.option("--message", help="Instead of KEY: every open item of this message, by its number or control id.")
@who_and_why
@click.pass_context
def dismiss(
    ctx: click.Context, key: str | None, message: str | None, by: str, why: str, config_path: Path | None, as_json: bool
) -> None:
    """Say that nothing more will be done about an item, or about all that one message raised."""
    if (key is None) == (message is None):
        raise click.UsageError("name the KEY of an item, or a --message")
    path = config_path or ctx.obj
    if message is None:
        said = f"{key}: dismissed; it opens again if what is due changes"
        decide(path, "dismiss", {"key": key, "by": by, "why": why}, said, as_json)
        return
    with opened(found_config(path)) as books:
        number = int(found(books, message, kind="message").name)
    result = act(found_config(path), "dismiss_message", {"message": number, "by": by, "why": why})
    if as_json:
        say_json(result)
    else:
        click.echo(f"message #{number}: {number_of(len(result['dismissed']), 'item')} dismissed")


_plain("arrived", "Say that an unanswered message arrived.", "arrived; its course goes on")
_plain("resend", "Say an unanswered message again, in the same bytes.", "it will be sent again, in the same bytes")
_plain("not-arrived", "Say that an unanswered message never arrived.", "never arrived; what is due is said anew")


def _list(
    owner: str | None,
    reason: str | None,
    category: str | None,
    course: str | None,
    check: bool,
    config_path: Path | None,
    as_json: bool,
) -> None:
    config = found_config(config_path)
    with opened(config) as books:
        reasons = _reasons(config.rules.mappings)
        rows = [_row(item, reasons) for item in queries.queue(books, category)]
    wanted = {"owner": owner, "reason": reason, "course": course}
    rows = [row for row in rows if all(value in (None, row[name]) for name, value in wanted.items())]
    if as_json:
        say_json(rows)
    elif not rows:
        click.echo("nothing waits for a person")
    else:
        _say(rows)
    sys.exit(1 if check and rows else 0)


def _say(rows: list[Row]) -> None:
    """Say each reason once, with what it means and what ends it, and below it the items that wait for it."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["category"], row["reason"]), []).append(row)
    for (category, reason), items in groups.items():
        name = category if category == reason else f"{category} {reason}"
        click.echo(f"{name}: {items[0]['meaning']}\n  {items[0]['owner']} is asked; way out: {items[0]['way_out']}")
        for row in _folded(items):
            click.echo(f"  {row['key']}  {row['age']:>6}  {_where(row)}{row.get('more', '')}")
    counts = Counter(row["owner"] for row in rows)
    owners = listed([f"{count} for {name}" for name, count in counts.most_common()])
    click.echo(f"{number_of(len(rows), 'item')}: {owners}")


def _folded(items: list[Row]) -> Iterator[Row]:
    """Yield the items of a reason; of those that one message raised in numbers, some, and how many more there are."""
    of_message = Counter(row["message"] for row in items if not row["course"])
    shown: Counter[int] = Counter()
    for row in items:
        number = row["message"]
        many = of_message[number] - OF_A_MESSAGE if number and not row["course"] else 0
        shown[number] += many > 0
        if many > 0 and shown[number] == OF_A_MESSAGE:
            yield {**row, "more": _more(many, number)}
        elif many <= 0 or shown[number] < OF_A_MESSAGE:
            yield row


def _more(many: int, number: int) -> str:
    every = f"all with --json; all at once: `queue dismiss --message {number}`"
    return f", and {many:,} more of message #{number} ({every})"


def _said(decision: Row) -> str:
    """Return what a person did; what is supplied is named by its event: `release/KEY/1`."""
    return str(decision["subject"].partition("/")[0] if decision["kind"] == "supply" else decision["kind"])


def _row(item: Row, reasons: Any) -> Row:
    words = item_words(item["category"], item["reason"], reasons)
    return {**item, "age": _age(item["since"]), **words._asdict()}


def _where(row: Row) -> str:
    parts = [row["course"], row["place"], row["destination"], f"#{row['message']}" if row["message"] else ""]
    if row["category"] in ("rule_error", "defect") and row["patient"]:
        # These stop all of a patient: no course and no message is named.
        parts.insert(0, f"patient {row['patient']}")
    if row["category"] in ("unreadable", "notice", "refused", "unanswered", "not_taken", "unsendable", "rule_error"):
        parts.append(row["note"])
    return " ".join(part for part in parts if part)


def _age(since: str) -> str:
    """Return for how long an item waits, in the largest unit that is whole."""
    seconds = (utc_now() - datetime.fromisoformat(since.replace("Z", "+00:00"))).total_seconds()
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return "now"


def _reasons(mappings: Path) -> Any:
    return {reason.reason: reason for reason in load_reasons(mappings / "reasons.yaml")}
