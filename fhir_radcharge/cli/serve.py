"""`serve`: the engine as a service."""

from __future__ import annotations

from pathlib import Path

import click

from fhir_radcharge.cli.shared import config_option, found_config
from fhir_radcharge.control import VERBS
from fhir_radcharge.serving import run


@click.command()
@config_option
def serve(config_path: Path | None) -> None:
    """Run listeners, books and links until SIGTERM; what is outstanding then is drained within ten seconds."""
    run(found_config(config_path), VERBS)
