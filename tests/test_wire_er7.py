"""The ER7 reader and writer: nothing is lost, nothing is injected, nothing but MessageError is raised."""

import random
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_radcharge.errors import MessageError
from fhir_radcharge.wire import er7

DELIMITERS = [
    er7.STANDARD,
    er7.Delimiters("|", "^", "~", "\\", "&", "#"),
    er7.Delimiters("#", "@", "*", "!", "%", ""),
]
MESSAGE = (
    b"MSH|^~\\&|RV|LAKESIDE|ENGINE|LAKESIDE|20260312||DFT^P03^DFT_P03|C1|P|2.5.1||||||UNICODE UTF-8\r"
    b"EVN|P03|20260312\rPID|1||TP0001^^^LAKESIDE^MR||TESTPATIENT^\xc3\x84LDER\rPV1|1|O|RADONC\r"
    b"FT1|1|EV-1||20260312|20260312|CG|77412^a\\T\\b^C4|||1\rZCH|1|TECH\rFT1|2|EV-2||20260312||CD|77387|||1\r"
)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30) | st.text(
    "|^~\\&#@*!%\r\n\x0b\x1cFSTREPX.br0Dé", max_size=20
)


@settings(derandomize=True, max_examples=800, deadline=None)
@given(texts, st.sampled_from(DELIMITERS))
def test_what_is_escaped_is_unescaped_to_the_same(text, d):
    assert text == er7.unescape(er7.escape(text, d), d)


@settings(derandomize=True, max_examples=800, deadline=None)
@given(texts, st.sampled_from(DELIMITERS))
def test_an_escaped_value_holds_no_delimiter_and_no_control_character(text, d):
    coded = er7.escape(text, d)

    assert not [mark for mark in (*d[:3], d.subcomponent, d.truncation) if mark and mark in coded]
    assert not [letter for letter in coded if letter < " " or letter == "\x7f"]


@settings(derandomize=True, max_examples=300, deadline=None)
@given(st.lists(st.lists(texts, min_size=1, max_size=6), min_size=1, max_size=5), st.sampled_from(DELIMITERS))
def test_what_is_built_is_read_back_leaf_by_leaf(rows, d):
    segments = [["MSH", d.field, d.encoding, *[""] * 9, "2.5.1"]]
    segments += [er7.build_segment("ZZZ", {n: er7.escape(t, d) for n, t in enumerate(row, 1)}) for row in rows]
    read = er7.read_message(er7.write_message(er7.Message(d, segments)))

    assert rows == [[er7.text(read, line, n) for n in range(1, len(line))] for line in read.all("ZZZ")]


def _hostile(chance):
    parts = ["\r", "\n", "\r\n", "\x0b", "\x1c", "\x1c\r", "|", "^", "~", "&", "\\", "\\X0D\\", "\\E\\", "\\F\\"]
    parts += ["FT1|9|X||20260101|20260101|CG|77412", "MSH|^~\\&|", "\x00", "\x7f", "\x85", "\u2028", "é", "a", '""']
    return "".join(chance.choice(parts) for _ in range(chance.randrange(1, 8)))


def test_hostile_values_never_make_a_segment_or_a_frame():
    chance = random.Random(4)
    for _ in range(500):
        values = [_hostile(chance) for _ in range(4)]
        fields = {2: er7.encode_component(values[0]), 7: er7.encode_field(values[1:])}
        segments = [["MSH", "|", "^~\\&", *[""] * 9, "2.5.1"], er7.build_segment("FT1", fields)]
        raw = er7.write_message(er7.Message(er7.STANDARD, segments))
        read = er7.read_message(raw)

        assert (2, raw.count(b"\r")) == (len(read.segments), 2)
        assert not set(raw) & {0x0A, 0x0B, 0x1C}
        assert values[0] == er7.text(read, read.first("FT1"), 2)
        assert values[1:] == [er7.text(read, read.first("FT1"), 7, n) for n in (1, 2, 3)]


