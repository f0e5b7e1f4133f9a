"""All tables that decide what is due, as one immutable value with one content hash."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, NamedTuple, Protocol

from fhir_radcharge.model import Charge
from fhir_radcharge.rules.catalogue import Catalogue
from fhir_radcharge.rules.policy import Policy, Reason
from fhir_radcharge.rules.tables import Table

LAST_DAY = date(9999, 12, 31)


class CountRule(NamedTuple):
    """A charge that a count of sessions earns; words that begin with `knob.` are read from the payer's profile."""

    id: str
    code: str
    start: date
    end: date
    counts: str
    way: str
    sources: tuple[str, ...]
    size: str = ""
    remainder_min: str = ""
    total_min: str = ""
    total_max: str = ""
    whole_under: str = ""
    dated: str = "last"
    units: str = "one"
    stopped: str = ""
    needs: str = ""
    per_group: bool = False
    place: str = ""

    def value(self, column: str, knobs: Mapping[str, Any]) -> str:
        """Return a cell as text, read from the profile where it names a knob."""
        cell: str = getattr(self, column)
        if not cell.startswith("knob."):
            return cell
        given = knobs[cell[5:]]
        return str(given).lower() if isinstance(given, bool) else str(given)


class Exclusion(NamedTuple):
    """Codes that are inside another code: where one of `has` is due, those of `excludes` are not charged."""

    id: str
    start: date
    end: date
    has: frozenset[str]
    excludes: frozenset[str]
    scope: str
    sources: tuple[str, ...]
    place: str = ""


class SiteWords(NamedTuple):
    """What the words of a body site mean: all of `words` stand in it, and one of `with_any` where given."""

    id: str
    words: frozenset[str]
    with_any: frozenset[str]
    imrt: str
    cranial: str
    sources: tuple[str, ...]
    place: str = ""


class Edits(Protocol):
    """The official tables that a patient's lines are edited by, and the site's charge master."""

    def unit_limit(self, code: str, bill_kind: Any, day: date) -> int | None:
        """Return the units a day may carry; None: no table says so."""

    def pair(self, code1: str, code2: str, bill_kind: Any, day: date) -> Any | None:
        """Return the pair edit between two codes, None where there is none."""

    def listed(self, code: str, bill_kind: Any, day: date) -> bool | None:
        """Return whether the fee schedule lists the code; None: no schedule for that day."""

    def lacks_charge_code(self, charge: Charge) -> bool:
        """Return whether the charge master of the line's destination needs a row and has none."""


class Earlier(NamedTuple):
    """Tables that decide dates of service up to one day: later ones were activated from the next day on."""

    last: date
    rulebook: Rulebook


@dataclass(frozen=True)
class Rulebook:
    """Every table, profile and list that decides a charge; `digest` names their content.

    `earlier` are the tables that still decide earlier dates of service, the earliest first (see `rules.editions`).
    """

    tables: Mapping[str, Table]
    counting: tuple[CountRule, ...]
    exclusions: tuple[Exclusion, ...]
    sites: tuple[SiteWords, ...]
    policy: Policy
    catalogue: Catalogue
    reasons: tuple[Reason, ...]
    holidays: frozenset[date]
    digest: str
    earlier: tuple[Earlier, ...] = ()
    _eras: tuple[date, ...] = field(init=False, repr=False, compare=False)
    _days: dict[date, int] = field(init=False, repr=False, compare=False, default_factory=dict)
    memo: dict[Any, Any] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        days = {era for table in self.tables.values() for era in table.eras}
        for row in self.catalogue:
            days.add(row.valid_from)
            if row.valid_to < LAST_DAY:
                days.add(row.valid_to + timedelta(days=1))
        for profile in self.policy.profiles:
            for knob in profile.rows:
                days.add(knob.start)
                if knob.end is not None:
                    days.add(knob.end + timedelta(days=1))
        object.__setattr__(self, "_eras", tuple(sorted(days)))

    def on(self, day: date) -> Rulebook:
        """Return the tables that decide a date of service: these, or earlier ones."""
        return next((one.rulebook for one in self.earlier if day <= one.last), self)

    def era(self, day: date) -> int:
        """Return the number of the span of days within which no table changes."""
        era = self._days.get(day)
        if era is None:
            if len(self._days) > 20_000:
                self._days.clear()
            era = self._days[day] = bisect_right(self._eras, day)
        return era

    def site(self, words: str | None) -> SiteWords | None:
        """Return what a body site means, None where no site is stated."""
        if not words:
            return None
        said = frozenset("".join(c if c.isalnum() else " " for c in words.lower()).split())
        for site in self.sites:
            if site.words <= said and (not site.with_any or site.with_any & said):
                return site
        return None

    def business_day(self, day: date, after: int) -> date:
        """Return the date that lies some business days after a day: Monday to Friday less the holidays."""
        while after > 0:
            day += timedelta(days=1)
            if day.weekday() < 5 and day not in self.holidays:
                after -= 1
        return day
