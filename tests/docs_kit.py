"""The documents as data: their blocks, commands, links and names; and the tables in them that are made."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import click

from fhir_radcharge.cli import VERBS, cli
from fhir_radcharge.tables.policy import load_reasons
from tests.project import MAPPINGS, ROOT

DOCS = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
PROGRAM = "fhir-radcharge"
_BLOCK = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


class Block(NamedTuple):
    """A fenced block: its language, the words behind it, its text, and the line where it begins."""

    language: str
    words: tuple[str, ...]
    text: str
    line: int


class Command(NamedTuple):
    """A command of ours as a document writes it, and the exit code that its comment promises."""

    words: tuple[str, ...]
    exit_code: int
    written: str


def blocks(path: Path) -> list[Block]:
    """Return the fenced blocks of a document."""
    text = path.read_text(encoding="utf-8")
    found = []
    for match in _BLOCK.finditer(text):
        language, *words = match[1].split() or [""]
        found.append(Block(language, tuple(words), match[2], text[: match.start()].count("\n") + 1))
    return found


def prose(path: Path) -> str:
    """Return a document without its fenced blocks."""
    return _BLOCK.sub("", path.read_text(encoding="utf-8"))


def command(line: str) -> Command | None:
    """Return the command of a line of a shell block, None where it is none of ours."""
    told, _, comment = line.partition("  #")
    code = re.search(r"exit (\d)", comment)
    words = shlex.split(told.partition(" # ")[0])
    if not words or words[0].rpartition("/")[2] != PROGRAM:
        return None
    return Command(tuple(words[1:]), int(code[1]) if code else 0, line)


def commands(path: Path) -> list[Command]:
    """Return our commands in the shell blocks of a document."""
    lines = [line for block in blocks(path) if block.language in ("sh", "") for line in block.text.splitlines()]
    return [found for line in lines if (found := command(line)) is not None]


def inline(path: Path) -> list[tuple[str, ...]]:
    """Return our commands that stand in the prose of a document, as words."""
    found = re.findall(rf"`{PROGRAM} ([^`]+)`", prose(path))
    return [tuple(shlex.split(text)) for text in found]


def verb_of(words: tuple[str, ...]) -> tuple[click.Command, list[str]]:
    """Return the verb that words call, and the rest of them."""
    verb: click.Command = cli
    rest = list(words)
    while isinstance(verb, click.Group) and rest and not rest[0].startswith("-"):
        following = verb.get_command(click.Context(verb), rest[0])
        assert following is not None, f"there is no verb '{' '.join(words)}'"
        verb, rest = following, rest[1:]
    return verb, rest


def parsed(words: tuple[str, ...]) -> dict[str, Any]:
    """Return the options and arguments that words give; raise click's error where they do not fit the verb."""
    verb, rest = verb_of(words)
    context = click.Context(verb)
    given, left, _ = verb.make_parser(context).parse_args(rest)
    assert not left or isinstance(verb, click.Group), f"{words}: {left} is not taken"
    return given


def missing(words: tuple[str, ...]) -> list[str]:
    """Return what a verb requires and the words do not give."""
    verb, _ = verb_of(words)
    given = parsed(words)
    return [param.name or "" for param in verb.params if param.required and given.get(param.name or "") in (None, ())]


def wrong_choices(words: tuple[str, ...]) -> list[str]:
    """Return the values that are none of a choice."""
    verb, _ = verb_of(words)
    given = parsed(words)
    choices = {param.name: param.type.choices for param in verb.params if isinstance(param.type, click.Choice)}
    return [str(given[name]) for name, allowed in choices.items() if given.get(name or "") not in (None, *allowed)]


def anchors(path: Path) -> set[str]:
    """Return the names under which the headings of a document are linked."""
    heads = re.findall(r"^#+ (.+)$", prose(path), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def links(path: Path) -> list[str]:
    """Return where the links of a document go, those to the outside left out."""
    found = re.findall(r"\]\(([^)\s]+)\)", prose(path))
    return [link for link in found if not link.startswith(("http:", "https:", "mailto:"))]


# -- tables that are made --------------------------------------------------------------------------------------


def reasons_table() -> str:
    """Return the table of every reason."""
    rows = ["| reason | use | owner | means | way out |", "|---|---|---|---|---|"]
    for one in load_reasons(MAPPINGS / "reasons.yaml"):
        use = ", ".join(["hold"] * one.holds + ["flag"] * one.flags)
        rows.append(f"| `{one.reason}` | {use} | {one.owner} | {one.meaning} | {one.way_out} |")
    return "\n".join(rows)


def verbs_table() -> str:
    """Return the table of every verb with its options."""
    rows = ["| verb | does | options |", "|---|---|---|"]
    for name, verb in every_verb():
        arguments = " ".join(p.make_metavar(click.Context(verb)) for p in verb.params if isinstance(p, click.Argument))
        options = " ".join(f"`{max(p.opts, key=len)}`" for p in verb.params if isinstance(p, click.Option))
        does = VERBS.get(name) or (verb.help or "").split("\n")[0].rstrip(".")
        rows.append(f"| `{f'{name} {arguments}'.strip()}` | {does} | {options} |".replace("|  |", "| |"))
    return "\n".join(rows)


def every_verb() -> Iterator[tuple[str, click.Command]]:
    """Yield every verb and verb of a verb, with its name as one types it."""
    for name in VERBS:
        verb, _ = verb_of((name,))
        yield name, verb
        if isinstance(verb, click.Group):
            yield from ((f"{name} {below}", verb.commands[below]) for below in sorted(verb.commands))


MADE = {"reasons": reasons_table, "verbs": verbs_table}
PAGE = ROOT / "docs" / "operations.md"


def with_made_tables(text: str) -> str:
    """Return a page with its made tables as they must be."""
    for name, make in MADE.items():
        head, tail = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
        before, _, rest = text.partition(head)
        _, _, after = rest.partition(tail)
        text = f"{before}{head}\n{make()}\n{tail}{after}"
    return text


# -- edits -----------------------------------------------------------------------------------------------------


def edited(text: str, hunk: str) -> str:
    """Return a file with the one place changed that a diff block shows."""
    lines = hunk.splitlines()
    old = "".join(f"{line[1:]}\n" for line in lines if line[:1] in " -")
    new = "".join(f"{line[1:]}\n" for line in lines if line[:1] in " +")
    assert f"\n{text}".count(f"\n{old}") == 1, f"the file has not exactly one place with:\n{old}"
    return f"\n{text}".replace(f"\n{old}", f"\n{new}")[1:]
