"""A request or an answer of HTTP as bytes that can be kept, and back: what the books hold of the FHIR doors.

The form is that of HTTP/1.1 itself (message/http): a first line, headers, an empty line, the body as it came. Only
headers that carry meaning are kept, and never a credential.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from fhir_radcharge.errors import MessageError

Headers = tuple[tuple[str, str], ...]

_VERBS: Final = (b"POST ", b"PUT /", b"GET /", b"PUT C", b"PUT P")


class Asked(NamedTuple):
    """A request: `path` is relative to the FHIR base, without a slash before it."""

    method: str
    path: str
    headers: Headers
    body: bytes

    def header(self, name: str) -> str:
        """Return a header of this name, empty where it is not there."""
        return _header(self.headers, name)


class Told(NamedTuple):
    """An answer."""

    status: int
    headers: Headers
    body: bytes

    def header(self, name: str) -> str:
        """Return a header of this name, empty where it is not there."""
        return _header(self.headers, name)


def is_request(raw: bytes) -> bool:
    """Tell whether stored bytes are a request of HTTP; a message of HL7 v2 begins with its header segment."""
    return raw[:5] in _VERBS


def request_bytes(asked: Asked) -> bytes:
    """Return a request as it is kept; the same request is the same bytes."""
    return _bytes(f"{asked.method} /{asked.path} HTTP/1.1", asked.headers, asked.body)


def answer_bytes(told: Told) -> bytes:
    """Return an answer as it is kept."""
    return _bytes(f"HTTP/1.1 {told.status}", told.headers, told.body)


def read_request(raw: bytes) -> Asked:
    """Return the request that kept bytes are; raise MessageError where they are none."""
    first, headers, body = _parts(raw)
    words = first.split(" ")
    if len(words) != 3 or not words[1].startswith("/"):
        raise _broken()
    return Asked(words[0], words[1][1:], headers, body)


def read_answer(raw: bytes) -> Told:
    """Return the answer that kept bytes are; raise MessageError where they are none."""
    first, headers, body = _parts(raw)
    words = first.split(" ")
    if len(words) < 2 or not words[1].isdigit():
        raise _broken()
    return Told(int(words[1]), headers, body)


def _bytes(first: str, headers: Sequence[tuple[str, str]], body: bytes) -> bytes:
    lines = [first, *(f"{name}: {value}" for name, value in headers)]
    if any("\r" in line or "\n" in line for line in lines):
        raise MessageError("request", "a header holds a line end", "send it without", "207")
    return "\r\n".join([*lines, "", ""]).encode("utf-8") + body


def _parts(raw: bytes) -> tuple[str, Headers, bytes]:
    head, mark, body = raw.partition(b"\r\n\r\n")
    if not mark:
        raise _broken()
    first, *lines = head.decode("utf-8", "replace").split("\r\n")
    headers = []
    for line in lines:
        name, colon, value = line.partition(": ")
        if not colon:
            raise _broken()
        headers.append((name, value))
    return first, tuple(headers), body


def _header(headers: Headers, name: str) -> str:
    return next((value for key, value in headers if key.lower() == name.lower()), "")


def _broken() -> MessageError:
    return MessageError("request", "the stored bytes are no HTTP message", "report it", "207")
