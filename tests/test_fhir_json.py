"""Strict JSON: what is refused, how fast, and that no digit is lost."""

import time
from decimal import Decimal

import pytest

from fhir_radcharge.errors import MessageError
from fhir_radcharge.wire.fhir.strict_json import dumps, loads

BOMBS = {
    "deep lists": b"[" * 100_000 + b"]" * 100_000,
    "deep objects": b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
    "sixty-five levels": b"[" * 66 + b"]" * 66,
    "brackets in texts hide the depth": b'["]",' * 70 + b"1" + b"]" * 70,
    "a bomb of empty lists": b'{"a":[' + b"[]," * 1_000_000 + b"[]]}",
    "a bomb of members": b'{"a":[' + b"1," * 1_500_000 + b"1]}",
    "too large": b'"' + b"a" * (5 * 1024 * 1024) + b'"',
    "a number of a million digits": b'{"a":' + b"9" * 1_000_000 + b"}",
    "a fraction of a million digits": b'{"a":0.' + b"9" * 1_000_000 + b"}",
    "a huge exponent": b'{"a":1e999999999}',
    "a tiny exponent": b'{"a":1e-999999999}',
    "not a number": b'{"a":NaN}',
    "infinity": b'{"a":-Infinity}',
    "the same key twice": b'{"a":1,"a":2}',
    "the same key twice, escaped": b'{"a":1,"\\u0061":2}',
    "nothing": b"",
    "not UTF-8": b'{"a":"\xff"}',
    "UTF-16": '{"a":1}'.encode("utf-16"),
    "cut short": b'{"a":',
    "two values": b"{} {}",
    "a trailing comma": b'{"a":1,}',
    "leading zeros": b'{"a":01}',
    "a bare control character": b'{"a":"\x01"}',
}


@pytest.mark.parametrize("raw", BOMBS.values(), ids=BOMBS.keys())
def test_a_hostile_body_is_refused_in_well_under_a_tenth_of_a_second(raw: bytes) -> None:
    started = time.process_time()
    with pytest.raises(MessageError) as refused:
        loads(raw)
    spent = time.process_time() - started

    assert (refused.value.place, spent < 0.1) == ("body", True)


def test_a_refusal_never_quotes_the_body() -> None:
    with pytest.raises(MessageError) as refused:
        loads(b'{"name":"Testpatient", "name":"Alder"}')

    assert "Testpatient" not in str(refused.value)
    assert "Alder" not in str(refused.value)


@pytest.mark.parametrize(
    "text", ["1.00", "1.10", "0.1", "100.50", "-0.0", "1E+2", "1.0E-7", "123456789012345.123456789", "5", "-3"]
)
def test_a_number_leaves_with_the_digits_with_which_it_came(text: str) -> None:
    assert dumps(loads(f'{{"value":{text}}}'.encode())) == f'{{"value":{text}}}'.encode()


def test_sixty_four_levels_are_taken() -> None:
    raw = b"[" * 64 + b"]" * 64

    assert dumps(loads(raw)) == raw


def test_what_is_written_is_read_as_the_same() -> None:
    value = {"text": 'a "quoted" \\ line\nend é 漢 \u2028', "none": None, "yes": True, "no": False, "list": [1, {}, []],
             "money": Decimal("1.00")}  # fmt: skip

    assert loads(dumps(value)) == value
    assert b'"money":1.00' in dumps(value)


def test_a_binary_float_is_our_bug() -> None:
    with pytest.raises(AssertionError):
        dumps({"value": 0.1})
