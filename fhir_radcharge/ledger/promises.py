"""What must be true of any books at any time, asked of the books alone."""

from __future__ import annotations

import sqlite3

from fhir_radcharge.ledger.chain import verify_chain

_STRUCK = "exists (select 1 from struck s where s.patient = {0}.patient and s.posting = {0}.id)"

_PROMISES: tuple[tuple[str, str], ...] = (
    (
        "a credit names no charge of its patient, destination and line",
        """select c.id from posting c left join posting p on p.id = c.credits
            where c.kind = 'CREDIT' and (p.id is null or p.kind != 'CHARGE' or p.patient != c.patient
                  or p.destination != c.destination or p.line_key != c.line_key)""",
    ),
    (
        "a charge is credited above its units",
        f"""select p.id from posting p join posting c on c.credits = p.id
             where not {_STRUCK.format("c")} and c.mode = p.mode group by p.id having sum(c.units) > p.units""",  # noqa: S608
    ),
    (
        "a credit was tried although its charge was never accepted",
        """select c.id from posting c join posting p on p.id = c.credits
            where p.mode = 'live' and exists (select 1 from attempt a where a.send = c.send)
              and not exists (select 1 from answer a where a.send = p.send
                              and a.kind in ('accepted', 'in_part', 'arrived'))""",
    ),
    (
        "a posting carries a message or an outbound message that is not there",
        """select id from posting p
            where (message > 0 and not exists (select 1 from message m where m.number = p.message))
               or (mode = 'live' and not exists (select 1 from send s where s.number = p.send))""",
    ),
    (
        "an event was read from a message that is not there",
        """select event_id from event e
            where message > 0 and not exists (select 1 from message m where m.number = e.message)""",
    ),
    (
        "an outbound message says nothing",
        "select control_id from send s where not exists (select 1 from posting p where p.send = s.number)",
    ),
    (
        "an outbound message neither waits nor has ended",
        """select control_id from send s
            where not exists (select 1 from outbox o where o.seq = s.number)
              and not exists (select 1 from answer a where a.send = s.number
                              and a.kind in ('accepted', 'in_part', 'arrived', 'refused', 'not_arrived',
                                             'withdrawn'))""",
    ),
    (
        "an answer is kept for an attempt that is not there",
        """select a.number from answer a
            where a.kind in ('accepted', 'in_part', 'refused', 'not_taken', 'silent')
              and not exists (select 1 from attempt t where t.send = a.send and t.attempt = a.attempt)""",
    ),
    (
        "an accepted posting does not stand",
        f"""select p.id from posting p join answer a on a.send = p.send
             where a.kind in ('accepted', 'arrived') and {_STRUCK.format("p")}""",  # noqa: S608
    ),
)


def broken_promises(connection: sqlite3.Connection) -> list[str]:
    """Return every promise that these books break, with the first example of each; an empty list is good news."""
    problem = verify_chain(connection).problem
    found = [f"the chain is broken: {problem}"] if problem else []
    for sentence, question in _PROMISES:
        row = connection.execute(question).fetchone()
        if row is not None:
            found.append(f"{sentence}: {row[0]}")
    return found
