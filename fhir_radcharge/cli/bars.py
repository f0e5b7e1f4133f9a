"""Progress of long verbs: one line on standard error, and nothing where no terminal watches."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn


def bar(*counts: ProgressColumn, quiet: bool = False) -> Progress:
    """Return a progress bar whose description says in words whether anything is sent."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), *counts, TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal)


def counted(what: str = "") -> ProgressColumn:
    """Return the column that says how many of how many are done."""
    return TextColumn(f"{{task.completed:,.0f}}/{{task.total:,.0f}} {what}".rstrip())
