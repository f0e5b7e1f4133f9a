"""The books as tables: what is appended for ever, and the small working tables that can be derived from it.

A book table is insert-only: triggers refuse update and delete. A working table (cursor, wake, outbox, ...) holds
nothing that could not be found again by reading the books; it is there so that a question costs the same at a
thousand messages and at a million.
"""

from __future__ import annotations

from typing import NamedTuple


class Book(NamedTuple):
    """One insert-only table: its columns in order, and how many of them the chain covers."""

    name: str
    columns: tuple[str, ...]
    covered: int


def _book(name: str, columns: str, uncovered: int = 0) -> Book:
    names = tuple(columns.split())
    return Book(name, names, len(names) - uncovered)


# `content` is the hash of `raw`, so that the chain covers the bytes without hashing them twice.
BOOKS: tuple[Book, ...] = (
    _book("message", "number listener peer received_at dedup content disposition answer raw", uncovered=1),
    _book("patient", "number key"),
    _book("edition", "number digest"),
    _book(
        "event",
        "number key source event_id revision kind patient account voided message edition content body",
    ),
    _book("send", "number destination patient course message control_id body"),
    _book(
        "posting",
        "number id kind mode destination patient course line_key bill code modifiers day end_day line_units"
        " place_of_service provider packaged family slot keeps_date dated_by units credits previous message"
        " account posted cause edition send why",
    ),
    _book("attempt", "number send attempt at"),
    _book("answer", "number send attempt kind code at raw"),
    _book("hold", "number key action category reason patient course destination message place note at"),
    _book("decision", "number kind subject by why at detail"),
    _book("activation", "number digest scope by why at"),
    _book("day", "number day at"),
    # The digest is the hash of what the body holds, so the chain need not cover the body.
    _book("edition_files", "number digest body", uncovered=1),
    _book("identity", "number kind patient other account payer insurance revision message content"),
)
BOOK = {book.name: book for book in BOOKS}

_FIRST = """
create table meta (name text primary key, value text not null) without rowid;
create table message (
    number integer primary key, listener text not null, peer text not null, received_at text not null,
    dedup blob not null, content blob not null, disposition text not null, answer blob, raw blob not null);
create index message_dedup on message (dedup);
create table patient (number integer primary key, key blob not null unique);
create table edition (number integer primary key, digest text not null unique);
create table event (
    number integer primary key, key blob not null, source text not null, event_id text not null,
    revision text not null, kind text not null, patient integer not null, account text not null,
    voided integer not null, message integer not null, edition integer not null, content blob not null,
    body text not null);
create index event_key on event (key);
create index event_patient on event (patient);
create index event_message on event (message);
create table send (
    number integer primary key, destination text not null, patient integer not null, course text not null,
    message integer not null, control_id text not null, body blob not null);
create table posting (
    number integer primary key, id text not null unique, kind text not null check (kind in ('CHARGE', 'CREDIT')),
    mode text not null check (mode in ('live', 'shadow', 'opening')), destination text not null,
    patient integer not null, course text not null, line_key text not null, bill text not null, code text not null,
    modifiers text not null, day text not null, end_day text, line_units integer not null,
    place_of_service text not null, provider text, packaged integer not null, family text not null,
    slot text not null, keeps_date integer not null, dated_by text not null,
    units integer not null check (units > 0), credits text, previous text, message integer not null,
    account text not null, posted text not null, cause text not null, edition integer not null, send integer,
    why text not null,
    check ((kind = 'CREDIT') = (credits is not null)));
create index posting_patient on posting (patient);
create index posting_send on posting (send);
create table attempt (number integer primary key, send integer not null, attempt integer not null, at text not null);
create index attempt_send on attempt (send);
create table answer (
    number integer primary key, send integer not null, attempt integer not null, kind text not null,
    code text not null, at text not null, raw blob not null);
create index answer_send on answer (send);
create table hold (
    number integer primary key, key text not null, action text not null check (action in ('held', 'cleared')),
    category text not null, reason text not null, patient integer not null, course text not null,
    destination text not null, message integer not null, place text not null, note text not null, at text not null);
create index hold_key on hold (key);
create table decision (
    number integer primary key, kind text not null, subject text not null, by text not null, why text not null,
    at text not null, detail text not null);
create index decision_subject on decision (subject);
create table activation (
    number integer primary key, digest text not null, scope text not null, by text not null, why text not null,
    at text not null);
create table day (number integer primary key, day text not null, at text not null);
create table chain (number integer primary key, tops text not null, digest blob not null, hash blob not null);

-- Working tables: derivable from the books above.
create table cursor (name text primary key, value integer not null) without rowid;
create table wake (patient integer primary key, day text not null);
create index wake_day on wake (day);
create table touched (turn integer primary key, patient integer not null unique);
create table again (message integer primary key);
create table moved (patient integer not null, key blob not null, primary key (patient, key)) without rowid;
create table struck (patient integer not null, posting text not null, primary key (patient, posting)) without rowid;
create table outbox (
    seq integer primary key, destination text not null, lane integer not null, patient integer not null,
    course text not null, state integer not null, attempt integer not null);
create index outbox_next on outbox (destination, state, lane, seq);
create index outbox_patient on outbox (patient);
create table open_item (
    key text primary key, category text not null, reason text not null, patient integer not null,
    course text not null, destination text not null, message integer not null, place text not null,
    note text not null, since text not null) without rowid;
create index open_item_patient on open_item (patient);
create index open_item_message on open_item (message);
"""

_FHIR = """
-- Working tables, derivable from the requests of FHIR senders: what their resources are called, and each version.
create table named (key blob not null, id text not null, primary key (key, id)) without rowid;
create table resource (
    key blob not null, version integer not null, message integer not null, entry integer not null,
    content blob not null, primary key (key, version)) without rowid;
"""

_EDITIONS = """
create table edition_files (number integer primary key, digest text not null unique, body blob not null);
"""

_IDENTITY = """
create table identity (
    number integer primary key, kind text not null check (kind in ('merge', 'coverage')), patient integer not null,
    other integer not null, account text not null, payer text not null, insurance text not null,
    revision integer not null, message integer not null, content blob not null);
create index identity_patient on identity (patient);
create index identity_other on identity (other);
"""

# SQLite cannot widen a check in place.
_VISITS = """
create table identity_wide (
    number integer primary key, kind text not null check (kind in ('merge', 'coverage', 'visit')),
    patient integer not null, other integer not null, account text not null, payer text not null,
    insurance text not null, revision integer not null, message integer not null, content blob not null);
insert into identity_wide select * from identity;
drop table identity;
alter table identity_wide rename to identity;
create index identity_patient on identity (patient);
create index identity_other on identity (other);
"""

# Numbered, never edited once released: a change is a new entry.
MIGRATIONS: tuple[str, ...] = (_FIRST, _FHIR, _EDITIONS, _IDENTITY, _VISITS)
KEPT = (*(book.name for book in BOOKS), "chain")


def guards() -> str:
    """Return the triggers that refuse every update and delete of a book."""
    return "\n".join(
        f"create trigger if not exists {name}_no_{verb} before {verb} on {name} "
        f"begin select raise(abort, 'the books are insert only'); end;"
        for name in KEPT
        for verb in ("update", "delete")
    )
