"""What the configuration and the profiles say, turned into the rules of listeners and links."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from fhir_radcharge.config import Config, Listen, SendTo
from fhir_radcharge.config_values import Web
from fhir_radcharge.errors import ConfigError, MessageError
from fhir_radcharge.gateway import tls
from fhir_radcharge.gateway.lobby import Door, Limits
from fhir_radcharge.gateway.pace import Pace
from fhir_radcharge.gateway.route import Backoff, Kind, Route
from fhir_radcharge.profiles.destinations import NO_QUERY
from fhir_radcharge.site import Site
from fhir_radcharge.wire import ack
from fhir_radcharge.wire.destination import Destination

Clock = Callable[[], datetime]

_CODES = ("AA", "AE", "AR", "CA", "CE", "CR")


def as_configured(site: Site, config: Config) -> Site:
    """Return the site with what the configuration overrides; raise ConfigError where the two contradict."""
    problems = []
    if str(site.zone) != config.site.timezone:
        problems.append(
            f"site.timezone: is {config.site.timezone!r}, but settings.yaml says {str(site.zone)!r}; make them equal"
        )
    for door in config.listen:
        for name in sorted(set(door.senders) - set(site.senders)):
            problems.append(f"listen[{door.name}].senders: there is no sender profile {name!r}; correct it")
    for listen in config.fhir_listen:
        if listen.sender not in site.fhir.senders:
            problems.append(
                f"fhir_listen[{listen.name}].sender: there is no FHIR sender profile {listen.sender!r}; correct it"
            )
    destinations: dict[str, Any] = dict(site.destinations)
    for send in config.send:
        fhir = site.fhir.destinations.get(send.name)
        declared = destinations.get(send.name) or fhir
        if declared is None:
            problems.append(f"send[{send.name}].name: there is no such destination profile; add or correct it")
        elif (declared is fhir) != isinstance(send.to, Web):
            wanted = "the base of its server, https://..." if declared is fhir else "host:port"
            problems.append(f"send[{send.name}].to: the profile is of another kind; write {wanted}")
        elif declared is fhir and fhir is not None:
            changed = {"on_ambiguous": send.on_ambiguous} if send.on_ambiguous else {}
            destinations[send.name] = fhir.model_copy(update=changed)
        elif send.on_ambiguous == "query":
            problems.append(f"send[{send.name}].on_ambiguous: {NO_QUERY}")
        elif send.on_ambiguous:
            destinations[send.name] = replace(declared, on_ambiguous=send.on_ambiguous)
    if problems:
        raise ConfigError("\n".join(problems))
    return replace(site, destinations=destinations)


def pace_of(config: Config) -> Pace:
    """Return how the owner of the books shares the time."""
    work = config.work
    return Pace(
        frames_max=work.frames_in_commit, slice_s=work.slice_ms / 1e3, door_s=work.door_ms / 1e3,
        messages_max=work.messages_in_slice,
    )  # fmt: skip


def door_of(listen: Listen, clock: Clock) -> Door:
    """Return the rules of one listener."""
    granted, context, names = listen.limits, None, frozenset[str]()
    if listen.tls is not None:
        context = tls.listening(listen.tls.cert, listen.tls.key, listen.tls.client_ca)
        names = frozenset(listen.tls.client_names)
    limits = Limits(
        frame_bytes_max=granted.frame, frame_s=granted.frame_s, idle_s=granted.idle_s, owed_max=granted.owed,
        connections_max=granted.connections, connections_per_peer_max=granted.connections_per_peer,
    )  # fmt: skip
    answers = Refusals(clock)
    return Door(
        listen.name, listen.bind.host, listen.bind.port, limits, context,
        answers.oversize, names,
    )  # fmt: skip


def route_of(send: SendTo, destination: Destination) -> Route:
    """Return where a link goes and how its answers are read."""
    context = None
    if send.tls is not None:
        context = tls.calling(send.tls.ca, send.tls.cert, send.tls.key)
    return Route(
        send.name, send.to.host, send.to.port, send.connections or destination.connections, send.timeout_s, context,
        answers_of(destination), backoff=Backoff(cap_s=send.retry_cap_s),
    )  # fmt: skip


def answers_of(destination: Destination) -> Mapping[str, Kind]:
    """Return what each MSA-1 code of a destination means; a code that its profile does not name is not there."""
    return {code: kind for code in _CODES if (kind := destination.answer_kind(code)) is not None}


class Refusals:
    """The answer that a listener gives by itself, to a frame over the limit: nothing is left of it to store."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._count = 0

    def oversize(self, limit: int) -> bytes:
        """Return AR without a control id, for the bytes that held it are gone."""
        problem = f"the message is longer than {limit} bytes"
        return self._said(ack.NO_HEADER, MessageError("MSH", problem, "send it in parts, or raise the limit"))

    def _said(self, header: Any, problem: MessageError) -> bytes:
        self._count += 1
        now = self._clock()
        name = f"R{now:%y%m%d%H%M%S}{self._count % 10_000:04d}"
        return ack.answer(header, ack.answer_code(header, "reject"), name, f"{now:%Y%m%d%H%M%S}+0000", (problem,))
