"""Turn a stream of bytes, in whatever pieces, into MLLP frames, and payloads back into frames."""

from typing import NamedTuple

from fhir_radcharge.errors import MessageError

START = 0x0B
END = 0x1C
CR = 0x0D

# A DFT with 500 charge lines is about 150 KB; one mebibyte leaves room for embedded documents and still
# keeps a thousand connections, each holding an unfinished frame, inside a gigabyte.
PAYLOAD_BYTES_MAX = 1024 * 1024


class Frame(NamedTuple):
    """One complete payload, without its framing bytes."""

    payload: bytes


class Junk(NamedTuple):
    """Bytes that belong to no complete frame; only counted, because they may hold patient data."""

    size: int
    reason: str  # "between frames", "restarted", "empty frame" or "cut short"


class Oversize(NamedTuple):
    """A frame longer than the limit; said once, when the limit is passed, and its bytes are dropped."""

    limit: int


Item = Frame | Junk | Oversize


class Framer:
    """Cut a byte stream into frames; the items are the same however the stream is sliced into reads.

    The rules, where senders differ from the standard:

    * A frame ends at 0x1C if the byte before it is CR (the last segment is complete) or the byte behind it
      is CR or a start byte. So a missing final CR does no harm. Any other 0x1C is data: the standard forbids
      it, but to cut a message there would lose the charges behind it.
    * A last 0x1C with no CR before it and nothing behind it yet leaves the frame `doubtful`; whoever owns the
      connection calls `settle` when nothing has come for a moment.
    * A start byte inside a frame begins a new frame, and the piece before it is junk.
    * After an oversize frame everything up to the next start byte is dropped; the next frame survives.
    """

    __slots__ = ("_buffer", "_dropping", "_ended", "_inside", "_junk", "_limit", "_scanned")

    def __init__(self, payload_bytes_max: int = PAYLOAD_BYTES_MAX) -> None:
        self._limit = payload_bytes_max
        self._buffer = bytearray()  # the unfinished frame, without its start byte
        self._scanned = 0  # how much of the buffer holds no end of the frame
        self._inside = False
        self._ended = False  # a frame has just ended: one CR may follow
        self._dropping = False  # an oversize frame is passing by
        self._junk = 0

    @property
    def held(self) -> int:
        """Return how many bytes of an unfinished frame are kept in memory; never above limit and one."""
        return len(self._buffer)

    @property
    def inside(self) -> bool:
        """Tell whether a frame has begun and not ended, so that a slow sender can be timed."""
        return self._inside or self._dropping

    @property
    def junk(self) -> int:
        """Return how many bytes outside frames have come since the last item: a peer that speaks no MLLP."""
        return self._junk

    @property
    def doubtful(self) -> bool:
        """Tell whether the frame is complete if, and only if, nothing more comes."""
        return self._inside and self._buffer.endswith(b"\x1c")

    def feed(self, data: bytes) -> list[Item]:
        """Take the next bytes and return the items that they complete, in order."""
        found: list[Item] = []
        source: bytes | bytearray = data
        if self._buffer:
            self._buffer += data
            source = self._buffer
        kept_from = self._consume(source, found)
        if source is self._buffer:
            del self._buffer[:kept_from]
        elif kept_from < len(data):
            self._buffer += memoryview(data)[kept_from:]
        return found

    def settle(self) -> list[Item]:
        """Deliver a doubtful frame; call it when the sender has fallen silent. Return [] if there is none."""
        if not self.doubtful:
            return []
        payload = bytes(self._buffer[:-1])
        self._begin_anew()
        self._ended = True
        return [self._judged(payload)]

    def finish(self) -> list[Item]:
        """Return what the end of the stream leaves: a doubtful frame, or junk; the framer is then as new."""
        found = self.settle()
        if self._inside:
            found.append(Junk(len(self._buffer) + 1, "cut short"))
        if self._junk:
            found.append(Junk(self._junk, "between frames"))
        self._begin_anew()
        self._junk, self._dropping, self._ended = 0, False, False
        return found

    def _begin_anew(self) -> None:
        self._buffer.clear()
        self._scanned, self._inside = 0, False

    def _consume(self, source: bytes | bytearray, found: list[Item]) -> int:
        """Deal with `source` as far as it can be decided; return from where the unfinished frame is kept."""
        at, scan = 0, self._scanned
        while self._inside or (at := self._start(source, at, found)) >= 0:
            scan = max(scan, at)
            self._inside = True
            end = _end(source, at, scan)
            if end < 0:
                return self._unfinished(source, at, scan, found)
            payload = bytes(source[at:end])
            if START in payload:
                *pieces, payload = payload.split(b"\x0b")
                found.extend(self._restarted(len(piece)) for piece in pieces)
            item = self._judged(payload)
            found.append(item)
            self._dropping = isinstance(item, Oversize)
            self._ended = not self._dropping
            self._inside = False
            at = end + 1
        self._scanned = 0
        return len(source)

    def _start(self, source: bytes | bytearray, at: int, found: list[Item]) -> int:
        """Return where the next frame's payload begins, or -1; count what lies before it."""
        if self._ended and at < len(source):
            self._ended = False
            if source[at] == CR:
                at += 1
        start = source.find(START, at)
        if not self._dropping:
            self._junk += (start if start >= 0 else len(source)) - at
        if start < 0:
            return -1
        self._dropping = self._ended = False
        if self._junk:
            found.append(Junk(self._junk, "between frames"))
            self._junk = 0
        return start + 1

    def _unfinished(self, source: bytes | bytearray, at: int, scan: int, found: list[Item]) -> int:
        """Keep the last piece of an unfinished frame, unless it is already too long."""
        last = source.rfind(START, scan)
        if last >= 0:
            pieces = bytes(source[at:last]).split(b"\x0b")
            found.extend(self._restarted(len(piece)) for piece in pieces)
            at = last + 1
        open_end = 1 if source[-1:] == b"\x1c" and len(source) > at else 0
        size = len(source) - at - open_end
        if size > self._limit:
            found.append(Oversize(self._limit))
            self._inside, self._dropping, self._scanned = False, True, 0
            return len(source)
        self._scanned = size  # a last 0x1C is looked at again when its neighbour has come
        return at

    def _restarted(self, size: int) -> Item:
        return Oversize(self._limit) if size > self._limit else Junk(size + 1, "restarted")

    def _judged(self, payload: bytes) -> Item:
        if len(payload) > self._limit:
            return Oversize(self._limit)
        return Frame(payload) if payload else Junk(2, "empty frame")


def frame(payload: bytes) -> bytes:
    """Wrap a payload in its framing bytes; one that holds a framing byte is refused, never sent."""
    if START in payload or END in payload:
        raise MessageError("frame", "the payload holds a framing byte, 0x0B or 0x1C", "escape it as \\X1C\\")
    return b"\x0b" + payload + b"\x1c\r"


def _end(source: bytes | bytearray, begin: int, scan: int) -> int:
    """Return where the frame that begins at `begin` ends, or -1 if that is not known yet."""
    end = source.find(END, scan)
    while end >= 0:
        if end > begin and source[end - 1] == CR:
            return end
        if end + 1 == len(source):
            return -1
        if source[end + 1] in (CR, START):
            return end
        end = source.find(END, end + 1)
    return -1
