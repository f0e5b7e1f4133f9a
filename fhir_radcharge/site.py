"""Turns a folder of mappings into one frozen site: senders, destinations, places, payers, charge master, rules."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from pathlib import Path
from typing import Protocol, TypeVar
from zoneinfo import ZoneInfo

from pydantic import Field

from fhir_radcharge.chargemaster import ChargeMaster, overlap
from fhir_radcharge.errors import MessageError, TableError, did_you_mean
from fhir_radcharge.model import Campus, Ownership, Place, Setting
from fhir_radcharge.places import PlaceRow, Plans, Settings
from fhir_radcharge.profiles.destinations import read_destination
from fhir_radcharge.profiles.fhir import NO_FHIR, FhirSite, load_fhir
from fhir_radcharge.profiles.reading import read_sender
from fhir_radcharge.rules.rulebook import Earlier, Rulebook
from fhir_radcharge.tables.chargemaster import load_chargemaster
from fhir_radcharge.tables.rulebook import load_rulebook
from fhir_radcharge.tables.strict_yaml import Strict, load, validated
from fhir_radcharge.wire.destination import Destination
from fhir_radcharge.wire.sender import Sender
from fhir_radcharge.zones import zone_named

T = TypeVar("T")

_ANY = "*"


class HeaderNames(Protocol):
    """What is asked of a message header to know its sender."""

    @property
    def sending_application(self) -> str:
        """Return MSH-3.1."""

    @property
    def sending_facility(self) -> str:
        """Return MSH-4.1."""


@dataclass(frozen=True)
class Site:
    """All tables of one site, at one digest; nothing in it changes.

    `earlier` are the sites whose tables still decide dates of service up to a day, the earliest first. What takes
    FHIR is in `fhir` until the configuration names it as a link; then it is a destination as well.
    """

    senders: Mapping[str, Sender]
    destinations: Mapping[str, Destination]
    settings: Settings
    payers: Plans
    chargemaster: ChargeMaster
    rulebook: Rulebook
    digest: str
    zone: ZoneInfo
    _senders_by_name: Mapping[tuple[str, str], Sender] = field(repr=False)
    fhir: FhirSite = field(default=NO_FHIR, repr=False)
    earlier: tuple[tuple[date, Site], ...] = field(default=(), repr=False)

    def on(self, day: date) -> Site:
        """Return the site whose tables decide a date of service: this one, or an earlier one."""
        return next((site for last, site in self.earlier if day <= last), self)

    def after(self, earlier: Sequence[tuple[date, Site]]) -> Site:
        """Return this site with others that decide dates of service up to a day, the earliest first."""
        books = tuple(Earlier(last, site.rulebook) for last, site in earlier)
        return replace(self, earlier=tuple(earlier), rulebook=replace(self.rulebook, earlier=books))

    def credits_negative(self, payer: str | None, day: date) -> bool:
        """Tell whether the quantity of a credit has a minus sign for a payer on a date of service."""
        return bool(self.rulebook.on(day).policy.knobs(payer, day)["credit_quantity"] == "negative")

    def sender_named(self, application: str, facility: str) -> Sender | None:
        """Return the sender with these MSH-3 and MSH-4; an exact profile goes before one for any facility."""
        by_name = self._senders_by_name
        for key in ((application, facility), (application, _ANY), (_ANY, facility)):
            found = by_name.get(key)
            if found is not None:
                return found
        return None

    def sender_for(self, header: HeaderNames) -> Sender:
        """Return the sender of a message; raise MessageError if no profile matches its MSH-3 and MSH-4."""
        found = self.sender_named(header.sending_application, header.sending_facility)
        if found is None:
            raise MessageError(
                "MSH-3",
                "no sender profile matches MSH-3 and MSH-4",
                "add one to mappings/senders and reread the message",
                "103",
            )
        return found

    def today(self, now: datetime) -> date:
        """Return the facility's date at an instant."""
        return now.astimezone(self.zone).date()


class _Location(Strict):
    location: str = Field(min_length=1)
    from_: date = Field(alias="from")
    to: date | None = None
    setting: Setting
    campus: Campus
    ownership: Ownership


class _SettingsFile(Strict):
    zone: str
    locations: tuple[_Location, ...]


class _Plan(Strict):
    plan: str = Field(min_length=1)
    payer: str


class _PlansFile(Strict):
    plans: tuple[_Plan, ...]


def load_site(mappings: Path) -> Site:
    """Return the site that a folder declares; raise one TableError with a line for each problem of any file."""
    problems: list[str] = []

    def tried(read: Callable[[], T], instead: T) -> T:
        try:
            return read()
        except TableError as error:
            problems.append(str(error))
            return instead

    senders = _each(mappings, "senders", read_sender, problems)
    destinations = _each(mappings, "destinations", read_destination, problems)
    settings, zone = tried(lambda: _settings(mappings), (Settings({}), "UTC"))
    plans = tried(lambda: _plans(mappings), Plans({}))
    master = tried(
        lambda: load_chargemaster(mappings, _destination_names(mappings, destinations)), ChargeMaster({})
    )
    rulebook = tried(lambda: load_rulebook(mappings), None)
    fhir = tried(lambda: load_fhir(mappings), NO_FHIR)
    if rulebook is not None:
        problems += _unknown_payers(mappings, plans, senders, {profile.name for profile in rulebook.policy.profiles})
    by_name = _by_name(senders, problems)
    _refuse_twins(destinations, problems)
    if problems or rulebook is None:
        raise TableError("\n".join(problems))
    return Site(
        senders={sender.name: sender for sender in senders},
        destinations={destination.name: destination for destination in destinations},
        settings=settings,
        payers=plans,
        chargemaster=master,
        rulebook=rulebook,
        digest=digest_of(mappings),
        zone=ZoneInfo(zone),
        _senders_by_name=by_name,
        fhir=fhir,
    )


