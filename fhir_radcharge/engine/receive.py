"""Bytes that were heard into stored messages and the answers that may be given once they are stored."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from hashlib import blake2b
from typing import Any, Literal, NamedTuple

from fhir_radcharge.engine.items import Item, hold, item_key
from fhir_radcharge.engine.reading import defect
from fhir_radcharge.engine.rooms import Heard, Rooms, label
from fhir_radcharge.errors import MessageError, RadchargeError
from fhir_radcharge.ledger import Ledger
from fhir_radcharge.ledger.chain import content_hash
from fhir_radcharge.wire.er7 import NULL
from fhir_radcharge.wire.versions import HEARD

Kind = Literal["accept", "error", "reject"]

REQUIRED = {"DFT": ("PID", "FT1")}
_SENDERS_MAX = 1_000
# What a strict listener says of one message; the rest shows when these are mended.
PROBLEMS_MAX = 20


class Door(NamedTuple):
    """What a sender's profile says about answering it."""

    original: bool
    reuses_control_ids: bool
    identity: Any = None
    charset: str | None = None
    sender: str = ""


class Intake:
    """The one door through which messages come into the books."""

    def __init__(
        self, ledger: Ledger, site: Any, clock: Callable[[], datetime], rooms: Rooms,
        strict: frozenset[str] = frozenset(), admitted: Mapping[str, frozenset[str]] | None = None,
    ) -> None:  # fmt: skip
        self._strict = strict
        self._admitted = admitted or {}
        self._ledger = ledger
        self._site = site
        self._clock = clock
        self._rooms = rooms
        self._doors: dict[tuple[str, str], Door] = {}
        self._doors_of = site.digest

    def receive(self, heard: Sequence[Heard]) -> list[bytes | None]:
        """Store every payload and return its answer, None where the sender asked for none.

        The answers may leave when the transaction around this call is committed. The same id with the same bytes
        gets the stored answer again and leaves no trace.
        """
        if self._site.digest != self._doors_of:
            self._doors.clear()
            self._doors_of = self._site.digest
        now = self._clock()
        at, msh7 = label(now), now.strftime("%Y%m%d%H%M%S+0000")
        looks = [self._look(each) for each in heard]
        known = self._known([look.dedup for look in looks])
        number = self._ledger.next_number("message")
        rows: list[tuple[Any, ...]] = []
        items: list[Item] = []
        answers: list[bytes | None] = []
        for each, look in zip(heard, looks, strict=True):
            seen = known.setdefault(look.dedup, {})
            if look.content in seen:
                answers.append(seen[look.content].answer)
                continue
            this, disposition = number + len(rows), look.disposition
            if seen and disposition == "taken" and _is_reuse(look, seen):
                disposition = "reused"
                items.append(_reused(this, each.listener))
            if look.category:
                items += [_turned_away(this, each.listener, look.category, problem) for problem in look.problems]
            if look.defect is not None:
                items.append(defect(look.defect, message=this))
            answer = self._answer(look, this, msh7)
            seen[look.content] = _Known(answer, disposition)
            answers.append(answer)
            name = each.listener, each.peer, at, look.dedup, look.content, disposition
            rows.append((this, *name, answer, each.raw))
        self._ledger.append("message", rows)
        hold(self._ledger, items, at)
        return answers

    def _look(self, heard: Heard) -> _Look:
        content = content_hash(heard.raw)
        try:
            look = self._look_closer(heard, content)
            if heard.listener in self._strict and look.disposition == "taken":
                return self._look_strictly(heard.raw, look)
            return look
        except MessageError as problem:
            problems, wrong = (problem,), None
        except Exception as error:  # noqa: BLE001 -- our own bug in one message must not stop the others
            problems, wrong = (_DEFECT,), error
        return _Look(content, content, self._rooms.no_header, _DEFAULT_DOOR, "refused", "reject", problems, wrong)

    def _look_closer(self, heard: Heard, content: bytes) -> _Look:
        raw = heard.raw
        header = self._rooms.header(raw)
        dedup = _dedup(header.sending_application, header.sending_facility, header.control_id) or content
        door = self._door(header)
        if not self._admits(heard.listener, door):
            return _Look(
                content, dedup, header, door, "refused", "reject", (_NOT_ADMITTED,), category="not_admitted"
            )
        required = REQUIRED.get(header.type) or _required_of_adt(header, door)
        if required is None:
            return _Look(content, dedup, header, door, "refused", "reject", (_TYPE,))
        if header.version not in HEARD:
            return _Look(content, dedup, header, door, "refused", "reject", (_VERSION,))
        if header.control_id in _NO_NAME:
            return _Look(
                content, content, header, door, "unusable", "error", (_NAMELESS,), category="nonconforming"
            )
        for name in required:
            if not _has_segment(raw, name, header.delimiters.field):
                return _Look(content, dedup, header, door, "unusable", "error", (_missing(name),))
        taken = "test" if header.processing_id[:1] in ("T", "D") else "taken"
        return _Look(content, dedup, header, door, taken, "accept", ())

    def _admits(self, listener: str, door: Door) -> bool:
        admitted = self._admitted.get(listener)
        return not admitted or door.sender in admitted

    def _look_strictly(self, raw: bytes, look: _Look) -> _Look:
        """Refuse what departs from the standard, before anything is understood; what senders differ in is let in."""
        # The tables of all versions are large, and most sites have no strict listener.
        from fhir_radcharge.wire.conformance import findings

        message = self._rooms.read_message(raw, look.door.charset)
        problems = tuple(
            MessageError(found.place, found.text, "mend the message and send it under a new control id", found.code)
            for found in findings(message)
            if found.severity == "error"
        )[:PROBLEMS_MAX]
        if not problems:
            return look
        return look._replace(disposition="unusable", kind="error", problems=problems, category="nonconforming")

    def _door(self, header: Any) -> Door:
        name = header.sending_application, header.sending_facility
        door = self._doors.get(name)
        if door is None:
            try:
                sender = self._site.sender_for(header)
                identity = getattr(sender, "identity", None)
                door = Door(
                    sender.answers == "original", sender.control_ids == "reused", identity, sender.charset,
                    sender.name,
                )
            except (RadchargeError, LookupError):
                # An unknown sender is held by `work`, not bounced: a table can mend it.
                door = _DEFAULT_DOOR
            if len(self._doors) < _SENDERS_MAX:
                self._doors[name] = door
        return door

    def _answer(self, look: _Look, number: int, at: str) -> bytes | None:
        original = look.door.original
        if not self._rooms.wanted(look.header, look.kind, original):
            return None
        code = self._rooms.answer_code(look.header, look.kind, original)
        return self._rooms.answer(look.header, code, f"A{number}", at, look.problems)

    def _known(self, keys: Sequence[bytes]) -> dict[bytes, dict[bytes, _Known]]:
        wanted = list(set(keys))
        marks = ",".join("?" * len(wanted))
        known: dict[bytes, dict[bytes, _Known]] = {}
        sql = f"select dedup, content, answer, disposition from message where dedup in ({marks})"  # noqa: S608
        for dedup, content, answer, disposition in self._ledger.read(sql, wanted):
            known.setdefault(dedup, {})[content] = _Known(answer, disposition)
        return known


