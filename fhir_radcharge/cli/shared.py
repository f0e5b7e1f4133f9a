"""What several verbs share: where the site is, how a table or JSON is printed, how a verb reaches the books."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from fhir_radcharge.config import Config, load
from fhir_radcharge.errors import ConfigError

CONFIGS = (Path("radcharge.toml"), Path("var/demo/radcharge.toml"))
PACKAGED = Path(__file__).resolve().parent.parent / "mappings"


def console() -> Console:
    """Return the terminal; colours are off where it is piped or NO_COLOR is set."""
    return Console(highlight=False, soft_wrap=False)


def config_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--config`: the file of the site."""
    return click.option(
        "--config", "config_path", type=click.Path(path_type=Path), envvar="RADCHARGE_CONFIG",
        help="The site's TOML file; else radcharge.toml here, else that of the last demo.",
    )(command)  # fmt: skip


def json_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--json`: the same answer for machines."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")(command)


def found_config(path: Path | None) -> Config:
    """Return the configuration that is asked for, or the first that is found."""
    if path is not None:
        return load(path)
    for candidate in CONFIGS:
        if candidate.exists():
            return load(candidate)
    raise ConfigError("there is no radcharge.toml here; name one with --config, or run `fhir-radcharge demo` first")


def found_mappings(path: Path | None) -> Path:
    """Return the folder of tables: the one named, the configured one, `mappings/` here, or those of the package."""
    if path is not None:
        return path
    for candidate in CONFIGS[:1]:
        if candidate.exists():
            return Path(load(candidate).rules.mappings)
    here = Path("mappings")
    if here.is_dir():
        return here
    return PACKAGED if PACKAGED.is_dir() else PACKAGED.parent.parent / "mappings"


def say_json(value: Any) -> None:
    """Print a value as one JSON text; dates as ISO, bytes as text."""
    click.echo(json.dumps(value, default=_plain, ensure_ascii=False, indent=None if _piped() else 2))


def _piped() -> bool:
    return not os.isatty(1)


def _plain(value: Any) -> Any:
    if isinstance(value, date | datetime):
        return value.isoformat()
    if isinstance(value, Decimal | Path):
        return str(value)
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, frozenset | set):
        return sorted(value)
    raise TypeError(type(value).__name__)


def say_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], numbers: Sequence[str] = ()) -> None:
    """Print rows as a table; columns named in `numbers` are set to the right."""
    table = Table(title=title, title_justify="left", header_style="bold", show_edge=False, pad_edge=False)
    for column in columns:
        table.add_column(column, justify="right" if column in numbers else "left", overflow="fold")
    for row in rows:
        table.add_row(*("" if cell is None else str(cell) for cell in row))
    console().print(table)


def utc_now() -> datetime:
    """Return the time by which things are labelled; nothing is computed from it."""
    return datetime.now(UTC)
