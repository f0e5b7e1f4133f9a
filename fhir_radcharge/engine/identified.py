"""A message with another patient's or another insurance's segments, whichever way the treatment was heard."""

from __future__ import annotations

from typing import Any

from fhir_radcharge.errors import MessageError
from fhir_radcharge.wire.adt import INSURANCE, insurance_of, with_segments
from fhir_radcharge.wire.er7 import Message
from fhir_radcharge.wire.values import recoded

_PATIENT = frozenset({"PID"})
# PID-18 is the account of a visit, not of a person.
_VISIT = 18
# PV1-19 is the number of the visit.
_NUMBER = 19


def with_patient(heard: Any, other: Any) -> Any:
    """Return a message that names the patient of another one, for the visit that it names itself.

    Raises MessageError where that cannot be written.
    """
    own = _v2(heard)
    named = with_segments(own, _v2(other), _PATIENT)
    visit = own.first("PID")[_VISIT : _VISIT + 1] or [""]
    return Message(
        named.delimiters,
        [_of_visit(segment, visit[0]) if segment[0] == "PID" else segment for segment in named.segments],
        named.charset,
    )


def with_visit(heard: Any, other: Any) -> Any:
    """Return a message for the visit that another one names; raise MessageError where that cannot be written."""
    own, told = _v2(heard), _v2(other)
    account, visit = _field(told, "PID", _VISIT), _field(told, "PV1", _NUMBER)
    if _field(own, "PID", _VISIT) and not account:
        account = visit
    same = told.delimiters[:5] == own.delimiters[:5]
    account, visit = (one if same else recoded(one, told.delimiters, own.delimiters) for one in (account, visit))
    fields = {"PID": (_VISIT, account), "PV1": (_NUMBER, visit)}
    return Message(
        own.delimiters,
        [_with_field(segment, *fields[segment[0]]) if segment[0] in fields else segment for segment in own.segments],
        own.charset,
    )


def with_insurance(heard: Any, other: Any) -> Any:
    """Return a message that carries the insurance of another one; raise MessageError where that cannot be written."""
    return with_segments(_v2(heard), _v2(other), INSURANCE)


def insurance_in(heard: Any) -> str:
    """Return the name of the insurance that a message carries, "" if it has none or is not HL7 v2."""
    return insurance_of(heard) if isinstance(heard, Message) else ""


def _of_visit(pid: list[str], visit: str) -> list[str]:
    long = pid + [""] * (_VISIT + 1 - len(pid))
    return [*long[:_VISIT], visit, *long[_VISIT + 1 :]]


def _field(message: Message, name: str, at: int) -> str:
    return "".join(message.first(name)[at : at + 1])


def _with_field(segment: list[str], at: int, value: str) -> list[str]:
    """Return a segment with another field; a value that is not told changes nothing."""
    if not value:
        return segment
    long = segment + [""] * (at + 1 - len(segment))
    return [*long[:at], value, *long[at + 1 :]]


def _v2(heard: Any) -> Message:
    if not isinstance(heard, Message):
        raise MessageError(
            "subject",
            "the patient or coverage was changed by HL7 v2 and the treatment told by FHIR",
            "say this one by hand",
            "unsafe",
        )
    return heard
