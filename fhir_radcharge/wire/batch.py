"""Turn a file of messages, enveloped, framed or bare, into its messages and the problems of the file."""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from fhir_radcharge.errors import MessageError
from fhir_radcharge.wire import mllp

# A file's message may carry what no MLLP frame would, so the limit is wider; memory stays near it.
MESSAGE_BYTES_MAX = 16 * 1024 * 1024

# A header or trailer at the start of a line, followed by something that can be a field separator.
# A trailer may have no fields at all, and may then be the last thing in the file.
_HEAD = re.compile(rb"(?<![^\r\n])(?:(?:MSH|FHS|BHS|BTS|FTS)(?=[!-/:-@\[-`{-~])|(?:BTS|FTS)(?=[\r\n]))")
_LAST = re.compile(rb"(?<![^\r\n])(?:BTS|FTS)\Z")
_FHS, _BHS, _BTS, _FTS = b"FHS", b"BHS", b"BTS", b"FTS"
_NAME_BYTES = 3  # may already belong to the next message while its separator has not come
_HEAD_BYTES = 5  # a line end, the name and the separator: what a cut between two chunks can hide
_LINE_ENDS = b"\r\n\x1a\x00"  # the last two end files of old systems
_BLANK = b" \t" + _LINE_ENDS
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_OPENING = re.compile(rb"\A(?:[ \t\r\n\x1a\x00]|\xef\xbb\xbf)+")


class Entry(NamedTuple):
    """One message, or one problem of the file; a problem carries how many messages came before it."""

    number: int
    raw: bytes
    problem: MessageError | None = None


def messages(data: bytes | Iterable[bytes], message_bytes_max: int = MESSAGE_BYTES_MAX) -> Iterator[Entry]:
    """Yield the messages of a file, given whole or in chunks, numbered from 1, and its problems between them.

    FHS, BHS, BTS and FTS are followed and their counts checked; lines may end in CR, LF or both; MLLP framing
    is recognised by a first 0x0B. A wrong count, a missing trailer, text outside messages and a message above
    the limit each yield an entry with a problem, and the other messages are still there.
    """
    chunks = iter((data,)) if isinstance(data, bytes) else iter(data)
    first = b""
    for chunk in chunks:
        first = _OPENING.sub(b"", first + chunk)
        if first and not _BYTE_ORDER_MARK.startswith(first):
            break
    rest = _followed_by(first, chunks)
    envelope = _Envelope()
    if first.startswith(b"\x0b"):
        yield from _framed(rest, envelope, message_bytes_max)
    else:
        yield from envelope.entries(_pieces(rest, message_bytes_max))
    yield from envelope.end()


