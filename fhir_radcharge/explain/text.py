"""A decision log into lines of plain text, the same in a terminal and on a page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from zoneinfo import ZoneInfo

from fhir_radcharge.explain.words import days_words, line_words, listed, time_words
from fhir_radcharge.plural import number_of

Row = Mapping[str, Any]
_INDENT = 12
_ANSWERS = {
    "accepted": "accepted",
    "refused": "refused: it never happened",
    "in_part": "taken but for the lines that the answer names",
    "not_taken": "not taken; the same bytes again",
    "silent": "no answer",
    "late": "an answer that came too late",
    "withdrawn": "withdrawn before it was said",
    "arrived": "a person said that it arrived",
    "resend": "a person had it said again",
    "not_arrived": "a person said that it never arrived",
}


def told(explanation: Row, zone: ZoneInfo) -> list[str]:
    """Return the decision log of anything that has one; times on the facility's clock."""
    tell = {"posting": _posting, "event": _event, "message": _message, "course": _course}[explanation["what"]]
    return list(tell(explanation, zone))


def _posting(row: Row, zone: ZoneInfo) -> Iterator[str]:
    packaged = "  packaged" if row["packaged"] else ""
    yield (
        f"{line_words(row)}  {row['bill']} bill  course {row['course']}"
        f"  date of service {days_words(row)} ({zone.key}){packaged}"
    )
    yield _line("id", f"{row['id']}, a {row['kind'].lower()} for {row['destination']}, posted {row['posted']}")
    yield from _because(row)
    if row["note"]:
        yield _line("note", row["note"])
    yield from _tables(row)
    yield from _events(row, zone)
    yield _line("cause", f"{row['cause']}: {row['cause_words']}")
    for number, said in enumerate(row["after"]):
        yield _line("after" if number == 0 else "", said)
    if row["credits"]:
        yield _line("credits", row["credits"])
    elif row["previous"]:
        yield _line("follows", f"{row['previous']}, the posting of this line before it")
    for name in row["credited_by"]:
        yield _line("credited by", name)
    yield _line("stands", _state(row))
    yield from _sent(row, zone)
    yield from _waits(row, zone)


def _because(row: Row) -> Iterator[str]:
    for number, step in enumerate(row["because"]):
        since = f", in force from {step['from']}{' to ' + step['to'] if step['to'] else ''}" if step["from"] else ""
        sources = (
            f" [{', '.join(step['sources'])}]"
            if step["sources"]
            else " (this row is not in the tables that are loaded)"
        )
        yield _line("because" if number == 0 else "", f"{step['table']} row {step['row']}{since}{sources}")
        asked = [f"{name} = {word}" for name, word in step["asked"]]
        if asked:
            yield _line("", f"  asked: {', '.join(asked)}")
        for knob in step["knobs"]:
            value = ", ".join(knob["value"]) if isinstance(knob["value"], list) else knob["value"]
            yield _line(
                "",
                f"  knob {knob['knob']} = {value} by {knob['profile']} from {knob['from']} "
                f"[{', '.join(knob['sources'])}]",
            )
    if not row["because"]:
        yield _line("because", f"the system before this one charged it; {row['cause_words']}")


def _tables(row: Row) -> Iterator[str]:
    if row["tables"]:
        now = "which compute now" if row["tables"] == row["active"] else f"now {str(row['active'])[:12]} compute"
        yield _line("tables", f"{row['tables'][:12]}, {now}")
    if row["official"]:
        names = row["official"]["editions"]
        more = f" and {len(names) - 4} more" if len(names) > 4 else ""
        yield _line("official", f"{row['official']['digest'][:12]}: {', '.join(names[-4:])}{more}")


def _events(row: Row, zone: ZoneInfo) -> Iterator[str]:
    for number, event in enumerate(row["events"]):
        yield _line("from" if number == 0 else "", f"{event['kind'] or 'event'} {event['event']} on {event['day']}")
        yield from _revisions(event, zone)
    if row["events_more"]:
        yield _line("", f"and {row['events_more']} more events")


def _revisions(event: Row, zone: ZoneInfo) -> Iterator[str]:
    every = event["revisions"]
    for number, one in enumerate(every, 1):
        by = (
            f"message #{one['message']} heard {time_words(one['heard'], zone)}"
            if one["message"]
            else "said by a person"
        )
        changed = f": {'; '.join(one['changed'])}" if one["changed"] else ""
        voided = ", voided" if one["voided"] else ""
        mark = "" if len(every) == 1 else "  <- this line" if one["used"] else "  (later)" if one["later"] else ""
        yield _line("", f"  revision {number} of {len(every)}: {by}{voided}{changed}{mark}")


def _state(row: Row) -> str:
    if row["credited_by"]:
        return f"no: credited by {listed(row['credited_by'])}"
    return {
        "accepted": "yes: the destination accepted it",
        "queued": "yes: it waits for its turn to be sent",
        "sent": "yes: it was sent and has no answer yet",
        "unanswered": "yes: it may have arrived, so it counts as sent",
        "blocked": "yes: it waits for an earlier message of its course",
        "struck": "no: it never happened there",
        "shadow": "no: computed to compare, and never sent",
        "opening": "yes: charged before this engine, and never sent",
    }[row["state"]]