def test_twenty_thousand_mutants_are_read_or_refused():
    chance = random.Random(2026)
    spice = [
        b"\r",
        b"\n",
        b"|",
        b"^",
        b"\\",
        b"MSH|",
        b"\x00",
        b"\xff",
        b"\xc3",
        b"\x1b$B",
        b"~ISO IR87",
        b"BIG-5",
        b"",
    ]
    refused = 0
    for _ in range(20_000):
        mutant = bytearray(MESSAGE)
        for _ in range(chance.randrange(1, 5)):
            at = chance.randrange(len(mutant) if chance.random() < 0.7 else 100)
            mutant[at : at + chance.randrange(4)] = chance.choice(spice)
        try:
            message = er7.read_message(bytes(mutant))
        except MessageError:
            refused += 1
            continue
        assert bytes(mutant) == er7.write_message(message)
        for segment in message.segments:
            er7.text(message, segment, 7, 2)

    assert 1_000 < refused < 19_000


def test_a_message_that_is_cut_short_is_read_or_refused_with_a_place():
    places = set()
    for end in range(len(MESSAGE)):
        try:
            assert MESSAGE[:end] == er7.write_message(er7.read_message(MESSAGE[:end]))
        except MessageError as error:
            places.add(error.place.partition(" ")[0])

    assert places == {"segment", "MSH-2", "MSH-18"}


def test_a_changed_field_is_written_and_the_rest_is_as_it_was():
    message = er7.read_message(MESSAGE)
    message.first("FT1")[6] = "CD"

    assert MESSAGE.replace(b"|CG|77412", b"|CD|77412") == er7.write_message(message)


def test_a_message_with_strange_line_ends_is_written_with_cr_once_it_is_changed():
    message = er7.read_message(MESSAGE.replace(b"\r", b"\r\n"))
    message.first("ZCH")[2] = "PRO"

    assert MESSAGE.replace(b"TECH", b"PRO") == er7.write_message(message)


@pytest.mark.parametrize("value", ["a|b", "a\rFT1|9", "a\nb", "\x0b", "\x1c"])
def test_a_field_that_was_not_escaped_is_refused_on_the_way_out(value):
    message = er7.read_message(MESSAGE)
    message.first("FT1")[2] = value

    with pytest.raises(MessageError) as caught:
        er7.write_message(message)
    assert caught.value.place == "segment 5"


def test_a_character_outside_the_charset_is_refused_on_the_way_out():
    message = er7.read_message(MESSAGE.replace(b"UNICODE UTF-8", b"8859/1").replace(b"\xc3\x84", b"\xc4"))
    message.first("PID")[5] = "TESTPATIENT^山"

    with pytest.raises(MessageError) as caught:
        er7.write_message(message)
    assert caught.value.place == "MSH-18"


def test_the_configured_charset_outranks_the_header():
    lying = MESSAGE.replace(b"\xc3\x84", b"\xc4")
    read = er7.read_message(lying, "8859/1")

    assert (er7.text(read, read.first("PID"), 5, 2), read.charset) == ("ÄLDER", "iso8859-1")
    assert lying == er7.write_message(read)


def test_typed_values_are_encoded_exactly():
    values = ["a|b", 7, Decimal("100.50"), date(2026, 3, 12), datetime(2026, 3, 12, 15, 4, tzinfo=UTC), None]

    assert er7.encode_field(values) == "a\\F\\b^7^100.50^20260312^20260312150400+0000"


def test_a_segment_is_built_by_field_number():
    assert er7.build_segment("FT1", {4: "20260312", 1: "1"}) == ["FT1", "1", "", "", "20260312"]


def test_repetitions_and_components_of_nothing_are_none():
    assert tuple(f("", er7.STANDARD) for f in (er7.repetitions, er7.components, er7.subcomponents)) == ([], [], [])


def test_an_error_never_repeats_what_the_sender_wrote():
    for raw in (MESSAGE.replace(b"EVN|", b"SECRET|"), MESSAGE.replace(b"|ENGINE", b"\n\xff|SECRET")):
        with pytest.raises(MessageError) as caught:
            er7.read_message(raw)
        assert "SECRET" not in str(caught.value)
