"""One binary, `fhir-radcharge`: each verb stands in its own module and is loaded when it is called.

Exit codes: 0 fine, 1 findings, 2 usage or configuration, 3 unavailable, 4 unsafe and refused.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

import click

from fhir_radcharge import __version__
from fhir_radcharge.errors import (
    ConfigError,
    LedgerError,
    MessageError,
    RadchargeError,
    TableError,
    UnsafeError,
)

VERBS = {
    "serve": "run the engine: listeners, books, links",
    "demo": "a simulated department, the engine and a fake biller, on invented patients",
    "simulate": "write whole courses as messages, with the lines that they must yield",
    "replay": "run stored or archived messages through the engine; report only",
    "verify": "run coding cases against the tables",
    "check": "prove the tables, profiles and sources of a site",
    "lint": "look for what is wrong in HL7 messages",
    "explain": "say why a charge exists, or why not",
    "queue": "what waits for a person: list, release, dismiss, arrived, resend, not-arrived",
    "reconcile": "sessions delivered against charges and answers",
    "diff": "what other tables would change, over everything ever heard",
    "rules": "activate tables; see which compute",
    "import": "load opening charges, or the official files that you downloaded",
    "pause": "stop sending to a destination; what is due is kept",
    "resume": "send to a paused destination again",
    "drain": "send what waits at a destination and compute nothing new for it",
    "shadow": "compute and compare for a destination, and send nothing",
    "live": "send to a destination in earnest",
    "books": "check the books: invariants and the hash chain",
}
_MODULES = {"import": "imports", "pause": "destinations", "resume": "destinations", "drain": "destinations",
            "shadow": "destinations", "live": "destinations"}  # fmt: skip

EXIT_FINDINGS, EXIT_USAGE, EXIT_UNAVAILABLE, EXIT_UNSAFE = 1, 2, 3, 4


class _Verbs(click.Group):
    """The verbs, each imported when it is called, so that a short verb stays quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in VERBS:
            return None
        module = importlib.import_module(f"fhir_radcharge.cli.{_MODULES.get(name, name)}")
        command: Any = getattr(module, name.replace("-", "_") + ("_" if name == "import" else ""))
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl(list(VERBS.items()))


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="fhir-radcharge")
def cli() -> None:
    """A charge engine for radiation oncology, beside your interface engine."""


def exit_code(error: RadchargeError) -> int:
    """Return the exit code for an error."""
    if isinstance(error, UnsafeError):
        return EXIT_UNSAFE
    if isinstance(error, LedgerError):
        return EXIT_UNAVAILABLE
    if isinstance(error, ConfigError | TableError):
        return EXIT_USAGE
    return EXIT_FINDINGS if isinstance(error, MessageError) else EXIT_USAGE


def main() -> None:
    """Run a verb; what goes wrong is said in a sentence, never as a traceback."""
    try:
        cli.main(standalone_mode=False)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.Abort:
        click.echo("stopped", err=True)
        sys.exit(EXIT_USAGE)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except RadchargeError as error:
        click.echo(str(error), err=True)
        sys.exit(exit_code(error))
    except BrokenPipeError:
        sys.exit(0)
