"""Says in words how an FT1 is shifted when its transaction type or quantity is not where it should be.

Of public charge messages a third carry the type outside FT1-6. Such a line is explained and parked; it is
never moved into place, because a guess here is a wrong bill.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fhir_radcharge.errors import MessageError
from fhir_radcharge.wire.facts import shown

_TYPE = 6
_QUANTITY = 10
_LOOK_AROUND = 4
_SHORT = 3


def type_problem(ft1: Sequence[str], value: str, types: Mapping[str, object], file: str) -> MessageError:
    """Return what to say of an FT1 whose transaction type is not one of the sender's."""
    for distance in range(1, _LOOK_AROUND + 1):
        for field in (_TYPE - distance, _TYPE + distance):
            if 1 <= field < len(ft1) and ft1[field] in types:
                return _shifted(ft1, field)
    if not value:
        return MessageError(
            "FT1-6",
            "the transaction type is missing",
            f"send one that {file} lists under line.types, such as CG",
            "101",
        )
    return MessageError(
        "FT1-6",
        f"transaction type '{shown(value)}' is not in {file}",
        "say under line.types whether it is charge, credit, held or ignored, and reread the message",
        "103",
    )


def quantity_problem(ft1: Sequence[str], value: str) -> MessageError:
    """Return what to say of an FT1 whose quantity is missing or is not a number."""
    if not value:
        if seems_shifted(ft1):
            return MessageError(
                "FT1-10",
                "FT1-9 holds a number where FT1-10 should; the segment looks shifted by -1 from field 9",
                "correct the field order at the sender and resend; it is not re-aligned here",
                "101",
            )
        return MessageError("FT1-10", "the quantity is missing", "send the number of units", "101")
    return MessageError(
        "FT1-10", "the quantity is not a whole number of units", "send digits such as 1", "102"
    )


def seems_shifted(ft1: Sequence[str]) -> bool:
    """Say whether FT1-10 is empty and the withdrawn description before it holds a number."""
    return (len(ft1) <= _QUANTITY or not ft1[_QUANTITY]) and len(ft1) > _QUANTITY - 1 and ft1[9].isdigit()


def _shifted(ft1: Sequence[str], field: int) -> MessageError:
    shift = field - _TYPE
    held = ft1[_TYPE] if len(ft1) > _TYPE else ""
    found = "is empty" if not held else "holds something else"
    start = min(field, _TYPE)
    return MessageError(
        "FT1-6",
        f"FT1-{field} holds {ft1[field]} where FT1-6 should, and FT1-6 {found}; "
        f"the segment looks shifted by {shift:+d} from field {start}",
        "correct the field order at the sender and resend; it is not re-aligned here",
        "103" if held else "101",
    )