def _sent(row: Row, zone: ZoneInfo) -> Iterator[str]:
    sent = row["sent"]
    if sent is None:
        return
    yield _line("sent to", f"{sent['destination']} as message {sent['control_id']}, the same bytes at every attempt")
    answers = list(sent["answers"])
    for attempt in sent["attempts"]:
        mine = [one for one in answers if one["attempt"] == attempt["attempt"]]
        said = "; ".join(_answer(one, zone) for one in mine) or "no answer yet"
        yield _line("", f"attempt {attempt['attempt']} at {time_words(attempt['at'], zone)}: {said}")
    for one in answers:
        if one["attempt"] == 0:
            yield _line("", _answer(one, zone))
    if not sent["attempts"] and not answers:
        yield _line("", "not attempted yet")


def _answer(one: Row, zone: ZoneInfo) -> str:
    code = f"{one['code']} " if one["code"] else ""
    return f"{code}{_ANSWERS.get(one['kind'], one['kind'])} at {time_words(one['at'], zone)}"


def _waits(row: Row, zone: ZoneInfo) -> Iterator[str]:
    for number, item in enumerate(row["waits"]):
        where = f" ({item['place']})" if item["place"] else ""
        name = item["category"] if item["category"] == item["reason"] else f"{item['category']} {item['reason']}"
        yield _line("waits" if number == 0 else "", f"{item['key']} {name}{where}: {item['meaning']}")
        if item["note"] and item["note"] != row.get("id"):
            yield _line("", f"  {item['note']}")
        yield _line(
            "", f"  {item['owner']} is asked since {time_words(item['since'], zone)}; way out: {item['way_out']}"
        )


def _event(row: Row, zone: ZoneInfo) -> Iterator[str]:
    last = row["revisions"][-1]
    voided = ", voided" if last["voided"] else ""
    course = row["course"] or "not told"
    yield f"{row['kind']} {row['event']} from {row['source']}, on {row['day']}, course {course}{voided}"
    for number, (name, value) in enumerate(sorted(row["facts"].items())):
        yield _line("facts" if number == 0 else "", f"{name} = {value}")
    yield from _identity(row)
    yield _line("told", f"{len(row['revisions'])} times" if len(row["revisions"]) > 1 else "once")
    yield from _revisions(
        {**row, "revisions": [{**one, "used": False, "later": False} for one in row["revisions"]]}, zone
    )
    yield from _postings(row)
    yield from _waits(row, zone)


def _message(row: Row, zone: ZoneInfo) -> Iterator[str]:
    heard = time_words(row["received_at"], zone)
    yield f"message #{row['number']} heard by {row['listener']} at {heard}, {number_of(row['bytes'], 'byte')}"
    yield _line("state", f"{row['state']} (stored as {row['disposition']})")
    for number, event in enumerate(row["events"]):
        voided = ", voided" if event["voided"] else ""
        yield _line(
            "said" if number == 0 else "",
            f"{event['kind']} {event['event']} on {event['day']}, course {event['course'] or 'not told'}{voided}",
        )
    yield from _identity(row)
    if not row["events"] and not row["identity"]:
        yield _line("said", "nothing that was not known already")
    yield from _postings(row)
    yield from _waits(row, zone)


def _postings(row: Row) -> Iterator[str]:
    for number, one in enumerate(row["postings"]):
        of = f", credits {one['credits']}" if one["credits"] else ""
        yield _line(
            "postings" if number == 0 else "",
            f"{one['id']} {line_words(one)} {one['bill']} {days_words(one)} {one['state']}, {one['cause']}{of}",
        )
    if not row["postings"]:
        yield _line("postings", "none")


def _identity(row: Row) -> Iterator[str]:
    for number, said in enumerate(row["identity"]):
        yield _line("identity" if number == 0 else "", said)


def _course(row: Row, zone: ZoneInfo) -> Iterator[str]:
    counts = f"{number_of(row['fractions'], 'fraction')}, {number_of(len(row['postings']), 'posting')}"
    yield f"course {row['course']} of patient {row['patient']}: {counts}"
    yield from _identity(row)
    for run in row["moved"]:
        days = ", ".join(f"{was} -> {now or 'nowhere'}" for was, now in zip(run["from"], run["to"], strict=True))
        groups = (
            f"groups {run['groups'][0]} to {run['groups'][-1]}"
            if len(run["groups"]) > 1
            else f"group {run['groups'][0]}"
        )
        yield _line("moved", f"{run['code']} on the {run['bill']} bill, {groups}: {days}")
        for said in run["after"][:5]:
            yield _line("", f"  because {said}")
    yield from _grouped_waits(row, zone)


def _grouped_waits(row: Row, zone: ZoneInfo) -> Iterator[str]:
    """Yield each reason once, with all the items that wait for it."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for item in row["waits"]:
        groups.setdefault((item["category"], item["reason"]), []).append(item)
    for number, ((category, reason), items) in enumerate(groups.items()):
        yield _line("waits" if number == 0 else "", f"{category} {reason}: {items[0]['meaning']}")
        yield _line("", f"  {items[0]['owner']} is asked; way out: {items[0]['way_out']}")
        for item in items:
            where = f" ({item['place']})" if item["place"] else ""
            yield _line("", f"  {item['key']}{where} since {time_words(item['since'], zone)}")


def _line(label: str, text: str) -> str:
    return f"  {label:<{_INDENT}}{text}".rstrip()
