"""What a site says of its locations and insurance plans: where a session was given, and who pays."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import NamedTuple

from fhir_radcharge.model import Place

UNMAPPED = "unmapped"


class PlaceRow(NamedTuple):
    """What a location is from one date of service to another; no last date: until further notice."""

    first: date
    last: date | None
    place: Place


class Settings:
    """The dated rows of `settings.yaml`, by location as the senders write it."""

    __slots__ = ("_rows",)

    def __init__(self, rows: Mapping[str, tuple[PlaceRow, ...]]) -> None:
        self._rows = dict(rows)

    def place(self, location: str, day: date) -> Place | None:
        """Return what a location is on a date of service; None if no row says."""
        for row in self._rows.get(location, ()):
            if row.first <= day and (row.last is None or day <= row.last):
                return row.place
        return None


class Plans:
    """The rows of `payers_by_plan.yaml`: which payer profile a plan or company id of IN1 has."""

    __slots__ = ("_profiles",)

    def __init__(self, profiles: Mapping[str, str]) -> None:
        self._profiles = dict(profiles)

    def payer(self, plan: str) -> str | None:
        """Return the payer profile of a plan; None if no row says."""
        return self._profiles.get(plan)

    def profiles(self) -> list[str]:
        """Return the payer profiles that some plan has, each once, in order."""
        return sorted(set(self._profiles.values()))
