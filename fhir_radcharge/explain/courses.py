"""A course of a patient into its fraction strip: what was given each day, what each bill carries, what waits."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from fhir_radcharge.explain.moments import Moment, moment_of
from fhir_radcharge.explain.patient import book_of, postings_of, records_of, waiting_for
from fhir_radcharge.explain.sayings import heard_between, identified_between
from fhir_radcharge.explain.words import item_words
from fhir_radcharge.model import BILLS
from fhir_radcharge.rules.rulebook import Rulebook

Row = dict[str, Any]
_BESIDE = {
    "fraction": "no beam",
    "guidance": "image",
    "port_image": "port",
    "approval": "approval",
    "exam": "exam",
    "physics_check": "physics",
    "course_closed": "closed",
    "prescription": "rx",
    "release": "release",
    "supplied": "supplied",
    "service": "service",
    "reported": "reported",
    "course": "course",
}
_SHORT = ("id", "kind", "code", "day", "state", "cause")
# What moves groups: sessions, and what says where a course ends.
_COUNTED = frozenset({"fraction", "course_closed", "prescription", "release", "course"})


def course(connection: sqlite3.Connection, rulebook: Rulebook, patient: int, name: str) -> Row:
    """Return a course day by day, with its holds and with one explanation for each run of groups that moved."""
    records = records_of(connection, patient)
    postings = postings_of(connection, records, name)
    charged = {event for row in postings for event in row["events"]}
    # An event without a course is in the one to which the rules assigned it.
    events = [
        event
        for event in book_of(connection, patient).events()
        if event.course == name or (event.course is None and event.id in charged)
    ]
    reasons = {reason.reason: reason for reason in rulebook.reasons}
    items = [item for item in waiting_for(connection, records) if item["course"] == name]
    days: dict[str, dict[str, list[str]]] = defaultdict(_empty_day)
    number = 0
    for event in events:
        given = event.kind == "fraction" and event.facts.get("beam") is not False
        number += given
        word = f"fx {number}" if given else _BESIDE[event.kind]
        days[event.day.isoformat()]["given"].append(word)
    for row in _net(postings):
        days[row["day"]][row["bill"]].append(row["said"])
    for item in items:
        day = item["place"].rpartition(" ")[2]
        if item["category"] in ("hold", "flag") and day:
            days[day]["held"].append(f"{_held_code(item)}{item['reason']}")
    bills = [bill for bill in BILLS if any(row["bill"] == bill for row in postings)]
    return {
        "what": "course",
        "course": name,
        "patient": patient,
        "fractions": number,
        "bills": bills,
        "days": [{"day": day, **_tidy(days[day])} for day in sorted(days)],
        "identity": identified_between(connection, records),
        "moved": _moved(connection, records, postings),
        "waits": [{**item, **item_words(item["category"], item["reason"], reasons)._asdict()} for item in items],
        "postings": [{name: row[name] for name in _SHORT} for row in postings],
    }


def _empty_day() -> dict[str, list[str]]:
    return {name: [] for name in ("given", *BILLS, "held")}


def _tidy(day: dict[str, list[str]]) -> Row:
    return {name: _counted(said) for name, said in day.items()}


def _counted(said: list[str]) -> list[str]:
    return [word if said.count(word) == 1 else f"{said.count(word)} {word}" for word in dict.fromkeys(said)]


def _held_code(item: Row) -> str:
    parts = item["place"].split()
    return f"{parts[0][:4]} {parts[1]} " if len(parts) == 3 else ""


def _net(postings: list[Row]) -> list[Row]:
    """Return what stands of each charge, and what was taken back, as short words."""
    credited: dict[str, int] = defaultdict(int)
    for row in postings:
        if row["kind"] == "CREDIT" and row["state"] != "struck":
            credited[row["credits"]] += row["units"]
    told = []
    for row in postings:
        if row["kind"] != "CHARGE":
            continue
        left = row["units"] - credited[row["id"]]
        modifiers = "".join(f"-{modifier}" for modifier in row["modifiers"].split())
        units = f" x{left}" if left > 1 else ""
        mark = {"queued": "..", "sent": "..", "unanswered": "?", "blocked": "||", "shadow": "~"}.get(row["state"], "")
        if row["state"] == "struck":
            told.append({**row, "said": f"refused {row['code']}{modifiers}"})
        elif left > 0:
            told.append({**row, "said": f"{row['code']}{modifiers}{units}{mark}"})
        else:
            told.append({**row, "said": f"({row['code']}{modifiers} credited)"})
    return told


def _run(move: Row) -> tuple[Moment, str, str, int]:
    credit = move["credit"]
    return move["now"], credit["bill"], credit["code"], credit["number"]


def _moved(connection: sqlite3.Connection, records: Sequence[int], postings: list[Row]) -> list[Row]:
    """Return one explanation for each run of groups that moved together: a session earlier moves all that follow."""
    moves: list[Row] = []
    charges = {row["id"]: row for row in postings}
    fresh = {(row["bill"], row["slot"], row["number"]): row for row in postings if row["kind"] == "CHARGE"}
    for row in postings:
        if row["kind"] != "CREDIT" or row["cause"] != "moved" or not row["slot"]:
            continue
        later = [
            new
            for (bill, slot, number), new in fresh.items()
            if (bill, slot) == (row["bill"], row["slot"]) and number > row["number"]
        ]
        moves.append(
            {
                "credit": row,
                "from": row["day"],
                "to": later[0]["day"] if later else None,
                "then": moment_of(connection, charges[row["credits"]]["number"]),
                "now": moment_of(connection, row["number"]),
            }
        )
    told = []
    for (now, bill, code), run in groupby(sorted(moves, key=_run), lambda move: _run(move)[:3]):
        group = list(run)
        told.append(
            {
                "code": code,
                "bill": bill,
                "groups": sorted({move["credit"]["slot"].rpartition("/")[2] for move in group}, key=int),
                "from": [move["from"] for move in group],
                "to": [move["to"] for move in group],
                "after": heard_between(connection, records, max(move["then"] for move in group), now, _COUNTED),
            }
        )
    return told
