"""The configuration: turns one TOML file into checked, frozen values, or into the list of its mistakes.

Every mistake is told at once, each with its file, its key, its cause and the way out. Paths are relative to
the file that names them.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from fhir_radcharge.config_values import (
    Address,
    At,
    File,
    Folder,
    Name,
    Names,
    OnWeb,
    Place,
    Seconds,
    SecretFile,
    Size,
    Target,
    TimeZone,
    Web,
    near,
)
from fhir_radcharge.errors import ConfigError


class Section(BaseModel):
    """A table of the file: no unknown keys, no conversions, no changes afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class SiteSection(Section):
    """Who and where this engine is."""

    name: Name = Field(description='a short name such as "north"')
    timezone: TimeZone = Field(description='a zone such as "America/Chicago"')


class StoreSection(Section):
    """Where the books are."""

    path: Place = Field(description='the database file, such as "var/radcharge.db"')
    free_mib_min: int = Field(
        default=64, ge=0, description="MiB that must be free on its disk; below it nothing is heard, 0: never mind"
    )


class RulesSection(Section):
    """Where the tables and profiles are."""

    mappings: Folder = Field(description='the folder of tables and profiles, such as "mappings"')


class ListenTLS(Section):
    """The certificates of a listener."""

    cert: File = Field(description="a file with the listener's certificate chain (PEM)")
    key: SecretFile = Field(description="a file with its private key (PEM), mode 600")
    client_ca: File | None = Field(
        default=None, description="a file with the CA of the senders' certificates (PEM)"
    )
    client_names: Names = Field(default=(), description="a list of the certificate names that may connect")


class SendTLS(Section):
    """The certificates of a link."""

    ca: File | None = Field(
        default=None, description="a file with the CA of the destination's certificate (PEM)"
    )
    cert: File | None = Field(default=None, description="a file with our own certificate chain (PEM)")
    key: SecretFile | None = Field(default=None, description="a file with our private key (PEM), mode 600")


class ListenLimits(Section):
    """What a listener grants a peer."""

    frame: Annotated[Size, Field(le=16 * 1024**2)] = Field(
        default=1024**2, description='a size up to "16MiB"'
    )
    frame_s: Seconds = Field(default=30.0, description="seconds from the first to the last byte of a frame")
    idle_s: Seconds = Field(default=900.0, description="seconds after which a silent connection is closed")
    connections: int = Field(default=1_000, ge=1, description="how many connections this listener takes")
    connections_per_peer: int = Field(
        default=64, ge=1, description="how many connections it takes from one address"
    )
    owed: int = Field(default=256, ge=1, description="how many unanswered messages a connection may have")


class Listen(Section):
    """One MLLP listener."""

    name: Name = Field(description='a short name such as "rv-north"')
    bind: At = Field(description='an address such as "127.0.0.1:2575"')
    senders: Names = Field(
        default=(), description="a list of the sender profiles that may speak here; empty: all"
    )
    strict: bool = Field(default=False, description="true or false")
    tls: ListenTLS | None = Field(default=None, description="a table with cert and key")
    allow_plaintext: str | None = Field(default=None, min_length=8, description="a sentence that says why")
    limits: Annotated[ListenLimits, Field(description="a table of limits")] = ListenLimits()


class FhirLimits(Section):
    """What a FHIR listener grants a peer."""

    body: Annotated[Size, Field(le=4 * 1024**2)] = Field(default=4 * 1024**2, description='a size up to "4MiB"')
    body_s: Seconds = Field(default=30.0, description="seconds from the first to the last byte of a body")
    header_s: Seconds = Field(default=10.0, description="seconds that a header may take")
    idle_s: Seconds = Field(default=60.0, description="seconds after which a silent connection is closed")
    connections: int = Field(default=1_000, ge=1, description="how many connections this listener takes")
    connections_per_peer: int = Field(
        default=64, ge=1, description="how many connections it takes from one address"
    )


class FhirListen(Section):
    """One FHIR listener: what is posted there was sent by one sender."""

    name: Name = Field(description='a short name such as "rv-fhir"')
    bind: At = Field(description='an address such as "127.0.0.1:8080"')
    sender: Name = Field(description="the name of a FHIR sender profile")
    token: SecretFile | None = Field(
        default=None, description="a file with the token that senders show, mode 600"
    )
    tls: ListenTLS | None = Field(default=None, description="a table with cert and key")
    allow_plaintext: str | None = Field(default=None, min_length=8, description="a sentence that says why")
    limits: Annotated[FhirLimits, Field(description="a table of limits")] = FhirLimits()


