"""Logs as one JSON object a line, in which no patient, payload or foreign identifier can appear.

Senders put names and record numbers into control ids, so an identifier enters a log only as a keyed hash. An
exception is logged as its type and place: its text may quote what it failed on. Records of foreign loggers
keep their name and level and lose their words.
"""

from __future__ import annotations

import hashlib
import json
import logging
import sys
from datetime import UTC, datetime
from typing import IO, Any

_NAME = "fhir_radcharge"
Plain = str | int | float | bool | None


class EventLog:
    """Say what happened as an event name and plain values."""

    def __init__(self, name: str = _NAME) -> None:
        self._logger = logging.getLogger(name)

    def debug(self, event: str, **values: Plain) -> None:
        """Log detail that only matters when something is looked for."""
        self._logger.debug(event, extra={"values": values})

    def info(self, event: str, **values: Plain) -> None:
        """Log what an operator would like to have read afterwards."""
        self._logger.info(event, extra={"values": values})

    def warning(self, event: str, **values: Plain) -> None:
        """Log what a peer did wrong and was dealt with."""
        self._logger.warning(event, extra={"values": values})

    def error(self, event: str, **values: Plain) -> None:
        """Log what somebody has to look at."""
        self._logger.error(event, extra={"values": values})

    def defect(self, event: str, error: BaseException, **values: Plain) -> None:
        """Log our own bug with its kind and place; its words may quote a message."""
        self._logger.error(event, exc_info=error, extra={"values": values})


log = EventLog()


class JsonLines(logging.Formatter):
    """Format a record as one line of JSON: time (UTC), level, event and its values."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; control characters are escaped by JSON, so nobody can forge a second line."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, Any] = {"at": at, "level": record.levelname.lower()}
        if record.name == _NAME or record.name.startswith(_NAME + "."):
            line["event"] = record.msg if isinstance(record.msg, str) else "event"
            line.update(getattr(record, "values", {}))
        else:
            line.update(event="foreign_log", logger=record.name)
        if record.exc_info and record.exc_info[0]:
            line["exception"] = record.exc_info[0].__name__
            line["place"] = _place(record.exc_info[2])
        return json.dumps(line, ensure_ascii=True, default=lambda value: type(value).__name__)


def _place(trace: Any) -> str:
    """Return file and line where it was raised, without the words."""
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return ""
    return f"{trace.tb_frame.f_code.co_filename.rsplit('/', 1)[-1]}:{trace.tb_lineno}"


def write_logs(stream: IO[str] | None = None, level: str = "info") -> None:
    """Send every log record of this process to the stream (stderr by default) as JSON lines."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # A full log volume must not stop charging, nor print records to a terminal.
    logging.raiseExceptions = False


def surrogate(secret: bytes, identifier: str) -> str:
    """Return the name by which a foreign identifier may appear in a log: the same each time, not reversible
    without the site's secret."""
    return hashlib.blake2s(identifier.encode(), key=secret[:32], digest_size=8).hexdigest()
