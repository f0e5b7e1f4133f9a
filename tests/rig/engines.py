"""Makes the engine under test: the real rooms over a real SQLite file, and opens it again after each death."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from fhir_radcharge.engine import Engine
from fhir_radcharge.ledger import Ledger
from fhir_radcharge.site import Site, load_site
from fhir_radcharge.tables.rulebook import load_rulebook

ROOT = Path(__file__).resolve().parents[2]
_MEMORY = Path("/dev/shm")


class Opened(NamedTuple):
    """One life of the engine."""

    engine: Engine
    ledger: Ledger


Factory = Callable[[Path, Any, Callable[[], datetime]], Opened]


def open_engine(path: Path, site: Any, clock: Callable[[], datetime]) -> Opened:
    """Open the books, new or old, and return an engine over them whose tables are activated."""
    if not path.exists():
        secret = path.with_name(path.name + ".secret")
        secret.write_bytes(b"the secret of a simulated site..")  # fixed, so that ids repeat with the seed
        secret.chmod(0o600)
    ledger = Ledger(path)
    try:
        engine = Engine(ledger, site, clock)
        newest = ledger.read("select digest from activation order by number desc limit 1")
        if newest != [(site.digest,)]:
            engine.decisions.activate(site.digest, "all", "rig", "the tables of the run")
    except BaseException:
        ledger.close()
        raise
    return Opened(engine, ledger)


@cache
def shipped_site() -> Site:
    """Return the site that is shipped: its senders, destinations and rules."""
    site = load_site(ROOT / "mappings")
    return site if site.rulebook is not None else replace(site, rulebook=load_rulebook(ROOT / "mappings"))


_TURNED: tuple[dict[str, Any], ...] = (
    {"mgmt_date": "first", "port_image_basis": "per_group", "guidance_modifier_2026_office": "none"},
    {"mgmt_units": "fractions", "physics_remainder_min": 1, "hospital_packaged_lines": "suppress"},
    {"delivery_set_pre2026": "cpt", "guidance_set_pre2026": "77387", "unapproved_image": "drop"},
    {"mgmt_group_size": 4, "bid_second_session": "76", "physics_date": "check_date"},
)


@cache
def turned_sites() -> tuple[Site, ...]:
    """Return the shipped site under other readings of the rules, each with a digest of its own."""
    site = shipped_site()
    books = [replace(site.rulebook, policy=site.rulebook.policy.overridden(knobs)) for knobs in _TURNED]
    return tuple(
        replace(site, rulebook=book, digest=f"{site.digest[:60]}-{number}") for number, book in enumerate(books)
    )


def folder() -> tempfile.TemporaryDirectory[str]:
    """Return a new folder in memory where there is one."""
    return tempfile.TemporaryDirectory(prefix="rig", dir=_MEMORY if _MEMORY.is_dir() else None)