class SmartSection(Section):
    """How a link gets its tokens (SMART Backend Services)."""

    token_url: OnWeb = Field(description='an address such as "https://auth.example.org/token"')
    client_id: str = Field(min_length=1, description="the name under which the destination knows us")
    key: SecretFile = Field(description="a file with our private key (PEM), mode 600")
    key_id: str = Field(min_length=1, description="the name of that key in the key set that we published")
    algorithm: Literal["RS384", "ES384"] = Field(description='"RS384" or "ES384"')
    scope: str = Field(min_length=1, description='scopes such as "system/ChargeItem.cru"')


class SendTo(Section):
    """One link to a destination: MLLP to an address, FHIR to the base of a server."""

    name: Name = Field(description="the name of a destination profile")
    to: Target = Field(
        description='an address such as "ifc.example.org:6661", or a base such as "https://fhir.example.org/r4"'
    )
    connections: int | None = Field(default=None, ge=1, le=64, description="how many connections, 1 to 64")
    timeout_s: Seconds = Field(default=30.0, description="seconds to wait for an answer")
    retry_cap_s: Seconds = Field(
        default=60.0, description="seconds, the longest wait between two tries to connect"
    )
    on_ambiguous: Literal["hold", "resend", "query"] | None = Field(
        default=None, description='"hold", "resend" or "query"'
    )
    tls: SendTLS | None = Field(default=None, description="a table with ca, cert and key, each optional")
    smart: SmartSection | None = Field(default=None, description="a table for tokens of a FHIR server")
    allow_plaintext: str | None = Field(default=None, min_length=8, description="a sentence that says why")


class ControlSection(Section):
    """The local socket by which verbs reach a running server."""

    socket: Place = Field(description='a path such as "var/radcharge.sock"')


class WorkSection(Section):
    """How one process shares its time and memory."""

    slice_ms: float = Field(default=5.0, gt=0, le=1_000, description="milliseconds of processing at a time")
    door_ms: float = Field(
        default=6.0, ge=0, le=1_000, description="milliseconds for senders between two slices"
    )
    messages_in_slice: int = Field(default=500, ge=1, description="how many messages a slice takes at most")
    frames_in_commit: int = Field(default=512, ge=1, le=10_000, description="how many frames a commit takes")
    connections: int = Field(default=10_000, ge=1, description="how many inbound connections in all")
    buffer: Size = Field(default=256 * 1024**2, description='a size such as "256MiB"')
    drain_s: Seconds = Field(default=8.0, description="seconds that stopping may take")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description='"debug", "info", "warning" or "error"'
    )


class CreditsSection(Section):
    """When a flood of credits stops for a second person."""

    per_hour_before_pause: int = Field(ge=0, description="how many credits an hour may go out unasked")


class Config(Section):
    """The whole file."""

    site: SiteSection = Field(description="a table with name and timezone")
    store: StoreSection = Field(description="a table with path")
    rules: RulesSection = Field(description="a table with mappings")
    listen: Annotated[tuple[Listen, ...], Field(strict=False)] = Field(
        default=(), description="a list of listeners"
    )
    fhir_listen: Annotated[tuple[FhirListen, ...], Field(strict=False)] = Field(
        default=(), description="a list of FHIR listeners"
    )
    send: Annotated[tuple[SendTo, ...], Field(strict=False)] = Field(
        default=(), description="a list of links"
    )
    control: ControlSection = Field(description="a table with socket")
    work: Annotated[WorkSection, Field(description="a table")] = WorkSection()
    credits: CreditsSection = Field(description="a table with per_hour_before_pause")


