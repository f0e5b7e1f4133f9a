"""Turns one request of a FHIR sender into what the books must know of it: which resources, under which names.

Pure: whether a name is known already, and at which version, only the books can say.
"""

from __future__ import annotations

import re
from base64 import b32encode
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Final, NamedTuple

from fhir_radcharge.errors import MessageError
from fhir_radcharge.wire.fhir.answering import refused
from fhir_radcharge.wire.fhir.elements import Node
from fhir_radcharge.wire.fhir.http_form import Asked, Told
from fhir_radcharge.wire.fhir.profile import Sender
from fhir_radcharge.wire.fhir.read import Body, Entry, problems, read
from fhir_radcharge.wire.fhir.schema import Release
from fhir_radcharge.wire.fhir.strict_json import dumps

POSTED: Final = ("ChargeItem", "Procedure")
SENDER: Final = "Radcharge-Sender"
RELEASE: Final = "Radcharge-Release"
ENTRIES: Final = "Radcharge-Entries"
ROOT_TYPES: Final = ("transaction", "batch", "message", "collection")
_TELLING: Final = frozenset({"ChargeItem", "Procedure", "ServiceRequest"})
_ALL_TOLD_BYTES: Final = 256 * 1024
_NAMES_MAX: Final = 8
_ID: Final = re.compile(r"[A-Za-z0-9.-]{1,64}")
_CONDITION: Final = re.compile(r"\??identifier=([^&|\\,]*)\|([^&|\\,]+)")
_TAG: Final = re.compile(r'W/"([0-9]{1,18})"')


class Named(NamedTuple):
    """One resource as the books know it.

    `id` is the one that the sender gave, "" where the books name it; `names` are keys of its identifiers, the
    event's own first. `condition` are the keys of an If-None-Exist (None: none was asked), `match` the version
    of an If-Match (0: none was asked).
    """

    number: int
    place: str
    type: str
    id: str
    names: tuple[bytes, ...]
    condition: bytes | None
    match: int
    content: bytes

    def own_id(self) -> str:
        """Return the id that the books give: the same for the same identifier, on every machine."""
        seed = self.names[0] if self.names else self.content
        return b32encode(seed).decode().lower().rstrip("=")


class Look(NamedTuple):
    """A request that was looked at, before the books are asked.

    `refusal` is the answer where nothing of it can be used; else `faults` are the answers of the entries that
    cannot. `dedup` names what must get the first answer again, b"" where each request stands for itself;
    `reuse` is the key of the Bundle's own identifier, b"" where it has none.
    """

    asked: Asked
    sender: str
    release: Release
    type: str
    named: tuple[Named, ...] = ()
    faults: Mapping[int, Told] = {}
    total: int = 1
    dedup: bytes = b""
    reuse: bytes = b""
    header: Node | None = None
    refusal: Told | None = None


def look(asked: Asked, sender: Sender, release: Release) -> Look:
    """Return what a request asks of the books; it never raises for what a sender may send."""
    kept = Look(_kept(asked, sender.name, release), sender.name, release, "single")
    try:
        body = read(asked.body, release)
        _refuse_misplaced(asked, body)
        named, faults = _all_named(asked, body, sender)
    except MessageError as problem:
        return _refused(kept, problem)
    content = _hash(asked.body)
    identity = _identity(body)
    single = body.type == "single"
    own = named[0].names[0] if single and named[0].names else _key(sender.name, "Bundle", "", identity)
    header = next((one.resource for one in body.entries if one.resource["resourceType"] == "MessageHeader"), None)
    condition = asked.header("If-None-Exist").encode()
    return kept._replace(
        type=body.type, named=tuple(named), faults=faults, total=body.total,
        dedup=b"" if asked.method == "PUT" else own + _hash(condition + b"\0" + content)[:10],
        reuse=_key(sender.name, "Bundle", "", identity) if identity else b"", header=header,
    )  # fmt: skip


def resource_key(sender: str, kind: str, name: str) -> bytes:
    """Return the key under which the books know a resource of a sender."""
    return _near(f"{sender}\0{kind}\0", name, 4)


def _kept(asked: Asked, sender: str, release: Release) -> Asked:
    headers = [(SENDER, sender), (RELEASE, release)]
    headers += [(name, value) for name in ("If-Match", "If-None-Exist") if (value := asked.header(name))]
    return asked._replace(headers=tuple(headers))


def _refused(kept: Look, problem: MessageError) -> Look:
    """Return the look at a request that cannot be used, with all that is wrong and not only the first.

    A large one is not read a second time for the rest of what is wrong.
    """
    small = len(kept.asked.body) <= _ALL_TOLD_BYTES
    every = (problems(kept.asked.body, kept.release) if small else ()) or (problem,)
    if problem not in every and problem.place not in {one.place for one in every}:
        every = (problem, *every)
    status = 422 if problem.code in ("101", "200", "203") and problem.place != "body" else 400
    dedup = _hash(b"\0".join((kept.sender.encode(), b"refused", kept.asked.path.encode(), _hash(kept.asked.body))))
    return kept._replace(refusal=refused(status, every), dedup=dedup)


def _refuse_misplaced(asked: Asked, body: Body) -> None:
    """Refuse a body that is not what its address says."""
    root, _, own_id = asked.path.partition("/")
    if root in ("", "$process-message"):
        if body.type not in ROOT_TYPES or (root and body.type != "message"):
            place, wanted = "Bundle.type", "a message" if root else ", ".join(ROOT_TYPES)
            raise MessageError(place, "the body is not what is taken at this address", f"send {wanted}", "200")
        if body.type == "message" and (
            not body.entries or body.entries[0].resource["resourceType"] != "MessageHeader"
        ):
            raise MessageError("Bundle.entry[0]", "a message begins with its MessageHeader", "send it first", "101")
        return
    kind = body.entries[0].resource["resourceType"] if body.type == "single" else "Bundle"
    if kind != root:
        raise MessageError(f"{kind}", "the resource is not of the type in the address", f"send {root}", "207")
    if own_id and body.entries[0].resource.get("id") != own_id:
        raise MessageError(f"{kind}.id", "the id is not the one in the address", "send the same id in both", "207")