class _Look(NamedTuple):
    content: bytes
    dedup: bytes
    header: Any
    door: Door
    disposition: str
    kind: Kind
    problems: tuple[MessageError, ...]
    defect: Exception | None = None
    category: str = ""


class _Known(NamedTuple):
    answer: bytes | None
    disposition: str


_DEFAULT_DOOR = Door(original=False, reuses_control_ids=False)
_TYPE = MessageError("MSH-9", "this message type is not taken here", "send DFT^P03 or DFT^P11", "200")
_NOT_ADMITTED = MessageError(
    "MSH-3", "this sender is not admitted at this port", "name its profile in `senders` of the listener", "207"
)
# A sender cannot tell which of its messages an answer without MSA-2 is about, so a yes would be lost on it.
_NO_NAME = ("", NULL)
_NAMELESS = MessageError("MSH-10", "the control id is missing", "send MSH-10, another for each message", "101")
_VERSION = MessageError("MSH-12", "this version is not taken here", "send a version from 2.1 to 2.9", "203")


_DEFECT = MessageError("MSH", "a defect of this program", "report it; the bytes are kept")


def _is_reuse(look: _Look, seen: Mapping[bytes, _Known]) -> bool:
    """Tell whether a control id was given to two messages; one that was refused may come again, mended."""
    if look.door.reuses_control_ids:
        return False
    return any(known.disposition in ("taken", "reused") for known in seen.values())


def _required_of_adt(header: Any, door: Door) -> tuple[str, ...] | None:
    """Return what an ADT message must have where the sender's profile takes it for identity; else None."""
    identity = door.identity
    if header.type != "ADT" or identity is None or header.trigger not in identity.triggers:
        return None
    return ("PID",) if header.trigger in identity.updates else ("PID", "MRG")


def _turned_away(number: int, listener: str, category: str, problem: MessageError) -> Item:
    return Item(
        item_key("message", number, category, problem.place, problem.code, problem.problem),
        category,
        problem.code,
        message=number,
        place=problem.place,
        note=f"{problem.problem}; {problem.remedy}; heard and answered at {listener}",
    )


def _missing(name: str) -> MessageError:
    return MessageError(name, "the segment is missing", "add the segment and send the message again", "101")


def _dedup(application: str, facility: str, control_id: str) -> bytes | None:
    """Return the name under which a message counts as the same; None if it has no control id.

    The last two characters stay as they are, so that counted ids lie side by side in the index.
    """
    if not control_id:
        return None
    head = f"{application}\0{facility}\0{control_id[:-2]}".encode("utf-8", "surrogatepass")
    return blake2b(head, digest_size=14).digest() + control_id[-2:].encode("utf-8", "surrogatepass")


def _has_segment(raw: bytes, name: str, separator: str) -> bool:
    wanted = f"{name}{separator}".encode("latin-1", "replace")
    return b"\r" + wanted in raw or b"\n" + wanted in raw


def _reused(number: int, listener: str) -> Item:
    return Item(
        item_key("message", number, "reused"),
        "reused",
        "control_id_reused",
        message=number,
        place="MSH-10",
        note=f"another message came under this control id at {listener}; release it if it is one of its own",
    )
