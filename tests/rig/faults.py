"""What may go wrong in a run, and how often."""

from __future__ import annotations

from typing import NamedTuple


class Crash(BaseException):
    """The process has died: whatever was not committed never happened.

    Not an Exception, so that no handler of the engine can survive its own death.
    """


class Undone(Exception):
    """The transaction around a call is undone for a reason of somebody else's, and the engine lives on."""


class Faults(NamedTuple):
    """Shares in which each thing goes wrong."""

    request_lost: float = 0.0  # a message never reaches the listener
    answer_lost: float = 0.0  # it does, and the sender never hears so
    cut_connection: float = 0.0  # the connection ends in the middle of a frame
    repeat: float = 0.0  # the sender says an acknowledged message again
    reorder: float = 0.0  # a message overtakes those before it
    garbage: float = 0.0  # something that is no charge at all arrives
    crash: float = 0.0  # the engine dies between two transactions
    crash_inside: float = 0.0  # the engine dies inside a transaction
    disk: float = 0.0  # the database fails in the middle of a transaction
    undone: float = 0.0  # the transaction around a call is undone, and the engine lives on
    send_lost: float = 0.0  # a posting never reaches the biller
    reply_lost: float = 0.0  # it does, and we never hear so
    foreign: float = 0.0  # the answer of another message comes instead
    refuse: float = 0.0  # the biller says AE
    busy: float = 0.0  # the biller says AR
    paused: float = 0.0  # a person pauses what goes to a biller, and resumes it later
    rules: float = 0.0  # the tables change, for the past too


NONE = Faults()
WIRE = Faults(
    request_lost=0.1,
    answer_lost=0.1,
    cut_connection=0.05,
    repeat=0.1,
    send_lost=0.1,
    reply_lost=0.1,
    foreign=0.05,
    busy=0.05,
)
ORDER = Faults(reorder=0.5, repeat=0.2)
DEATH = Faults(crash=0.05, crash_inside=0.08, disk=0.03, undone=0.1, answer_lost=0.05, reply_lost=0.1)
PEOPLE = Faults(refuse=0.05, garbage=0.1, busy=0.05, paused=0.3)
RULES = Faults(rules=0.15, reorder=0.1, repeat=0.05, reply_lost=0.05, crash=0.02)
ALL = Faults(
    request_lost=0.05,
    answer_lost=0.08,
    cut_connection=0.04,
    repeat=0.1,
    reorder=0.3,
    garbage=0.05,
    crash=0.03,
    crash_inside=0.04,
    disk=0.02,
    undone=0.05,
    send_lost=0.06,
    reply_lost=0.08,
    foreign=0.03,
    refuse=0.02,
    busy=0.04,
    paused=0.05,
    rules=0.03,
)
KINDS = {
    "none": NONE,
    "wire": WIRE,
    "order": ORDER,
    "death": DEATH,
    "people": PEOPLE,
    "rules": RULES,
    "all": ALL,
}
