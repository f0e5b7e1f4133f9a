"""Requests of FHIR senders into stored messages, and the answers that may be given once they are stored.

What a request asks was looked at before (`wire.fhir.asking`); here the books say which of its resources are known,
at which version, and so what the answer is. A stored request names the version that each of its entries became.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from fhir_radcharge.engine.items import Item, hold, item_key
from fhir_radcharge.engine.rooms import Heard, label
from fhir_radcharge.ledger import Ledger
from fhir_radcharge.ledger.chain import content_hash
from fhir_radcharge.wire.fhir import answering
from fhir_radcharge.wire.fhir.asking import ENTRIES, Look, Named, resource_key
from fhir_radcharge.wire.fhir.http_form import Told, answer_bytes, request_bytes

_MARKS_MAX = 500


class Version(NamedTuple):
    """The newest version of a resource, and the hash of what it says."""

    number: int
    content: bytes


class _Kept(NamedTuple):
    """One entry that is kept: under which id, and as which version."""

    named: Named
    id: str
    version: int


class FhirIntake:
    """The door of FHIR requests into the books, called inside the caller's transaction."""

    def __init__(self, ledger: Ledger, clock: Callable[[], datetime]) -> None:
        self._ledger = ledger
        self._clock = clock

    def receive(self, heard: Sequence[Heard]) -> list[bytes]:
        """Store every request and return its answer; a repeat gets the first answer again and leaves no trace."""
        looks: list[Look] = [each.look for each in heard]
        at = label(self._clock())
        turn = _Turn(self._ledger, looks, at)
        answers = [turn.take(each, look) for each, look in zip(heard, looks, strict=True)]
        turn.write()
        return answers


