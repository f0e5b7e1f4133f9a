"""A message that is not spelled fails, or not, exactly as the one that is."""

from dataclasses import replace
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from project import MAPPINGS, ROOT
from test_profiles_outbound import AT, CHARGE, POSTED, TAKEN_BACK, Books, destination
from test_wire_er7 import MESSAGE, texts

from fhir_radcharge.engine.rooms import rooms
from fhir_radcharge.errors import MessageError
from fhir_radcharge.site import load_site
from fhir_radcharge.whatif.sayable import NOT_WRITTEN, proved_message, proving_rooms
from fhir_radcharge.wire.destination import Destination
from fhir_radcharge.wire.er7 import Delimiters, Unopened, proved, read_message
from fhir_radcharge.wire.outbound import message_for
from fhir_radcharge.wire.values import WRITERS

SITE = load_site(MAPPINGS)
ODD = (
    MESSAGE, b"\r\n" + MESSAGE, MESSAGE.replace(b"\r", b"\r\n"), MESSAGE.replace(b"PV1", b"ZX9"),
    MESSAGE.replace(b"PV1|", b"pv1|"), MESSAGE.replace(b"PV1|1|O|RADONC\r", b" \r"), MESSAGE + MESSAGE,
    MESSAGE.replace(b"UNICODE UTF-8", b"8859/1"), MESSAGE.replace(b"UNICODE UTF-8", b"UTF-16"),
    MESSAGE.replace(b"\xc3", b"\xff"), MESSAGE.replace(b"^~\\&", b"^~"), MESSAGE.replace(b"^~\\&", b"^^"),
    b"", b"MSH", b"MSH|^~\\&", b"MSH|^~\\&|PLAIN\rPID|1|2|3|4", b"FHS|^~\\&|RV", b"\xff\xfeM\x00S\x00",
    *(path.read_bytes() for path in sorted((ROOT / "fixtures" / "messages").rglob("*.hl7"))),
)  # fmt: skip


def _told(function: Any, *arguments: Any) -> Any:
    try:
        return function(*arguments)
    except MessageError as problem:
        return str(problem)


def _parts(message: Any) -> Any:
    names = ("delimiters", "segments", "charset", "raw", "warnings")
    return message if isinstance(message, str) else [getattr(message, name) for name in names]


def _same(raw: bytes, charset: str | None) -> None:
    assert _parts(_told(proved, raw, charset)) == _parts(_told(read_message, raw, charset))


@pytest.mark.parametrize(("raw", "charset"), [*product(ODD, (None, "UTF-8", "ISO IR87", "UTF-16"))])
def test_a_proved_message_is_the_read_one(raw: bytes, charset: str | None) -> None:
    _same(raw, charset)


def test_a_usual_message_is_proved_without_being_split() -> None:
    assert [type(_told(proved, raw)) for raw in ODD[:2]] == [Unopened, Unopened]


@settings(derandomize=True, max_examples=2000, deadline=None)
@given(st.integers(0, len(MESSAGE)), st.integers(0, 4), st.sampled_from([b"", b"\r", b"|", b"M", b"\xff", b"\x1b$B"]))
def test_spoiled_bytes_are_proved_as_they_are_read(at: int, gone: int, put: bytes) -> None:
    _same(MESSAGE[:at] + put + MESSAGE[at + gone :], None)


EVERY = "\n".join(f"  ZAA-{n}: {name}" for n, name in enumerate(sorted(WRITERS), 1))
UTF_8 = destination(fields=EVERY)
TAKING = [UTF_8, replace(UTF_8, delimiters=Delimiters("#", "@", "*", "!", "%", "+")), replace(UTF_8, codec="ascii"),
          replace(UTF_8, codec="latin-1"), replace(UTF_8, delimiters=Delimiters("|", "^", "~", "", "&", ""))]  # fmt: skip


@settings(derandomize=True, max_examples=1500, deadline=None)
@given(st.integers(60, len(MESSAGE)), texts, texts, st.booleans(), st.sampled_from(TAKING))
def test_a_posting_is_sayable_where_it_can_be_written(
    at: int, put: str, told: str, credit: bool, to: Destination
) -> None:
    raw = MESSAGE[:at] + put.encode() + MESSAGE[at:]
    line = POSTED.line._replace(course=told, provider=told, note=told, place_of_service=told, dated_by=told)
    posting = (TAKEN_BACK if credit else POSTED)._replace(line=line)
    heard = _told(read_message, raw)
    if isinstance(heard, str):
        return
    written = _told(message_for, [posting], to, heard, CHARGE, AT, Books())
    found = _told(proved_message, [posting], to, proved(raw), CHARGE, AT, Books())

    assert found == (NOT_WRITTEN if type(proved(raw)) is Unopened and to in TAKING[:2] else written)
    assert to not in TAKING[:2] or isinstance(written, bytes)


def test_the_sender_of_a_message_is_found_by_remembered_headers() -> None:
    doors = proving_rooms()
    twice = [*ODD, *ODD]

    assert [_told(lambda raw: SITE.sender_for(doors.header(raw)), raw) for raw in twice] == [
        _told(lambda raw: SITE.sender_for(rooms().header(raw)), raw) for raw in twice]  # fmt: skip
