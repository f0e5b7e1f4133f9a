"""What stands beside the database: the lock of its one writer, and the site's secret."""

from __future__ import annotations

import fcntl
import os
import secrets
from pathlib import Path
from time import monotonic, sleep

from fhir_radcharge.errors import LedgerError

_LOOK_S = 0.05


class Lock:
    """Held by the one process that may write; the operating system lets go of it when that process dies.

    `within_s` is how long to wait for a process that is about to end.
    """

    def __init__(self, database: Path, within_s: float = 0.0) -> None:
        self.path = database.with_name(database.name + ".lock")
        try:
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise LedgerError(f"{self.path.name} cannot be opened: {error.strerror}") from error
        until = monotonic() + within_s
        while not self._taken():
            if monotonic() >= until:
                os.close(self._file)
                raise LedgerError(f"{database.name} is open in another process; stop it, or ask it over its socket")
            sleep(_LOOK_S)

    def _taken(self) -> bool:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    def release(self) -> None:
        """Let another process have the books; doing it twice does nothing."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def site_secret(database: Path, *, create: bool) -> bytes:
    """Return the key of all patient hashes, made once with a new database and needed ever after."""
    path = database.with_name(database.name + ".secret")
    try:
        if create and not path.exists():
            _write_secret(path)
        mode = path.stat().st_mode & 0o777
        if mode & 0o077:
            raise LedgerError(f"{path.name} can be read by others; set its mode to 600")
        secret = path.read_bytes()
    except OSError as error:
        raise LedgerError(f"{path.name}: {error.strerror}; put the secret of this database back beside it") from error
    if len(secret) != 32:
        raise LedgerError(f"{path.name} is not a whole secret; put the one of this database back")
    return secret


def _write_secret(path: Path) -> None:
    # A name of its own first: a secret that was half written must never be taken for one.
    unfinished = path.with_name(path.name + ".new")
    file = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(file, secrets.token_bytes(32))
        os.fsync(file)
    finally:
        os.close(file)
    unfinished.rename(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
