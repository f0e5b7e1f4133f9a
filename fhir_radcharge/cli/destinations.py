"""`pause`, `resume`, `drain`, `shadow`, `live`: what goes to a destination, decided by a person."""

from __future__ import annotations

from pathlib import Path

import click

from fhir_radcharge.cli.deciding import decide, who_and_why


def _verb(name: str, help_: str, said: str) -> click.Command:
    @click.command(name, help=help_)
    @click.argument("destination")
    @who_and_why
    def verb(destination: str, by: str, why: str, config_path: Path | None, as_json: bool) -> None:
        args = {"destination": destination, "by": by, "why": why}
        decide(config_path, name, args, f"{{destination}}: {said}; {{waiting}} messages wait", as_json)

    return verb


pause = _verb("pause", "Stop sending to DESTINATION; what is due is computed and kept.", "paused")
resume = _verb("resume", "Send to a paused DESTINATION again.", "SENDING again")
drain = _verb(
    "drain", "Send what waits at DESTINATION and compute nothing new for it.", "draining, nothing new is computed"
)
shadow = _verb("shadow", "Compute for DESTINATION, and send nothing.", "a shadow, nothing is sent")
live = _verb("live", "Send to DESTINATION in earnest.", "live, SENDING")
