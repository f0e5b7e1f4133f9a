"""Turns an activation into tables that a running engine computes with, between two transactions and without a restart.

The engine and the doors hold a `CurrentSite`; other tables are staged by the verb that activates them, and come into
force when the engine sees the activation committed. What the links and FHIR doors took from a profile when they were
opened is not taken anew, so tables that change it ask for a restart.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from fhir_radcharge import editions
from fhir_radcharge.config import Config
from fhir_radcharge.errors import ConfigError, TableError, UnsafeError
from fhir_radcharge.gateway.doors import answers_of, as_configured
from fhir_radcharge.site import Site, load_site
from fhir_radcharge.site_edits import EditedDue, SiteEdits, site_edits


class CurrentSite:
    """A site that may be another one from one transaction to the next; asked as a site is."""

    __slots__ = ("_now",)

    def __init__(self, site: Site) -> None:
        self._now = site

    @property
    def now(self) -> Site:
        """The site at this moment, for whoever must not see it change."""
        return self._now

    def swap(self, site: Site) -> None:
        """Be another site from now on; whoever is in the middle of a question has the old or the new one whole."""
        self._now = site

    def __getattr__(self, name: str) -> Any:
        return getattr(self._now, name)


def current(site: Site) -> Site:
    """Return a site that can be swapped, as what asks it sees it."""
    return site if isinstance(site, CurrentSite) else cast(Site, CurrentSite(site))


class LiveTables:
    """The tables of a running engine: what is loaded, what is staged, and the edits that go with them."""

    def __init__(self, config: Config, site: Site, read: editions.Read) -> None:
        self._config = config
        self._read = read
        self._current = cast(CurrentSite, current(site))
        self._staged: dict[str, Site] = {}
        self.due = EditedDue(self._edits())

    @property
    def site(self) -> Site:
        """The site as the engine is to hold it."""
        return cast(Site, self._current)

    def stage(self, digest: str) -> bytes:
        """Load the folder's tables if they are others than those that run, and return what the books keep of them.

        UnsafeError where the folder has another digest, or only a restart would do.
        """
        folder = Path(self._config.rules.mappings)
        found, body = editions.packed(folder)
        if found != digest:
            raise UnsafeError(
                f"the folder of the server has tables {found[:12]} and these are {digest[:12]}; bring its folder up to"
                " them, or restart the server with its own configuration, then activate"
            )
        if digest != self._current.now.digest:
            self._staged[digest] = self._loaded(folder, digest)
        return body

    def follow(self) -> None:
        """Take the tables that were activated last, with those of earlier dates: staged, loaded, or from the books.

        A folder that was edited and not activated so changes nothing, after a restart too.
        """
        spans = editions.spans(self._read)
        if not spans:
            return
        active = spans[-1].digest
        site = self._staged.get(active, self._current.now)
        if site.digest != active:
            site = self._from_books(active) or site
        self._current.swap(editions.in_force(self._read, _alone(site), spans))
        self._staged.clear()
        self.due.edits = self._edits()

    def import_official(self) -> str:
        """See what was imported since; return the digest of all official tables that can answer."""
        self.due.edits = self._edits()
        return self.due.edits.digest

    def _edits(self) -> SiteEdits:
        return site_edits(self._current.now, Path(self._config.store.path).with_name("official.db"))

    def _from_books(self, digest: str) -> Site | None:
        """Return kept tables as they are configured; None where they are not kept or do not fit what was opened."""
        body = editions.kept(self._read, digest)
        if body is None:
            return None
        try:
            site = as_configured(editions.edition(self._read, digest), self._config)
        except (ConfigError, TableError):
            return None
        return None if _wired_otherwise(self._current.now, site, self._config) else site

    def _loaded(self, folder: Path, digest: str) -> Site:
        try:
            site = as_configured(load_site(folder), self._config)
        except (ConfigError, TableError) as problem:
            raise UnsafeError(f"the tables cannot be taken: {problem}") from None
        if site.digest != digest:
            raise UnsafeError("the folder changed while it was read; activate again")
        changed = _wired_otherwise(self._current.now, site, self._config)
        if changed:
            raise UnsafeError(
                f"the profile of {', '.join(changed)} says otherwise how its connection works, which is read when a"
                " server starts; restart it, then activate: until then it computes by the tables activated before"
            )
        return site


def _alone(site: Site) -> Site:
    """Return a site without earlier ones."""
    return site.after(()) if site.earlier else site


def _wired_otherwise(old: Site, new: Site, config: Config) -> list[str]:
    """Return the destinations and FHIR senders of the configuration whose open doors have another profile now."""
    found = []
    for send in config.send:
        before, after = old.destinations.get(send.name), new.destinations.get(send.name)
        if before is None or after is None or _wiring(before) != _wiring(after):
            found.append(send.name)
    for listen in config.fhir_listen:
        if old.fhir.senders.get(listen.sender) != new.fhir.senders.get(listen.sender):
            found.append(listen.sender)
    return found


def _wiring(destination: Any) -> Any:
    if hasattr(destination, "answer_kind"):
        return destination.connections, answers_of(destination)
    return destination


