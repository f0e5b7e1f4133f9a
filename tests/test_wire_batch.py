"""Files of messages: every message is found, every wrong count is said, memory is bounded by one message."""

import random

from fhir_radcharge.wire import mllp
from fhir_radcharge.wire.batch import Entry, messages

ONE = b"MSH|^~\\&|RV|L|||20260312||DFT^P03|%d|P|2.3\rEVN|P03\rFT1|1|EV-1\r"


def places(data, **limits):
    return [(entry.number, entry.problem.place) for entry in messages(data, **limits) if entry.problem]


def raws(data, **limits):
    return [entry.raw for entry in messages(data, **limits) if entry.problem is None]


def comparable(entries):
    return [(entry.number, entry.raw, str(entry.problem)) for entry in entries]


def test_a_bare_message_is_one_entry_byte_for_byte():
    assert [Entry(1, ONE % 1)] == list(messages(ONE % 1))


def test_a_message_keeps_its_line_ends_and_loses_the_blank_lines_behind_it():
    lf = (ONE % 1).replace(b"\r", b"\n")

    assert [lf, ONE % 2] == raws(lf + b"\n\n" + ONE % 2 + b"\r\r\n\x1a")


def test_nothing_and_blank_lines_are_no_messages():
    assert tuple(list(messages(data)) for data in (b"", b"\r\n \r\n", [])) == ([], [], [])


def test_a_problem_says_how_many_messages_came_before_it():
    data = b"FHS|^~\\&\rBHS|^~\\&\r" + ONE % 1 + b"BTS|2\rBHS|^~\\&\r" + ONE % 2 + b"BTS|1\rFTS|3\r"

    assert places(data) == [(1, "BTS-1"), (2, "FTS-1")]


def test_a_file_without_batches_may_count_messages():
    assert places(b"FHS|^~\\&\r" + ONE % 1 + ONE % 2 + b"FTS|2\r") == []


def test_a_batch_that_is_not_closed_is_said_when_the_next_begins():
    assert places(b"BHS|^~\\&\r" + ONE % 1 + b"BHS|^~\\&\r" + ONE % 2 + b"BTS|1\r") == [(1, "BTS")]


def test_a_message_above_the_limit_keeps_its_number_and_the_next_one_survives():
    data = ONE % 1 + ONE % 2 + b"NTE|" + b"x" * 500 + b"\r" + ONE % 3

    assert places(data, message_bytes_max=200) == [(2, "file")]
    assert [entry.number for entry in messages(data, message_bytes_max=200) if not entry.problem] == [1, 3]


def test_an_endless_message_is_dropped_in_bounded_memory():
    def chunks():
        yield ONE % 1
        for _ in range(5000):
            yield b"x" * 1000
        yield b"\r" + ONE % 2

    assert raws(chunks(), message_bytes_max=2000) == [ONE % 2]


def test_frames_with_an_envelope_inside_are_followed():
    framed = [b"BHS|^~\\&\r", ONE % 1, ONE % 2, b"BTS|3\r"]

    assert places(b"".join(map(mllp.frame, framed))) == [(2, "BTS-1")]
    assert raws(mllp.frame(ONE % 1 + ONE % 2)) == [ONE % 1, ONE % 2]


def test_a_frame_cut_short_is_a_problem():
    assert places(mllp.frame(ONE % 1) + mllp.frame(ONE % 2)[:-3]) == [(1, "file")]


def test_any_file_is_the_same_in_any_chunks():
    chance = random.Random(3)
    parts = [b"MSH|", b"BTS|1", b"BTS", b"FTS|1", b"FHS|", b"BHS|", b"\r", b"\n", b"\r\n", b"xxxxxxxx", b"MS", b"H"]
    parts += [b" ", b"\x0b", b"\x1c\r", b"FTS|", b"\xef\xbb\xbf", b"\x1a"]
    for _ in range(3000):
        data = b"".join(chance.choice(parts) for _ in range(chance.randrange(14)))
        limit = chance.choice([10, 14, 30, 1000])
        whole = comparable(messages(data, limit))
        for size in (1, 3):
            cut = (data[n : n + size] for n in range(0, len(data), size))
            assert whole == comparable(messages(cut, limit)), data
