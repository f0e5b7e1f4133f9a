"""Every error this package raises, in one tree, so that a door knows what to answer.

    RadchargeError
      MessageError      what a sender sent cannot be used; answered, kept, and put on the work queue
      RuleError         the tables do not say what is due; stops one patient, not the engine
      TableError        a table, profile or case file is wrong; has its file and line
      ConfigError       the configuration cannot be used; nothing starts
      LedgerError       the books cannot be read or written; no positive answer is given
      UnsafeError       what is asked would be unsafe and is refused

A message names the place, the value and the way out, and never a person.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `; did you mean 'W'?` with the known word nearest to a wrong one, nothing where none is near."""
    near = difflib.get_close_matches(word, sorted(known), 1)
    return f"; did you mean '{near[0]}'?" if near else ""


class RadchargeError(Exception):
    """Anything that this package raises on purpose."""


class MessageError(RadchargeError):
    """A message or a part of it cannot be used.

    `place` is an HL7 location such as `FT1[2]-6.1` or a FHIR path, `code` the HL7 table 0357 code (`101`
    required field missing, `102` data type error, `103` table value not found, `200` message type, `203`
    version, `204` unknown key, `207` application error), `remedy` what makes it usable.
    """

    def __init__(self, place: str, problem: str, remedy: str, code: str = "207") -> None:
        super().__init__(f"{place}: {problem}; {remedy}")
        self.place = place
        self.problem = problem
        self.remedy = remedy
        self.code = code

    def __reduce__(self) -> tuple[Any, ...]:
        """Return what makes it anew in another process."""
        return type(self), (self.place, self.problem, self.remedy, self.code)


class RuleError(RadchargeError):
    """The tables give no answer, or two, for facts that they declare possible."""


class TableError(RadchargeError):
    """A table, profile or case file is wrong; the text begins with `file:line`."""


class ConfigError(RadchargeError):
    """The configuration cannot be used; the text names the key and the way out."""


class LedgerError(RadchargeError):
    """The books cannot be opened, read or written."""


class UnsafeError(RadchargeError):
    """What was asked for would be unsafe, and is refused."""
