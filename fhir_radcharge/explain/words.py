"""Words of the books into sentences for a person: causes, categories, revisions, times."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from fhir_radcharge.rules.policy import Reason

CAUSES = {
    "new": "it became due",
    "gone": "it is no longer due",
    "moved": "the group of sessions that it counts moved",
    "units": "another number of units is due",
    "held": "its line is held now",
    "account": "it belongs to another account",
    "opening": "the system before this one had charged it",
}
_BODY = ("day", "minute", "course", "facts", "place", "patient_class", "payer", "reported", "provider", "lacks")


class ItemWords(NamedTuple):
    """What an item of the work queue means, who is asked, and what ends it."""

    meaning: str
    owner: str
    way_out: str


_CATEGORIES = {
    "unreadable": ItemWords(
        "a message or a line of it cannot be read",
        "interface analyst",
        "the profile or the sender is mended, then `queue release`",
    ),
    "nonconforming": ItemWords(
        "a message was refused because it departs from the standard: at a strict listener, or for want of MSH-10",
        "interface analyst",
        "the sender sends it mended and this is dismissed, or `queue release` lets it in as it is",
    ),
    "not_admitted": ItemWords(
        "a sender spoke at a listener that does not name its profile",
        "interface analyst",
        "the profile is named in `senders` of the listener and the message is sent again, or `queue release` lets this"
        " one in",
    ),
    "reused": ItemWords(
        "another message came under the control id of an earlier one",
        "interface analyst",
        "`queue release` if it is a message of its own, else `queue dismiss`",
    ),
    "quarantined": ItemWords(
        "reading a message stopped the program", "interface analyst", "it is reported and mended, then `queue release`"
    ),
    "notice": ItemWords("a message said something that need only be seen", "interface analyst", "`queue dismiss`"),
    "defect": ItemWords(
        "a defect of this program", "interface analyst", "it is reported and mended, then `queue release`"
    ),
    "rule_error": ItemWords(
        "the tables do not say what is due for this patient", "coder", "the tables are mended and activated"
    ),
    "unsendable": ItemWords(
        "a line cannot be written for its destination", "biller", "the row or identifier that is missing is added"
    ),
    "refused": ItemWords(
        "the destination refused a line, so it never happened",
        "biller",
        "what it complains of is mended, then `queue release`",
    ),
    "unanswered": ItemWords(
        "a message may or may not have arrived", "biller", "`queue arrived`, `queue resend` or `queue not-arrived`"
    ),
    "not_taken": ItemWords(
        "a destination did not take a message ten times in a row; it is tried again without end, and what stands behind"
        " it waits",
        "interface analyst",
        "who runs the destination is asked why; it ends by itself when the message is taken or refused",
    ),
    "not_activated": ItemWords(
        "the tables of this site are not activated, so nothing is computed", "coder", "`rules activate`"
    ),
    "no_destination": ItemWords("no destination takes this bill", "biller", "a destination that takes it is added"),
}
_UNKNOWN = ItemWords("it waits for a person", "biller", "a person decides")


def item_words(category: str, reason: str, reasons: Mapping[str, Reason]) -> ItemWords:
    """Return the words for an item: those of `reasons.yaml` for holds and flags, our own for the rest."""
    known = reasons.get(reason) if category in ("hold", "flag") else None
    if known is not None:
        return ItemWords(known.meaning, known.owner, known.way_out)
    return _CATEGORIES.get(reason if reason in _CATEGORIES else category, _UNKNOWN)


def line_words(row: Mapping[str, Any]) -> str:
    """Return a posting as one says it: sign, code, modifiers, units."""
    sign = "+" if row["kind"] == "CHARGE" else "-"
    modifiers = "".join(f"-{modifier}" for modifier in row["modifiers"].split())
    return f"{sign}{row['code']}{modifiers} x{row['units']}"


def days_words(row: Mapping[str, Any]) -> str:
    """Return the dates of service of a posting."""
    return f"{row['day']} to {row['end_day']}" if row["end_day"] and row["end_day"] != row["day"] else str(row["day"])


def changes_words(before: str, after: str) -> list[str]:
    """Return what differs between two sayings about an event, a difference a piece."""
    said: list[str] = []
    for name, was, now in zip(_BODY, json.loads(before), json.loads(after), strict=True):
        if was == now:
            continue
        if name == "facts":
            said += [
                f"{key}: {_plain(was.get(key))} -> {_plain(now.get(key))}"
                for key in sorted({*was, *now})
                if was.get(key) != now.get(key)
            ]
        else:
            said.append(f"{name.replace('_', ' ')}: {_plain(was)} -> {_plain(now)}")
    return said or ["nothing that a rule asks"]


def identity_words(kind: str, patient: int, other: int, payer: str, message: int) -> str:
    """Return what was said of identity as a sentence; records are named by their numbers in the books."""
    if kind == "merge":
        return f"patient {patient} was merged into patient {other} by message #{message}"
    if kind == "visit":
        return f"a visit of patient {patient} became another one by message #{message}"
    return f"{payer} pays for a visit of patient {patient} since message #{message}"


def time_words(label: str | None, zone: ZoneInfo) -> str:
    """Return an instant of the books as the facility's clock shows it."""
    if not label:
        return ""
    at = datetime.fromisoformat(label.replace("Z", "+00:00")).astimezone(zone)
    return f"{at:%Y-%m-%d %H:%M:%S} {at.tzname()}"


def listed(names: Sequence[object], most: int = 8) -> str:
    """Return names with commas, the rest as a number."""
    shown = ", ".join(map(str, names[:most]))
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def _plain(value: Any) -> str:
    if value is None:
        return "not stated"
    if isinstance(value, dict) and len(value) == 1 and next(iter(value)).startswith("$"):
        return _plain(next(iter(value.values())))
    if isinstance(value, list):
        return " ".join(_plain(part) for part in value) or "none"
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)