class _Turn:
    """One batch of requests: what the books know of their names is read once, and written once."""

    def __init__(self, ledger: Ledger, looks: Sequence[Look], at: str) -> None:
        self._ledger = ledger
        self._at = at
        self._number = ledger.next_number("message")
        self._rows: list[tuple[Any, ...]] = []
        self._items: list[Item] = []
        self._new_names: list[tuple[bytes, str]] = []
        self._new_versions: list[tuple[Any, ...]] = []
        self._answers = self._answered([look.dedup for look in looks if look.dedup])
        keys = [look.reuse for look in looks if look.reuse]
        for look in looks:
            for one in look.named:
                keys += one.names if one.condition is None else (*one.names, one.condition)
        self._ids = self._named(keys)
        wanted: dict[bytes, None] = {}
        for look in looks:
            for one in look.named:
                for name in self._candidates(one):
                    wanted[resource_key(look.sender, one.type, name)] = None
        self._versions = self._newest(list(wanted))

    def take(self, each: Heard, look: Look) -> bytes:
        """Return the answer to one request, and remember what is to be written of it."""
        known = self._answers.get(look.dedup) if look.dedup else None
        if known is not None:
            return known
        number = self._number + len(self._rows)
        if look.refusal is not None:
            return self._write(each, look, number, "refused", look.refusal, ())
        kept, told = self._kept(look)
        failed = next((told[number] for number in sorted(told) if told[number].status == 412), None)
        if failed is not None and look.type in ("single", "transaction"):
            # A condition may hold at another time: such an answer is no precedent.
            return self._write(each, look._replace(dedup=b""), number, "refused", failed, ())
        if look.type == "single" and not kept:
            return answer_bytes(told[0])
        disposition = "taken"
        if look.reuse and self._ids.get(look.reuse):
            disposition = "reused"
            self._items.append(_reused(number, each.listener))
        for one in kept:
            self._remember(look, one, number)
        if look.reuse:
            self._name(look.reuse, "-")
        return self._write(each, look, number, disposition, self._answer(look, kept, told, number), kept)

    def write(self) -> None:
        """Append what was taken."""
        self._ledger.append("message", self._rows)
        self._ledger.write_many("insert or ignore into named (key, id) values (?, ?)", self._new_names)
        self._ledger.write_many(
            "insert into resource (key, version, message, entry, content) values (?, ?, ?, ?, ?)", self._new_versions
        )
        hold(self._ledger, self._items, self._at)

    # -- one request -------------------------------------------------------------------------------------------

    def _kept(self, look: Look) -> tuple[list[_Kept], dict[int, Told]]:
        """Return the entries to be kept, and the answers of all others."""
        kept: list[_Kept] = []
        told = dict(look.faults)
        for one in look.named:
            found = self._ids.get(one.condition, ()) if one.condition is not None else ()
            if len(found) > 1:
                told[one.number] = answering.precondition(
                    one.place, "several resources have this identifier", "send to one of them by its id"
                )
                continue
            name = found[0] if found else self._candidates(one)[0]
            newest = self._versions.get(resource_key(look.sender, one.type, name))
            if found and newest is not None:
                told[one.number] = answering.stored(200, one.type, name, newest.number)
            elif newest is not None and newest.content == one.content:
                # The current version again: a lost answer, and the same answer once more.
                told[one.number] = answering.stored(200, one.type, name, newest.number)
            elif one.match and (newest is None or newest.number != one.match):
                told[one.number] = answering.precondition(
                    one.place, "the version is not the current one", "read it and send the change of that"
                )
            else:
                kept.append(_Kept(one, name, newest.number + 1 if newest else 1))
        return kept, told

    def _candidates(self, one: Named) -> tuple[str, ...]:
        """Return under which ids a resource may be known: the sender's, else those of its identifiers, else ours."""
        if one.id:
            return (one.id,)
        known = [name for key in one.names[:1] for name in self._ids.get(key, ())]
        if one.condition is not None:
            known += self._ids.get(one.condition, ())
        return (*dict.fromkeys(known), one.own_id())

    def _remember(self, look: Look, kept: _Kept, number: int) -> None:
        one = kept.named
        key = resource_key(look.sender, one.type, kept.id)
        for name in one.names:
            self._name(name, kept.id)
        self._versions[key] = Version(kept.version, one.content)
        self._new_versions.append((key, kept.version, number, one.number, one.content))

    def _name(self, key: bytes, name: str) -> None:
        known = self._ids.setdefault(key, [])
        if name not in known:
            known.append(name)
            self._new_names.append((key, name))

    def _answer(self, look: Look, kept: Iterable[_Kept], told: dict[int, Told], number: int) -> Told:
        every = dict(told)
        for one in kept:
            status = 201 if one.version == 1 else 200
            every[one.named.number] = answering.stored(status, one.named.type, one.id, one.version)
        if look.type == "single":
            return every[0]
        if look.type == "message" and look.header is not None:
            faults = [told[place] for place in sorted(told) if told[place].status >= 400]
            return answering.message(look.header, faults, f"A{number}", self._at, look.release)
        return answering.bundle(look.type, look.total, every)

    def _write(
        self, each: Heard, look: Look, number: int, disposition: str, told: Told, kept: Sequence[_Kept]
    ) -> bytes:
        asked = look.asked
        if kept:
            entries = ",".join(f"{one.named.number}={one.version}" for one in kept)
            asked = asked._replace(headers=(*asked.headers, (ENTRIES, entries)))
        raw, answer = request_bytes(asked), answer_bytes(told)
        dedup = look.dedup or f"once/{number}".encode()
        if look.dedup:
            self._answers[look.dedup] = answer
        name = each.listener, each.peer, self._at, dedup, content_hash(raw), disposition
        self._rows.append((number, *name, answer, raw))
        return answer

    # -- what the books know -----------------------------------------------------------------------------------

    def _answered(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        return dict(self._in("select dedup, answer from message where dedup in ({})", keys))

    def _named(self, keys: Sequence[bytes]) -> dict[bytes, list[str]]:
        found: dict[bytes, list[str]] = {}
        for key, name in self._in("select key, id from named where key in ({}) order by key, id", keys):
            found.setdefault(key, []).append(name)
        return found

    def _newest(self, keys: Sequence[bytes]) -> dict[bytes, Version]:
        sql = "select key, max(version), content from resource where key in ({}) group by key"
        return {key: Version(number, content) for key, number, content in self._in(sql, keys)}

    def _in(self, sql: str, keys: Sequence[bytes]) -> list[Any]:
        found: list[Any] = []
        wanted = list(dict.fromkeys(keys))
        for start in range(0, len(wanted), _MARKS_MAX):
            some = wanted[start : start + _MARKS_MAX]
            found += self._ledger.read(sql.format(",".join("?" * len(some))), some)
        return found


def _reused(number: int, listener: str) -> Item:
    return Item(
        item_key("message", number, "reused"),
        "reused",
        "control_id_reused",
        message=number,
        place="Bundle.identifier",
        note=f"another Bundle came under this identifier at {listener}; release it if it is one of its own",
    )


def received(
    heard: Sequence[Heard],
    v2: Callable[[Sequence[Heard]], list[bytes | None]],
    fhir: Callable[[Sequence[Heard]], list[bytes]],
) -> list[bytes | None]:
    """Return the answers to payloads of both kinds in the order in which they were heard."""
    ours = [place for place, each in enumerate(heard) if each.look is not None]
    if not ours:
        return v2(heard)
    answers: list[bytes | None] = [None] * len(heard)
    theirs = sorted(set(range(len(heard))) - set(ours))
    if theirs:
        for place, answer in zip(theirs, v2([heard[place] for place in theirs]), strict=True):
            answers[place] = answer
    for place, told in zip(ours, fhir([heard[place] for place in ours]), strict=True):
        answers[place] = told
    return answers