def digest_of(mappings: Path) -> str:
    """Return one hash of all files of a folder: their relative names and bytes, in the order of their names."""
    total = hashlib.sha256()
    for name, content in contents(mappings):
        total.update(spelled(name, content))
    return total.hexdigest()


def contents(mappings: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the relative name and the bytes of each file that the digest covers, in the order of their names."""
    files = [
        path for path in mappings.rglob("*") if path.is_file() and not _hidden(path.relative_to(mappings))
    ]
    for path in sorted(files, key=lambda one: one.relative_to(mappings).as_posix()):
        yield path.relative_to(mappings).as_posix(), path.read_bytes()


def spelled(name: str, content: bytes) -> bytes:
    """Return a file as it goes into the digest; all of them spelled in order are what an edition keeps."""
    return f"{len(name)}:{name}:{len(content)}:".encode() + content


def _destination_names(mappings: Path, destinations: list[Destination]) -> frozenset[str]:
    """Return the names that the charge master may use: those of FHIR, and of files that are wrong, too."""
    files = [*(mappings / "destinations").glob("*.yaml"), *(mappings / "fhir" / "destinations").glob("*.yaml")]
    return frozenset(destination.name for destination in destinations) | {path.stem for path in files}


def _hidden(path: Path) -> bool:
    return any(part.startswith((".", "__")) for part in path.parts)


def _each(mappings: Path, folder: str, read: Callable[[Path, str], T], problems: list[str]) -> list[T]:
    found = []
    for path in sorted((mappings / folder).glob("*.yaml")):
        try:
            found.append(read(path, f"{mappings.name}/{folder}/{path.name}"))
        except TableError as error:
            problems.append(str(error))
    return found


def _by_name(senders: list[Sender], problems: list[str]) -> dict[tuple[str, str], Sender]:
    found: dict[tuple[str, str], Sender] = {}
    names: dict[str, str] = {}
    for sender in senders:
        key = (sender.application, sender.facility)
        if key in found:
            problems.append(f"{sender.file}:1: matches the same MSH-3 and MSH-4 as {found[key].file}")
        if sender.name in names:
            problems.append(
                f"{sender.file}:1: has the name of {names[sender.name]}; every sender has its own"
            )
        found[key] = sender
        names[sender.name] = sender.file
    return found


def _unknown_payers(mappings: Path, plans: Plans, senders: list[Sender], known: set[str]) -> list[str]:
    told: list[str] = []
    if any(name not in known for name in plans.profiles()):
        for row in load(mappings / "payers_by_plan.yaml")["plans"]:
            told += _no_payer(f"{mappings.name}/payers_by_plan.yaml:{row.line}", row["payer"], known)
    for sender in senders:
        told += _no_payer(f"{sender.file}:1: message.payer.absent", sender.payer_absent, known)
    return told


def _no_payer(place: str, name: str, known: set[str]) -> list[str]:
    return [] if name in known else [f"{place}: there is no payer profile '{name}'{did_you_mean(name, known)}"]


def _refuse_twins(destinations: list[Destination], problems: list[str]) -> None:
    names: dict[str, str] = {}
    for destination in destinations:
        if destination.name in names:
            problems.append(f"{destination.file}:1: has the name of {names[destination.name]}; use another")
        names[destination.name] = destination.file


def _settings(mappings: Path) -> tuple[Settings, str]:
    path = mappings / "settings.yaml"
    data = load(path)
    declared = validated(_SettingsFile, data, path)
    try:
        zone_named(declared.zone)
    except ValueError as error:
        raise TableError(f"{path}:{data.lines['zone']}: {error}") from error
    rows: dict[str, tuple[PlaceRow, ...]] = {}
    for number, row in enumerate(declared.locations):
        place = PlaceRow(row.from_, row.to, Place(row.setting, row.campus, row.ownership))
        earlier = rows.get(row.location, ())
        if any(overlap(place.first, place.last, one.first, one.last) for one in earlier):
            line = data["locations"][number].line
            raise TableError(f"{path}:{line}: {row.location} has another row on these dates; end one first")
        rows[row.location] = (*earlier, place)
    return Settings(rows), declared.zone


def _plans(mappings: Path) -> Plans:
    path = mappings / "payers_by_plan.yaml"
    data = load(path)
    profiles: dict[str, str] = {}
    for number, row in enumerate(validated(_PlansFile, data, path).plans):
        if row.plan in profiles:
            raise TableError(
                f"{path}:{data['plans'][number].line}: plan {row.plan} has a payer already; keep one"
            )
        profiles[row.plan] = row.payer
    return Plans(profiles)
