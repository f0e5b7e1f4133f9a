"""What verbs that write have in common: who decides and why, and the sentence that says what came of it."""

from __future__ import annotations

import getpass
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from fhir_radcharge.cli.shared import config_option, found_config, json_option, say_json
from fhir_radcharge.control import act


def who_and_why(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--by`, `--why`, `--config` and `--json`: a decision is recorded with who and why."""
    by = click.option(
        "--by", default=user, show_default="your user name", help="Who decides; it is kept in the books."
    )
    why = click.option("--why", required=True, help="Why; it is kept in the books.")
    return by(why(config_option(json_option(command))))


def decide(config_path: Path | None, verb: str, args: Mapping[str, Any], said: str, as_json: bool) -> None:
    """Run a writing verb and say what came of it: `said` may name keys of its result."""
    result = act(found_config(config_path), verb, args)
    if as_json:
        say_json(result)
    else:
        click.echo(said.format(**result))


def user() -> str:
    """Return the name of whoever runs this."""
    return getpass.getuser()
