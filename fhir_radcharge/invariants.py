"""Any books, live or restored, into what they break of what was promised; each check asks the books alone."""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import NamedTuple

from fhir_radcharge.engine.identity import ever_one
from fhir_radcharge.ledger.promises import broken_promises
from fhir_radcharge.ledger.schema import BOOKS
from fhir_radcharge.reconcile import posting_id

_POSTINGS_AT = [book.name for book in BOOKS].index("posting")


class Check(NamedTuple):
    """One invariant: its names, what it promises, and the question that yields each breach, worst first."""

    ids: str
    promise: str
    breaches: Callable[[sqlite3.Connection], Iterator[str]]


def _asked(sentence: str, sql: str) -> Callable[[sqlite3.Connection], Iterator[str]]:
    def breaches(connection: sqlite3.Connection) -> Iterator[str]:
        for (example,) in connection.execute(sql):
            yield f"{sentence}: {example}"

    return breaches


def _promises(connection: sqlite3.Connection) -> Iterator[str]:
    yield from broken_promises(connection)


def _no_limbo(connection: sqlite3.Connection) -> Iterator[str]:
    (newest,) = connection.execute("select coalesce(max(number), 0) from message").fetchone()
    (done,) = connection.execute("select coalesce(max(value), 0) from cursor where name = 'work'").fetchone()
    if done > newest:
        yield f"work is said to be done up to message {done}, and there are {newest}"
    rows = connection.execute(
        "select number from message where disposition not in ('taken', 'refused', 'unusable', 'test', 'reused')"
    )
    yield from (f"message {number} is in no known state" for (number,) in rows)
    rows = connection.execute(
        "select number from message m where disposition = 'reused' and not exists"
        " (select 1 from hold h where h.message = m.number)"
    )
    yield from (f"message {number} is put aside and nobody was asked" for (number,) in rows)


def _ids(connection: sqlite3.Connection) -> Iterator[str]:
    """Derive every posting's id anew, and follow the chain of postings of each line."""
    last: dict[tuple[str, str], str] = {}
    rows = connection.execute(
        "select id, kind, mode, destination, line_key, previous, why from posting order by number"
    )
    for name, kind, mode, destination, line_key, previous, why in rows:
        world = f"shadow:{destination}" if mode == "shadow" else destination
        told = f"opening {json.loads(why)[2]}" if mode == "opening" else previous
        if posting_id(world, line_key, kind, told) != name:
            yield f"posting {name} has not the id that its content gives"
        if previous != last.get((world, line_key)):
            yield f"posting {name} does not follow the posting of its line before it"
        last[world, line_key] = name


def _bytes(connection: sqlite3.Connection) -> Iterator[str]:
    rows = connection.execute(
        "select control_id, group_concat(number) from send group by control_id having count(*) > 1"
    )
    yield from (f"several outbound messages are called {name}" for name, _ in rows)
    rows = connection.execute(
        "select control_id from send s where not exists"
        " (select 1 from posting p where p.id = s.control_id and p.send = s.number)"
    )
    yield from (f"outbound message {name} is not named by a posting of its own" for (name,) in rows)
    rows = connection.execute("select send, attempt from attempt group by send, attempt having count(*) > 1")
    yield from (f"attempt {attempt} of outbound message {send} was made twice" for send, attempt in rows)


def _no_spurious(connection: sqlite3.Connection) -> Iterator[str]:
    """Find a line that one commit credits and charges again unchanged."""
    ends = [json.loads(tops)[_POSTINGS_AT] for (tops,) in connection.execute("select tops from chain order by number")]
    rows = connection.execute(
        "select number, id, kind, destination, mode, line_key, account, patient from posting order by number"
    ).fetchall()
    at, start = 0, 0
    for end in ends:
        said: dict[tuple[object, ...], set[str]] = defaultdict(set)
        while at < len(rows) and rows[at][0] <= end:
            _, name, kind, *line = rows[at]
            said[tuple(line)].add(kind)
            if len(said[tuple(line)]) > 1:
                yield f"posting {name} says again what its own commit took back"
            at += 1
        start = end
    if start < len(rows):
        yield f"posting {rows[start][1]} belongs to no commit"


_UNIQUE = _asked(
    "the same bytes are stored twice under one control id",
    "select max(number) from message group by dedup, content having count(*) > 1",
)
_SAID_ONCE = _asked(
    "the same saying about an event is kept twice",
    "select max(event_id) from event group by key, revision, content, voided having count(*) > 1",
)


def _from_no_event(connection: sqlite3.Connection) -> Iterator[str]:
    """Find a posting whose event is of nobody who was ever said to be its patient."""
    merges = connection.execute("select patient, other from identity where kind = 'merge'").fetchall()
    same = ever_one(merges)
    rows = connection.execute(
        "select id, patient, dated_by from posting p where mode != 'opening' and dated_by != '' and not exists"
        " (select 1 from event e where e.patient = p.patient and e.event_id = p.dated_by)"
        " and not exists (select 1 from posting o where o.id = p.credits and o.mode = 'opening')"
    )
    for name, patient, event in rows:
        marks = ",".join(map(str, same.get(patient, ()))) or "0"
        told = connection.execute(f"select 1 from event where patient in ({marks}) and event_id = ?", (event,))  # noqa: S608
        if told.fetchone() is None:
            yield f"a posting was made from no event of its patient: {name}"


def _explained(connection: sqlite3.Connection) -> Iterator[str]:
    yield from _from_no_event(connection)
    for sentence, sql in (
        (
            "a posting does not say which tables decided",
            "select id from posting p where mode != 'opening' and not exists"
            " (select 1 from edition e where e.number = p.edition)",
        ),
        (
            "a charge does not say which rows decided",
            "select id from posting where mode != 'opening' and kind = 'CHARGE' and json_array_length(why, '$[1]') = 0"
            " and family not in ('', 'foreign')",
        ),
        (
            "an item waits that was never opened",
            "select key from open_item o where not exists"
            " (select 1 from hold h where h.key = o.key and h.action = 'held')",
        ),
        ("a decision does not say who or why", "select number from decision where by = '' or why = ''"),
    ):
        yield from _asked(sentence, sql)(connection)


CHECKS: tuple[Check, ...] = (
    Check("I2", "every message is read, held, refused or put aside", _no_limbo),
    Check("I3", "nothing is kept twice", lambda books: iter([*_UNIQUE(books), *_SAID_ONCE(books)])),
    Check(
        "I4",
        "an id is made from content, and one id is one message in the same bytes",
        lambda books: iter([*_ids(books), *_bytes(books)]),
    ),
    Check("I5 I8", "the chain holds; credits follow their charges and never exceed them", _promises),
    Check("I7", "nothing is taken back and said again unchanged", _no_spurious),
    Check("I14", "every posting leads to its event, its rows and its tables", _explained),
)
