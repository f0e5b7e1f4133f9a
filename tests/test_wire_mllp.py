"""The framer: frames are found whatever the reads, junk is told, memory is bounded."""

import time
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_radcharge.errors import MessageError
from fhir_radcharge.wire.mllp import Frame, Framer, Junk, Oversize, frame

A, B = b"MSH|A\r", b"MSH|B\r"
pieces = st.lists(
    st.sampled_from([b"\x0b", b"\x1c", b"\r", b"\n", b"MSH|\r", b"x", b"\x1c\r", b"\x0bMSH\r\x1c\r", b"yyyyyyyyyyyyy"]),
    max_size=25,
).map(b"".join)


def items(chunks, limit=30):
    framer = Framer(limit)
    return [item for chunk in chunks for item in framer.feed(chunk)] + framer.finish()


def one_by_one(data):
    return [data[n : n + 1] for n in range(len(data))]


@settings(derandomize=True, max_examples=600, deadline=None)
@given(pieces, st.lists(st.integers(0, 80), max_size=6), st.sampled_from([1, 5, 30, 1000]))
def test_the_items_do_not_depend_on_how_the_stream_is_cut(data, cuts, limit):
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    chunks = [data[a:b] for a, b in pairwise(edges)]

    assert items([data], limit) == items(chunks, limit) == items(one_by_one(data), limit)


@settings(derandomize=True, max_examples=300, deadline=None)
@given(pieces, st.sampled_from([1, 5, 30]))
def test_no_more_than_the_limit_is_ever_kept(data, limit):
    framer = Framer(limit)
    for byte in one_by_one(data):
        framer.feed(byte)
        assert framer.held <= limit + 1


@settings(derandomize=True, max_examples=300, deadline=None)
@given(pieces)
def test_a_frame_behind_anything_survives(data):
    assert Frame(B) in items([data + frame(B)])


@settings(derandomize=True, max_examples=200, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=20), max_size=5))
def test_what_is_framed_is_found(payloads):
    clean = [payload.translate(None, b"\x0b\x1c") + b"\r" for payload in payloads]

    assert [Frame(payload) for payload in clean] == items([b"".join(frame(payload) for payload in clean)])


def test_a_frame_without_any_cr_waits_until_the_sender_is_known_to_be_silent():
    framer = Framer()

    assert framer.feed(b"\x0bMSH|A\x1c") == []
    assert framer.doubtful
    assert [Frame(b"MSH|A")] == framer.settle()
    assert [Frame(B)] == framer.feed(b"\r" + frame(B))


def test_settling_delivers_nothing_of_a_frame_that_is_still_coming():
    framer = Framer()
    framer.feed(b"\x0bMSH|A")

    assert framer.settle() == []
    assert framer.inside
    assert [Frame(A)] == framer.feed(b"\r\x1c\r")


def test_a_frame_that_ends_its_last_segment_is_delivered_without_waiting_for_the_final_cr():
    assert [Frame(A)] == Framer().feed(b"\x0b" + A + b"\x1c")


def test_a_payload_of_exactly_the_limit_is_taken_and_one_byte_more_is_not():
    assert [Frame(A)] == items([frame(A)], len(A))
    assert [Oversize(len(A) - 1)] == items([frame(A)], len(A) - 1)
    assert [Oversize(len(A) - 1)] == items(one_by_one(frame(A)), len(A) - 1)


def test_an_endless_frame_is_said_once_and_the_next_one_survives():
    endless = [b"\x0b", *[b"x" * 1000] * 5000]

    assert [Oversize(1000), Frame(B)] == items([*endless, frame(B)], 1000)


def test_a_peer_that_speaks_no_mllp_can_be_told_before_it_ends():
    framer = Framer()
    framer.feed(b"GET / HTTP/1.1\r\n\r\n")

    assert (framer.junk, framer.inside, framer.held) == (18, False, 0)


def test_a_cut_frame_is_junk_at_the_end_and_the_framer_is_as_new():
    framer = Framer()
    framer.feed(b"\x0bMSH|")

    assert [Junk(5, "cut short")] == framer.finish()
    assert [Frame(B)] == framer.feed(frame(B))


@pytest.mark.parametrize("byte", [b"\x0b", b"\x1c"])
def test_a_payload_with_a_framing_byte_is_never_sent(byte):
    with pytest.raises(MessageError) as caught:
        frame(b"MSH|" + byte)

    assert caught.value.place == "frame"


def test_a_megabyte_one_byte_at_a_time_takes_linear_time():
    framer = Framer()
    started = time.perf_counter()
    framer.feed(b"\x0b")
    for _ in range(200_000):
        framer.feed(b"x")
    took = time.perf_counter() - started

    assert [Frame(b"x" * 200_000 + b"\r")] == framer.feed(b"\r\x1c\r")
    assert took < 5
