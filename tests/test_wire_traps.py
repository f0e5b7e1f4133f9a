"""Every trap of fixtures/wire is read as its row declares: whole, byte by byte, and with a neighbour behind it."""

from pathlib import Path

import pytest
import yaml
from wire_paths import value_at

from fhir_radcharge.errors import MessageError
from fhir_radcharge.wire import batch, conformance, er7, mllp

TRAPS = Path(__file__).parent.parent / "fixtures" / "wire"
ROWS = yaml.safe_load((TRAPS / "traps.yaml").read_text(encoding="utf-8"))
NEIGHBOUR = b"MSH|^~\\&|NEXT|DOOR|||20260312||DFT^P03|N1|P|2.3\rFT1|1|N-1\r"

traps = pytest.mark.parametrize("row", ROWS, ids=[row["file"] for row in ROWS])
files = pytest.mark.parametrize(
    "row", [row for row in ROWS if "messages" in row], ids=[row["file"] for row in ROWS if "messages" in row]
)
streams = pytest.mark.parametrize(
    "row", [row for row in ROWS if "items" in row], ids=[row["file"] for row in ROWS if "items" in row]
)


def _bytes(row):
    return (TRAPS / row["file"]).read_bytes()


def _one_by_one(data):
    return (data[n : n + 1] for n in range(len(data)))


def _framed(chunks, row):
    framer = mllp.Framer(row.get("limit", mllp.PAYLOAD_BYTES_MAX))
    return [item for chunk in chunks for item in framer.feed(chunk)] + framer.finish()


def _payloads(row):
    data = _bytes(row)
    if "items" in row:
        return [item.payload for item in _framed([data], row) if isinstance(item, mllp.Frame)]
    return [entry.raw for entry in batch.messages(data) if entry.problem is None]


def _read(row):
    """Return the messages that are read and the places at which others are refused."""
    read, refused = [], []
    for payload in _payloads(row):
        try:
            read.append(er7.read_message(payload))
        except MessageError as error:
            refused.append(error.place)
    return read, refused


def _label(item):
    match item:
        case mllp.Frame():
            return "frame"
        case mllp.Oversize():
            return "oversize"
        case mllp.Junk(size, _):
            return f"junk {size}"


@traps
def test_a_trap_is_read_or_refused_as_declared(row):
    read, refused = _read(row)

    assert row.get("refused", []) == refused
    assert bool(read) or bool(refused) or row.get("messages") == 0 or "frame" not in row.get("items", [])


@traps
def test_a_trap_has_the_declared_values(row):
    read, _ = _read(row)
    said = {}
    for path in row.get("values", {}):
        number, _, place = path.rpartition(":")
        said[path] = value_at(read[int(number or 1) - 1], place)

    assert row.get("values", {}) == said
    if "segments" in row:
        assert row["segments"] == len(read[0].segments)


@traps
def test_a_trap_has_the_declared_character_set_and_warnings(row):
    read, _ = _read(row)

    if "charset" in row:
        assert row["charset"] == read[0].charset
    assert row.get("warnings", []) == [w.partition(":")[0] for message in read for w in message.warnings]


@traps
def test_a_trap_that_is_read_is_written_byte_for_byte(row):
    read, _ = _read(row)

    assert [message.raw for message in read] == [er7.write_message(message) for message in read]


@pytest.mark.parametrize("row", [row for row in ROWS if "findings" in row], ids=lambda row: row["file"])
def test_a_trap_has_exactly_the_declared_findings(row):
    read, _ = _read(row)
    found = [f"{finding.severity} {finding.place} {finding.code}" for finding in conformance.findings(read[0])]

    assert sorted(row["findings"]) == sorted(found)


@files
def test_a_file_has_the_declared_messages_and_problems(row):
    entries = list(batch.messages(_bytes(row)))

    assert row["messages"] == sum(entry.problem is None for entry in entries)
    assert row.get("problems", []) == [entry.problem.place for entry in entries if entry.problem]


@files
def test_a_file_is_the_same_one_byte_at_a_time(row):
    data = _bytes(row)

    assert _comparable(batch.messages(data)) == _comparable(batch.messages(_one_by_one(data)))


@files
def test_a_file_that_is_cut_short_is_still_answered_with_entries_only(row):
    data = _bytes(row)

    for end in range(0, len(data), 7):
        for entry in batch.messages(data[:end]):
            _read_or_refuse(entry.raw)


@files
def test_a_file_leaves_its_neighbour_whole(row):
    entries = list(batch.messages(_bytes(row) + b"\r" + NEIGHBOUR))

    assert [entry.raw for entry in entries if entry.problem is None][-1] == NEIGHBOUR


@streams
def test_a_stream_has_the_declared_items(row):
    assert row["items"] == [_label(item) for item in _framed([_bytes(row)], row)]


@streams
def test_a_stream_is_the_same_one_byte_at_a_time(row):
    data = _bytes(row)

    assert _framed([data], row) == _framed(_one_by_one(data), row)


@streams
def test_a_stream_leaves_its_neighbour_whole(row):
    assert mllp.Frame(NEIGHBOUR) in _framed([_bytes(row) + mllp.frame(NEIGHBOUR)], row)


def _comparable(entries):
    return [(entry.number, entry.raw, str(entry.problem)) for entry in entries]


def _read_or_refuse(raw):
    if raw:
        try:
            er7.read_message(raw)
        except MessageError:
            return
