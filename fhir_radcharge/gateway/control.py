"""The local socket: turns one line of JSON into a verb on the running engine, and its result into another line.

Whoever may open the socket may do everything, so only the owner of the process may: its mode is 0600.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from fhir_radcharge import errors
from fhir_radcharge.errors import ConfigError, RadchargeError, UnsafeError
from fhir_radcharge.gateway.logs import log

LINE_BYTES_MAX = 4 * 1024 * 1024

Obey = Callable[[str, Mapping[str, Any]], Awaitable[Any]]


class NoServerError(RadchargeError):
    """No server is running at the socket."""


class ControlSocket:
    """Listen for verbs at a path; `obey` returns a verb's result or raises what its asker is to read."""

    def __init__(self, path: Path, obey: Obey) -> None:
        self._path = path
        self._obey = obey
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Bind, for the owner alone; a socket that a dead server left behind is taken over."""
        self._server = await asyncio.start_unix_server(self._serve, sock=_bound(self._path), limit=LINE_BYTES_MAX)

    async def close(self) -> None:
        """Take no more verbs."""
        if self._server is not None:
            self._server.close()
            self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                reply = await self._reply(line)
                writer.write(json.dumps(reply, default=str).encode() + b"\n")
                await writer.drain()
        except (ConnectionError, ValueError):
            log.warning("control_dropped")  # a line without end, or an asker who went away
        finally:
            writer.close()

    async def _reply(self, line: bytes) -> dict[str, Any]:
        try:
            asked = json.loads(line)
            verb, args = asked["verb"], asked.get("args", {})
            if not isinstance(verb, str) or not isinstance(args, dict):
                raise TypeError
        except (ValueError, KeyError, TypeError, AttributeError):
            return _error("UnsafeError", 'a request is one line such as {"verb": "status", "args": {}}')
        try:
            return {"ok": True, "result": await self._obey(verb, args)}
        except RadchargeError as error:
            return _error(type(error).__name__, str(error))
        except Exception as error:  # noqa: BLE001  its text may quote a message, so only its kind is told
            log.error("verb_failed", error=type(error).__name__)
            return _error("RadchargeError", f"the verb failed with {type(error).__name__}; nothing was changed")


def ask(path: Path, verb: str, args: Mapping[str, Any], within_s: float = 60.0) -> Any:
    """Return what a running server answers to a verb; raise its error, or NoServerError if none is running."""
    line = json.dumps({"verb": verb, "args": dict(args)}, default=str).encode() + b"\n"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as channel:
        channel.settimeout(within_s)
        try:
            channel.connect(str(path))
        except OSError as error:
            raise NoServerError(f"no server answers at {path.name}: {error.strerror}") from None
        channel.sendall(line)
        with channel.makefile("rb") as answer:
            told = answer.readline()
    if not told:
        raise NoServerError("the server ended before it answered; ask again when it runs")
    reply = json.loads(told)
    if reply["ok"]:
        return reply["result"]
    kind = getattr(errors, reply["kind"], RadchargeError)
    # A MessageError is built from its parts; the asker needs only the words.
    raise (RadchargeError if kind is errors.MessageError else kind)(reply["error"])


def _error(kind: str, text: str) -> dict[str, Any]:
    return {"ok": False, "kind": kind, "error": text}


def _bound(path: Path) -> socket.socket:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"control.socket: {error.strerror}; name a folder that is there or can be made") from None
    if path.exists():
        if not stat.S_ISSOCK(path.stat().st_mode):
            raise ConfigError(f"control.socket: {path.name} exists and is no socket; name another path")
        try:
            ask(path, "status", {}, 2.0)
        except (NoServerError, OSError):
            path.unlink()
        else:
            raise UnsafeError(f"another server answers at {path.name}; stop it first")
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o177)
    try:
        channel.bind(str(path))
    except OSError as error:
        channel.close()
        raise ConfigError(f"control.socket: {error.strerror}; a path of up to 100 characters is needed") from None
    finally:
        os.umask(mask)
    return channel
