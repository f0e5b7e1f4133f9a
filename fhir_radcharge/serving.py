"""Turns a configuration into a running engine: the site, the books, the edits, and the gateway around them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fhir_radcharge.config import Config
from fhir_radcharge.editions import active, in_force
from fhir_radcharge.engine import Engine
from fhir_radcharge.engine.rooms import rooms
from fhir_radcharge.errors import ConfigError
from fhir_radcharge.gateway.doors import as_configured
from fhir_radcharge.gateway.logs import log
from fhir_radcharge.gateway.roles import Bookkeeper, Ledger, Verb
from fhir_radcharge.gateway.server import serve
from fhir_radcharge.ledger import Ledger as Books
from fhir_radcharge.live_tables import LiveTables, current
from fhir_radcharge.site import Site, load_site

# A gateway that was killed leaves a process behind that keeps what had arrived, closes the books and ends.
LEFT_BEHIND_S = 5.0


def utc_now() -> datetime:
    """Return the time by which things are labelled; nothing is computed from it."""
    return datetime.now(UTC)


def official_db(config: Config) -> Path:
    """Return where a site's imported official tables are: beside the books."""
    return Path(config.store.path).with_name("official.db")


def site_of(config: Config) -> Site:
    """Return the site of a configuration."""
    return as_configured(load_site(Path(config.rules.mappings)), config)


def site_in_force(config: Config, connection: sqlite3.Connection) -> Site:
    """Return the site whose tables compute: those that were activated last, as the books keep them, else the folder's.

    With it come the tables that still decide earlier dates of service.
    """

    def read(sql: str, values: Sequence[Any]) -> Sequence[Any]:
        return connection.execute(sql, values).fetchall()

    computing = active(read)
    return as_configured(computing, config) if computing is not None else in_force(read, site_of(config))


def engine_of(config: Config, site: Site, ledger: Books) -> Engine:
    """Return the engine of a site over its books, with the edits that were imported.

    Tables that are activated later come into force in it; earlier ones are read from the books.
    """
    tables = LiveTables(config, site, ledger.read)
    engine = Engine(
        ledger, tables.site, utc_now, rooms()._replace(charges_due=tables.due),
        credits_per_hour_max=config.credits.per_hour_before_pause,
        strict=frozenset(listen.name for listen in config.listen if listen.strict),
        admitted={listen.name: frozenset(listen.senders) for listen in config.listen},
    )  # fmt: skip
    engine.tables = tables
    engine.follow_activations(tables.follow)
    return engine


def lacking(config: Config, site: Site, ledger: Books) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield what is no mistake and may surprise: a word of the log, and what it is about."""
    if not ledger.read("select 1 from activation limit 1"):
        yield "not_activated", {"so": "messages are kept and nothing is computed; run `fhir-radcharge rules activate`"}
    linked = {send.name for send in config.send}
    for name in sorted(set(site.destinations) - linked):
        yield "not_linked", {"destination": name, "so": "its charges wait in the books; add a [[send]] or `pause` it"}
    if not official_db(config).exists():
        yield "no_official_edits", {"so": "no unit limit and no pair edit is known; `fhir-radcharge import official`"}


def opener(config: Config, site: Site) -> Callable[[], tuple[Bookkeeper, Ledger]]:
    """Return what opens the books: called in the process that then owns them."""

    def opened() -> tuple[Bookkeeper, Ledger]:
        ledger = Books(
            Path(config.store.path), free_bytes_min=config.store.free_mib_min << 20, lock_within_s=LEFT_BEHIND_S
        )
        engine = engine_of(config, site, ledger)
        for word, fields in lacking(config, site, ledger):
            log.warning(word, **fields)
        return engine, ledger

    return opened


def books_folder(path: Path) -> None:
    """Make the folder of the books, unless it is there."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"store.path: {error.strerror}; name a folder that is there or can be made") from None


def run(config: Config, verbs: Mapping[str, Verb]) -> None:
    """Serve until the process is told to stop."""
    site = current(site_of(config))
    books_folder(Path(config.store.path))
    serve(config, site, opener(config, site), verbs)
