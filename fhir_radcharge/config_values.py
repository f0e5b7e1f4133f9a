"""The kinds of values in a configuration: turns what the file says into addresses, sizes and paths."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, NamedTuple
from urllib.parse import urlsplit
from zoneinfo import available_timezones

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, ValidationInfo

_UNITS = {"": 1, "B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}


class Address(NamedTuple):
    """A host and a TCP port."""

    host: str
    port: int

    @property
    def loopback(self) -> bool:
        """Tell whether only this machine can be at the other end."""
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False


class Web(NamedTuple):
    """A place on the web: the base of a FHIR server, or where tokens are given."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def loopback(self) -> bool:
        """Tell whether only this machine can be at the other end."""
        return Address(self.host, self.port).loopback

    @property
    def url(self) -> str:
        """The address without a slash at its end."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.path}"


def _web(value: Any) -> Web:
    try:
        parts = urlsplit(value) if isinstance(value, str) else None
        port = parts.port if parts is not None else None
    except ValueError:
        parts = port = None
    good = parts is not None and parts.scheme in ("http", "https") and parts.hostname
    if parts is None or not good or parts.query or parts.fragment or parts.username or parts.password:
        raise ValueError("is not an address of the web without query and credentials")
    return Web(parts.scheme, parts.hostname or "", port or (443 if parts.scheme == "https" else 80),
               parts.path.rstrip("/"))  # fmt: skip


def _target(value: Any) -> Address | Web:
    return _web(value) if isinstance(value, str) and "://" in value else _address(value)


def _address(value: Any) -> Address:
    if isinstance(value, str):
        host, _, port = value.rpartition(":")
        host = host[1:-1] if host.startswith("[") and host.endswith("]") else host
        if re.fullmatch(r"[\w.:-]+", host, re.A) and re.fullmatch(r"[0-9]{1,5}", port) and int(port) < 65536:
            return Address(host, int(port))
    raise ValueError("is not a host and a port")


def _size(value: Any) -> Any:
    if isinstance(value, str):
        match = re.fullmatch(r"(\d{1,9}) ?(B|KiB|MiB|GiB)?", value)
        if match is None:
            raise ValueError("is not a size")
        return int(match[1]) * _UNITS[match[2] or ""]
    return value


def _path(value: Any, info: ValidationInfo) -> Any:
    if not isinstance(value, str) or not value:
        return value
    return (info.context or {})["folder"] / value


def _file(path: Path) -> Path:
    if not path.is_file():
        raise ValueError("is not a file")
    return path


def _secret(path: Path) -> Path:
    if _file(path).stat().st_mode & 0o077:
        raise ValueError("can be read by others on this machine (chmod 600)")
    return path


def _folder(path: Path) -> Path:
    if not path.is_dir():
        raise ValueError("is not a folder")
    return path


def _zone(value: str) -> str:
    zones = available_timezones()
    if value not in zones:
        raise ValueError("is not an IANA time zone" + near(value, zones))
    return value


def _name(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9_.-]{0,62}", value):
        raise ValueError("is not a name of small letters, digits, '-', '_' and '.'")
    return value


TimeZone = Annotated[str, AfterValidator(_zone)]
Name = Annotated[str, AfterValidator(_name)]
Size = Annotated[int, BeforeValidator(_size), Field(ge=1)]
Place = Annotated[Path, BeforeValidator(_path)]
File = Annotated[Path, BeforeValidator(_path), AfterValidator(_file)]
SecretFile = Annotated[Path, BeforeValidator(_path), AfterValidator(_secret)]
Folder = Annotated[Path, BeforeValidator(_path), AfterValidator(_folder)]
At = Annotated[Address, PlainValidator(_address)]
OnWeb = Annotated[Web, PlainValidator(_web)]
Target = Annotated[Address | Web, PlainValidator(_target)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]
Names = Annotated[tuple[str, ...], Field(strict=False)]


def near(wrong: str, known: Iterable[str]) -> str:
    """Return a question after the word that was probably meant, or nothing."""
    found = get_close_matches(wrong, sorted(known), 1, 0.6)
    return f"; did you mean {found[0]!r}?" if found else ""
