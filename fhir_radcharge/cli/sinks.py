"""Where messages are said for an analyst: to a listener over MLLP, to a FHIR door, or into a file; one at a time."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from http.client import HTTPConnection, HTTPException
from typing import Any, NoReturn
from urllib.parse import urlsplit

import click

from fhir_radcharge.cli import EXIT_UNAVAILABLE
from fhir_radcharge.config_values import Address
from fhir_radcharge.errors import ConfigError
from fhir_radcharge.plural import number_of
from fhir_radcharge.wire import ack
from fhir_radcharge.wire.mllp import Frame, Framer, frame

_ANSWER_WAIT_S = 30.0
_ACCEPTED = ("", "AA", "CA", "200", "201")

# Says a message and returns the code of its answer.
Say = Callable[[bytes], str]


def accepted(codes: Mapping[str, int]) -> bool:
    """Tell whether every answer was a positive one."""
    return all(code in _ACCEPTED for code in codes)


def answered(codes: Mapping[str, int]) -> str:
    """Return in words which answers came, and how often."""
    return "answered " + ", ".join(f"{code} {number_of(number, 'time')}" for code, number in sorted(codes.items()))


@contextmanager
def sink(option: str, to: str, who: str) -> Iterator[Say]:
    """Yield what says a message to an address, `mllp://host:port` or `http://host:port`, given by an option.

    `who` are the patients, in words, of whom a warning speaks where the address is another machine.
    """
    scheme = to.partition("://")[0]
    if scheme not in ("mllp", "http"):
        raise ConfigError(f"{option}: '{to}' is neither mllp://host:port nor http://host:port")
    reach = _spoken if scheme == "mllp" else _posted
    with reach(option, _address(option, to, who)) as say:
        yield say


def writing(out: Any) -> Say:
    """Return what writes a message and a line end; there is no answer."""
    def say(raw: bytes) -> str:
        out.write(raw + b"\n")
        return ""

    return say


def _address(option: str, to: str, who: str) -> Address:
    try:
        parts = urlsplit(to)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or not port:
        raise ConfigError(f"{option}: '{to}' is no address; write mllp://host:port or http://host:port")
    address = Address(host, port)
    if not address.loopback:
        click.echo(
            f"warning: {host} is another machine; {who} go there in the clear", err=True
        )
    return address


@contextmanager
def _spoken(option: str, address: Address) -> Iterator[Say]:
    """Yield what says a message over one connection and waits for its answer before the next."""
    try:
        channel = socket.create_connection((address.host, address.port), timeout=_ANSWER_WAIT_S)
    except OSError as error:
        _stop(f"{option}: nobody answers at {address.host}:{address.port}: {error.strerror or error}")
    framer = Framer()

    def say(raw: bytes) -> str:
        channel.sendall(frame(raw))
        while data := channel.recv(65_536):
            for item in framer.feed(data):
                if isinstance(item, Frame):
                    return ack.read_answer(item.payload).code
        _stop(f"{option}: the connection ended before an answer came; nothing more was sent")

    with channel:
        try:
            yield say
        except OSError as error:
            _stop(f"{option}: no answer came: {error.strerror or error}; nothing more was sent")


@contextmanager
def _posted(option: str, address: Address) -> Iterator[Say]:
    """Yield what posts a resource over one connection and waits for its answer before the next."""
    channel = HTTPConnection(address.host, address.port, timeout=_ANSWER_WAIT_S)

    def say(raw: bytes) -> str:
        channel.request("POST", _path_of(raw), raw, {"Content-Type": "application/fhir+json"})
        response = channel.getresponse()
        response.read()
        return str(response.status)

    with closing(channel):
        try:
            yield say
        except (OSError, HTTPException) as error:
            _stop(f"{option}: no answer came: {error or type(error).__name__}; nothing more was sent")


def _path_of(raw: bytes) -> str:
    """Return where a resource is posted; what is none goes to the base, which says what is wrong with it."""
    try:
        kind = json.loads(raw)["resourceType"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return "/fhir"
    return f"/fhir/{kind}" if kind in ("Procedure", "ChargeItem") else "/fhir"


def _stop(text: str) -> NoReturn:
    click.echo(text, err=True)
    sys.exit(EXIT_UNAVAILABLE)