def _all_named(asked: Asked, body: Body, sender: Sender) -> tuple[list[Named], dict[int, Told]]:
    faults = {_number(problem): refused(400, (problem,)) for problem in reversed(body.problems)}
    named: list[Named] = []
    seen: dict[tuple[str, str], str] = {}
    for entry in body.entries:
        try:
            one = _named(asked, entry, body, sender)
            other = seen.setdefault((one.type, one.id or one.own_id()), entry.place)
            if body.type == "transaction" and other != entry.place:
                raise MessageError(entry.place, "another entry is the same resource", "send each once", "207")
        except MessageError as problem:
            if body.type in ("single", "transaction"):
                raise
            faults[entry.number] = refused(422, (problem,))
            continue
        named.append(one)
    if body.type in ("transaction", "batch"):
        for number in sorted(set(range(body.total)) - {one.number for one in named} - set(faults)):
            place = f"Bundle.entry[{number}]"
            empty = MessageError(place, "the entry has no resource to be stored", "read with GET", "200")
            if body.type == "transaction":
                raise empty
            faults[number] = refused(422, (empty,))
    return named, faults


def _named(asked: Asked, entry: Entry, body: Body, sender: Sender) -> Named:
    resource, kind = entry.resource, entry.resource["resourceType"]
    own = _event_identifier(resource, sender.profile.event_id)
    every = [own, *(one for one in resource.get("identifier", ())[:_NAMES_MAX] if one is not own)]
    names = tuple(
        _key(sender.name, kind, one.get("system", ""), one["value"]) for one in every if one and "value" in one
    )
    if kind in _TELLING and own is None and "id" not in resource:
        raise MessageError(
            f"{entry.place}.identifier", "nothing names this event", "send an identifier that stays the same", "101"
        )
    condition, match = _conditions(asked, entry, body)
    single = body.type == "single"
    content = _hash(asked.body) if single else _hash(dumps(resource))
    key = None if not condition else _condition(condition, sender.name, kind, entry.place)
    return Named(
        entry.number, entry.place, kind, _own_id(asked, entry, body), names, key,
        _match(match, entry.place), content,
    )  # fmt: skip


def _conditions(asked: Asked, entry: Entry, body: Body) -> tuple[str, str]:
    if body.type == "single":
        return asked.header("If-None-Exist"), asked.header("If-Match")
    return str(entry.request.get("ifNoneExist", "")), str(entry.request.get("ifMatch", ""))


def _own_id(asked: Asked, entry: Entry, body: Body) -> str:
    """Return the id that the sender gives: by PUT, or in a Bundle that only carries resources."""
    if body.type in ("message", "collection"):
        return str(entry.resource.get("id", ""))
    if body.type == "single":
        return asked.path.partition("/")[2]
    if entry.method == "POST":
        return ""
    url, kind = str(entry.request.get("url", "")), entry.resource["resourceType"]
    if url.startswith(f"{kind}?"):
        return ""  # a conditional update: its identifier names it
    found = url.removeprefix("/").removeprefix(f"{kind}/")
    if _ID.fullmatch(found) is None or found != entry.resource.get("id"):
        place = entry.place.removesuffix(".resource") + ".request.url"
        raise MessageError(place, "the address does not name the resource of the entry", f"send {kind}/id", "207")
    return found


def _event_identifier(resource: Node, wanted: Sequence[str]) -> Node | None:
    """Return the identifier that names the event, as the sender's profile lists them; else the first."""
    said: list[Node] = [one for one in resource.get("identifier", ()) if "value" in one]
    for want in wanted:
        for one in said:
            if want in (one.get("use"), one.get("system")):
                return one
    return None


def _condition(said: str, sender: str, kind: str, place: str) -> bytes:
    found = _CONDITION.fullmatch(said)
    if found is None:
        raise MessageError(place, "If-None-Exist asks more than an identifier", "ask identifier=system|value", "200")
    return _key(sender, kind, found[1], found[2])


def _match(said: str, place: str) -> int:
    if not said:
        return 0
    found = _TAG.fullmatch(said)
    if found is None:
        raise MessageError(place, "If-Match is not a version of this server", 'send W/"1"', "102")
    return int(found[1])


def _identity(body: Body) -> str:
    """Return what names the whole request: the Bundle's identifier, or the id of a message's header."""
    if body.type == "single":
        return ""
    if body.identifier:
        return f"identifier|{body.identifier}"
    if body.type == "message":
        return f"header|{body.entries[0].resource.get('id', '')}"
    return ""


def _number(problem: MessageError) -> int:
    found = re.match(r"Bundle\.entry\[([0-9]+)\]", problem.place)
    return int(found[1]) if found else -1


def _key(sender: str, kind: str, system: str, value: str = "") -> bytes:
    return _near(f"{sender}\0{kind}\0{system}|", value, 2)


def _near(head: str, name: str, last: int) -> bytes:
    """Return a key whose last characters stay as they are, so that counted names lie side by side in an index."""
    start = blake2b(f"{head}{name[:-last]}".encode(), digest_size=14).digest()
    return start + name[-last:].encode()


def _hash(data: bytes) -> bytes:
    return blake2b(data, digest_size=16).digest()