def _followed_by(first: bytes, chunks: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from chunks


def _framed(chunks: Iterable[bytes], envelope: "_Envelope", limit: int) -> Iterator[Entry]:
    framer = mllp.Framer(limit)
    for chunk in chunks:
        yield from _of_items(framer.feed(chunk), envelope, limit)
    yield from _of_items(framer.finish(), envelope, limit)


def _of_items(items: Iterable[mllp.Item], envelope: "_Envelope", limit: int) -> Iterator[Entry]:
    for item in items:
        match item:
            case mllp.Frame(payload) if _is_one(payload, limit):
                yield envelope.one(payload)
            case mllp.Frame(payload):
                yield from envelope.entries(_pieces([payload], limit))
            case mllp.Oversize():
                yield from envelope.entries([_Piece(b"MSH", oversize=True)])
            case mllp.Junk(size, "between frames") if size <= len(b"\r\n"):
                pass  # archives put a line end behind each frame
            case mllp.Junk(size, reason):
                yield envelope.problem("file", f"{size} bytes in no frame ({reason})", "check the archive")


def _is_one(payload: bytes, limit: int) -> bool:
    """Return whether a frame is surely one message and nothing else, without looking at its lines: the usual case."""
    return (
        len(payload) <= limit
        and payload.startswith(b"MSH")
        and payload.count(b"MSH") == 1
        and _FHS not in payload
        and _BHS not in payload
        and _BTS not in payload
        and _FTS not in payload
    )


class _Piece(NamedTuple):
    """The bytes from one header or trailer up to the next."""

    raw: bytes
    oversize: bool = False


def _pieces(chunks: Iterable[bytes], limit: int) -> Iterator[_Piece]:
    """Cut a stream before every header and trailer; keep at most one message and one chunk in memory."""
    buffer = bytearray()
    scanned = 0
    dropping = False
    for chunk in chunks:
        buffer += chunk
        begin = 0
        for match in _HEAD.finditer(buffer, max(scanned, 1)):
            if not dropping:
                yield _piece(buffer[begin : match.start()], limit)
            begin, dropping = match.start(), False
        del buffer[:begin]
        if dropping or len(buffer) > limit + _NAME_BYTES:
            if not dropping:
                yield _piece(buffer, limit)
            dropping = True
            del buffer[:-_HEAD_BYTES]
        scanned = max(len(buffer) - _HEAD_BYTES + 1, 0)
    last = _LAST.search(buffer, 1)
    if not dropping:
        yield _piece(buffer[: last.start()] if last else buffer, limit)
    if last:
        yield _Piece(last.group())


def _piece(raw: bytearray, limit: int) -> _Piece:
    return _Piece(bytes(raw[:3]), oversize=True) if len(raw) > limit else _Piece(bytes(raw))


class _Envelope:
    """What has been opened, and how many messages and batches it has held so far."""

    def __init__(self) -> None:
        self._messages = 0
        self._in_batch: int | None = None  # messages since BHS; None outside a batch
        self._batches: int | None = None  # batches since FHS; None outside a file envelope
        self._in_file = 0

    def entries(self, pieces: Iterable[_Piece]) -> Iterator[Entry]:
        """Yield the message or the problems of each piece."""
        for piece in pieces:
            name = piece.raw[:3]
            if name == b"MSH":
                yield self._message(piece)
                continue
            line, rest = _first_line(piece.raw)
            if name == b"FHS":
                yield from self._file_header()
            elif name == b"BHS":
                yield from self._batch_header()
            elif name == b"BTS":
                yield from self._batch_trailer(line)
            elif name == b"FTS":
                yield from self._file_trailer(line)
            else:
                rest = piece.raw
            if rest.strip(_BLANK) or piece.oversize:
                yield self.problem("file", "there are lines that belong to no message", "begin it with MSH")

    def one(self, payload: bytes) -> Entry:
        """Return the entry of a frame that is one message."""
        return self._message(_Piece(payload))

    def end(self) -> Iterator[Entry]:
        """Yield what is still open when the file ends."""
        if self._in_batch is not None:
            yield self.problem("BTS", "the batch is not closed", "check that the file is complete")
        if self._batches is not None:
            yield self.problem("FTS", "the file is not closed", "check that the file is complete")

    def problem(self, place: str, problem: str, remedy: str) -> Entry:
        """Return a problem of the file as an entry."""
        return Entry(self._messages, b"", MessageError(place, problem, remedy, "207"))

    def _message(self, piece: _Piece) -> Entry:
        self._messages += 1
        self._in_file += 1
        if self._in_batch is not None:
            self._in_batch += 1
        if piece.oversize:
            return self.problem("file", "the message is above the limit", "split it or raise the limit")
        return Entry(self._messages, _trimmed(piece.raw))

    def _file_header(self) -> Iterator[Entry]:
        yield from self.end()
        self._in_batch, self._batches, self._in_file = None, 0, 0

    def _batch_header(self) -> Iterator[Entry]:
        if self._in_batch is not None:
            yield self.problem("BTS", "the batch before this one is not closed", "check that the file is complete")
        self._in_batch = 0
        if self._batches is not None:
            self._batches += 1

    def _batch_trailer(self, line: bytes) -> Iterator[Entry]:
        if self._in_batch is None:
            yield self.problem("BTS", "a batch is closed that was not opened", "check that the file is complete")
            return
        yield from self._counted("BTS-1", line, {self._in_batch})
        self._in_batch = None

    def _file_trailer(self, line: bytes) -> Iterator[Entry]:
        if self._in_batch is not None:
            yield self.problem("BTS", "the batch is not closed", "check that the file is complete")
            self._in_batch = None
        if self._batches is None:
            yield self.problem("FTS", "a file is closed that was not opened", "check that the file is complete")
            return
        # FTS-1 counts batches; where there are none, senders count messages.
        yield from self._counted("FTS-1", line, {self._batches} if self._batches else {0, self._in_file})
        self._batches = None

    def _counted(self, place: str, line: bytes, counts: set[int]) -> Iterator[Entry]:
        said = line[4:].split(line[3:4])[0].strip() if len(line) > 4 else b""
        if said and not (said.isdigit() and int(said[:18]) in counts):
            found = max(counts)
            yield self.problem(place, f"the count is not {found}, which were found", "ask the sender for the rest")


def _first_line(raw: bytes) -> tuple[bytes, bytes]:
    line, _, rest = raw.replace(b"\n", b"\r").partition(b"\r")
    return line, rest


def _trimmed(raw: bytes) -> bytes:
    """Return a message with the line end of its last segment and without the blank lines behind it."""
    end = len(raw.rstrip(_LINE_ENDS))
    tail = raw[end : end + 2]
    return raw[: end + (2 if tail == b"\r\n" else 1 if tail[:1] in (b"\r", b"\n") else 0)]