def load(path: Path) -> Config:
    """Return the configuration of a file; raise ConfigError with every mistake in it, one to a line."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(f"{path.name}: cannot be read: {reason}; check the path and its permissions") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path.name}: is not TOML: {error}; correct that place") from None
    try:
        config = Config.model_validate(data, context={"folder": path.absolute().parent})
        mistakes = list(_contradictions(config))
    except ValidationError as error:
        mistakes = [_told(mistake, data) for mistake in error.errors()]
    if mistakes:
        raise ConfigError("\n".join(f"{path.name}: {mistake}" for mistake in mistakes))
    return config


def _contradictions(config: Config) -> Iterator[str]:
    """Yield what is wrong only in view of another key."""
    doors = [(f"{kind}[{one.name}]", one) for kind, one in _doors(config)]
    if not doors and not config.send:
        yield "listen: there is neither a listener nor a link; add [[listen]], [[fhir_listen]] or [[send]]"
    yield from _twice("listen", [one.name for _, one in doors])
    yield from _twice("send", [one.name for one in config.send])
    binds = [one.bind for _, one in doors if one.bind.port]
    for key, door in doors:
        if binds.count(door.bind) > 1:
            yield f"{key}.bind: is used twice; give each its own port"
        yield from _plaintext(key, door.bind, door.tls, door.allow_plaintext)
        if door.tls and door.tls.client_names and not door.tls.client_ca:
            yield f"{key}.tls.client_names: nothing vouches for names; add client_ca"
    for send in config.send:
        yield from _in_the_clear(send)
        if not send.to.port:
            yield f"send[{send.name}].to: port 0 is nowhere; write the destination's port"
        if send.tls and bool(send.tls.cert) != bool(send.tls.key):
            yield f"send[{send.name}].tls: cert and key belong together; write both or neither"


def _doors(config: Config) -> list[tuple[str, Listen | FhirListen]]:
    return [*(("listen", one) for one in config.listen), *(("fhir_listen", one) for one in config.fhir_listen)]


def _in_the_clear(send: SendTo) -> Iterator[str]:
    """Yield what would cross a network readable by all: patient data, or a signed request for a token."""
    key = f"send[{send.name}]"
    if isinstance(send.to, Address):
        yield from _plaintext(key, send.to, send.tls, send.allow_plaintext)
        if send.smart is not None:
            yield f"{key}.smart: tokens are for FHIR; write the base of a FHIR server into to, or remove it"
    elif send.to.scheme != "https":
        if send.tls is not None:
            yield f"{key}.tls: the address begins with http; write https, or remove the table"
        yield from _plaintext(key, send.to, None, send.allow_plaintext)
    if send.smart is not None and send.smart.token_url.scheme != "https" and not send.smart.token_url.loopback:
        yield f"{key}.smart.token_url: a token would cross the network in the clear; write https"


def _twice(kind: str, names: list[str]) -> Iterator[str]:
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"{kind}[{name}].name: is used twice; give each its own name"


def _plaintext(key: str, address: Address | Web, tls: Section | None, reason: str | None) -> Iterator[str]:
    # HL7 over plain TCP shows and lets change every message to whoever sits between; loopback has no between.
    if not (address.loopback or tls or reason):
        yield (
            f"{key}: patient data would cross the network in the clear; add a [{key.partition('[')[0]}.tls] table,"
            ' or allow_plaintext = "why it is safe here"'
        )


def _told(mistake: ErrorDetails, data: Mapping[str, Any]) -> str:
    key, section, field = _place(mistake["loc"], data)
    if mistake["type"] == "extra_forbidden":
        known = list(section.model_fields)
        wrong = str(mistake["loc"][-1])
        return f"{key}: there is no such key{near(wrong, known) or '; known: ' + ', '.join(sorted(known))}"
    fix = f"write {field}" if field else "correct it"
    if mistake["type"] == "missing":
        return f"{key}: is missing; {fix}"
    if mistake["type"] == "value_error":
        return f"{key}: {mistake['input']!r} {mistake['ctx']['error']}; {fix}"
    cause = mistake["msg"][:1].lower() + mistake["msg"][1:]
    return f"{key}: {cause}; {fix}"


def _place(location: tuple[int | str, ...], data: Any) -> tuple[str, type[Section], str]:
    """Return the key as a person reads it, the section that it stands in, and what should stand there."""
    key, description = "", ""
    section: type[Section] = Config
    for part in location:
        if isinstance(part, int):
            entry = data[part] if isinstance(data, list) and part < len(data) else None
            name = entry.get("name") if isinstance(entry, dict) else None
            key += f"[{name if isinstance(name, str) else part + 1}]"
            data = entry
            continue
        key += f".{part}" if key else part
        data = data.get(part) if isinstance(data, dict) else None
        field = section.model_fields.get(part)
        description = field.description or "" if field else ""
        section = _section_of(field.annotation if field else None) or section
    return key, section, description


def _section_of(annotation: Any) -> type[Section] | None:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    parts = getattr(annotation, "__args__", ())
    return next((found for part in parts if (found := _section_of(part))), None)
