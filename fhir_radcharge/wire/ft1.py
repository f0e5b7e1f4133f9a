"""Turns one FT1, with the segments that it owns, into a treatment event, as the profile of its sender says."""

from __future__ import annotations

from datetime import date
from typing import Any, NamedTuple

from fhir_radcharge.errors import MessageError
from fhir_radcharge.model import Kind, PatientClass, Place, Reported, TreatmentEvent
from fhir_radcharge.places import UNMAPPED, Plans, Settings
from fhir_radcharge.wire.er7 import NULL, Delimiters
from fhir_radcharge.wire.facts import MUST_OF, shown
from fhir_radcharge.wire.misaligned import quantity_problem, seems_shifted, type_problem
from fhir_radcharge.wire.paths import Scope
from fhir_radcharge.wire.sender import Activity, Direction, Sender
from fhir_radcharge.wire.times import check_span, in_order, local_day, read_moment, read_order

# What is said of these was done; a prescription or a closing may name a day to come.
_DONE = frozenset(
    {"fraction", "guidance", "port_image", "approval", "exam", "physics_check", "service", "reported"}
)
_MAKES_LINES = frozenset({"fraction", "guidance", "port_image", "service", "reported"})
_ONE_UNIT = frozenset({"fraction", "guidance"})
_CARRIES_CODE = frozenset({"service", "reported"})
_BOOKED = frozenset({"charge", "credit"})
_UNKNOWN = Activity("reported", {}, (), None)
_NOTHING_LACKS: frozenset[str] = frozenset()
_NOWHERE = Place()
_DECODED = Delimiters("", "", "", "", "", "")  # for values whose escapes are decoded already: once is enough


class Shared(NamedTuple):
    """What all lines of a message have in common; `revision_time` None: each line says its own."""

    sender: Sender
    settings: Settings
    plans: Plans
    number: int
    patient_class: PatientClass
    payer: str
    revision_time: int | None
    sent: str
    swapped: bool
    notices: list[str]
    seen: dict[str, tuple[bool, list[list[str]], int, int]]


class _Said(NamedTuple):
    """What is known of a line before its details are read; `again`: its turn among those of one event."""

    kind: Kind
    id: str
    units: int
    voided: bool
    again: int


def event_of(scope: Scope, group: list[list[str]], position: int, shared: Shared) -> TreatmentEvent | None:
    """Return the event that a line says; None if it says nothing of its own; raise MessageError if unreadable."""
    sender = shared.sender
    type_ = sender.type(scope)
    direction = sender.types.get(type_)
    if direction not in _BOOKED:
        return _not_booked(scope, sender, type_, direction, shared.notices)
    text = (sender.quantity_2_1 if shared.swapped else sender.quantity)(scope)
    units = 1 if text == "1" else _units(text, scope, sender)
    voided = direction == "credit" or units < 0
    code = sender.activity(scope)
    activity = sender.activities.get(code) or _activity(code, sender, voided)
    kind = activity.kind
    if kind is None:
        shared.notices.append("line_ignored: another line says it")
        return None
    units = abs(units)
    if units != 1 and kind in _ONE_UNIT:
        raise _not_one_unit(kind, units, voided, sender)
    id_ = sender.id(scope)
    if not id_:
        remedy = "send an id that no other event has"
        raise MessageError(sender.id_place, "the event's id is missing", remedy, "101")
    seen, again = shared.seen, 0
    if id_ in seen:
        again = _again(id_, voided, group, shared)
        if not again:
            return None
    seen[id_] = (voided, group, position, again)
    return _event(scope, shared, activity, _Said(kind, id_, units, voided, again))


def payer_of(scope: Scope, sender: Sender, plans: Plans, notices: list[str]) -> str:
    """Return the payer profile: the mapped one, `unmapped`, or the sender's declared one where none is sent."""
    told = False
    for read in sender.payer:
        plan = read(scope)
        if plan:
            told = True
            payer = plans.payer(plan)
            if payer is not None:
                return payer
    if told:
        return UNMAPPED
    notices.append("payer_unknown")
    return sender.payer_absent


def revision_time(scope: Scope, sender: Sender) -> int:
    """Return the time that orders revisions, as a number that grows."""
    text = sender.revision_time(scope)
    if not text:
        raise MessageError("EVN-2", "the time that orders revisions is missing", "send EVN-2 or MSH-7", "101")
    return read_order(text, sender.zone, "EVN-2")


def _event(scope: Scope, shared: Shared, activity: Activity, said: _Said) -> TreatmentEvent:
    kind, id_, units, voided, again = said
    sender = shared.sender
    start = sender.start(scope)
    if not start:
        raise MessageError(sender.start_place, "the start is missing", "send the date of service", "101")
    day, minute = read_moment(start, sender.zone, sender.start_place)
    if not voided:  # a credit must not be lost for a wrong date
        _refuse_backwards(scope, sender)
        if kind in _DONE and not in_order(start, shared.sent):
            _refuse_to_come(day, scope, shared)
    code = activity.code or sender.code(scope)
    modifiers = sender.modifiers(scope)
    provider = sender.rendering(scope)
    facts: dict[str, Any] = {}
    if not voided:  # a credit needs no facts, and must not be lost for a wrong one
        facts = _facts(scope, activity, kind, sender)
        if kind == "exam":
            provider = facts.pop("provider", "") or provider
        if activity.states or kind in MUST_OF:
            _complete(facts, kind, activity, day, sender)
    if kind in _CARRIES_CODE:
        _add_code(facts, code, modifiers, units, voided, sender)
    own_payer = sender.payer_per_line or "IN1" in scope.own
    return TreatmentEvent(
        sender.name,
        id_,
        kind,
        day,
        minute,
        sender.course(scope) or None,
        facts,
        _place(scope, day, shared),
        shared.patient_class,
        payer_of(scope, sender, shared.plans, shared.notices) if own_payer else shared.payer,
        Reported(code, modifiers, units) if code else None,
        provider or None,
        _lacks(scope, sender) if kind in _MAKES_LINES else _NOTHING_LACKS,
        _revision(scope, shared, again),
        voided,
        shared.number,
    )


def _refuse_backwards(scope: Scope, sender: Sender) -> None:
    told = scope.ft1[4] if len(scope.ft1) > 4 else ""
    if scope.delimiters.component and scope.delimiters.component in told:
        first, last, *_ = told.split(scope.delimiters.component)
        check_span(first, last, sender.zone, "FT1-4")


def _refuse_to_come(day: date, scope: Scope, shared: Shared) -> None:
    """Raise if a line reports what its message cannot know yet: by date alone, because clocks differ."""
    event, zone = scope.named.get("EVN", ()), shared.sender.zone
    told = local_day(shared.sent, zone), local_day(event[2], zone) if len(event) > 2 else None
    sent = max((each for each in told if each is not None), default=date.max)
    if day > sent:
        raise MessageError(
            shared.sender.start_place,
            f"the date of service {day} lies after {sent}, the day of the message (MSH-7, EVN-2) that reports it",
            "send it when it is done, or mend the date or the sender's clock",
            "102",
        )


def _not_booked(
    scope: Scope, sender: Sender, type_: str, direction: Direction | None, notices: list[str]
) -> TreatmentEvent | None:
    """Return nothing for a line that is ignored; raise for one that is held or not understood."""
    if direction == "ignored":
        notices.append(f"line_ignored: FT1-6 {shown(type_)}")
        return None
    if direction == "held":
        raise MessageError(
            sender.type_place,
            f"{type_} is an adjustment that names no unit of an event",
            f"settle it by hand, or say under line.types of {sender.file} what it is",
        )
    raise type_problem(scope.ft1, type_, sender.types, sender.file)


def _units(text: str, scope: Scope, sender: Sender) -> int:
    """Return the signed number of units; negative where the sender takes back by sign."""
    if not text and sender.quantity_absent_is_one and not seems_shifted(scope.ft1):
        return 1
    sign = -1 if text.startswith("-") else 1
    digits, _, zeros = text.lstrip("+-").partition(".")
    if not (digits.isascii() and digits.isdigit() and len(digits) < 6 and not zeros.strip("0")):
        raise quantity_problem(scope.ft1, text)
    if int(digits) == 0:
        raise MessageError(sender.quantity_place, "the quantity is zero", "send the number of units", "102")
    if sign < 0 and not sender.negative_is_credit:
        remedy = f"send the credit as FT1-6 says, or set line.negative_quantity in {sender.file}"
        raise MessageError(sender.quantity_place, "the quantity is negative", remedy, "102")
    return sign * int(digits)


def _activity(code: str, sender: Sender, voided: bool) -> Activity:
    if voided:
        return _UNKNOWN  # a credit needs only the id of what it takes back
    if not code:
        raise MessageError(sender.activity_place, "the activity code is missing", "send it", "101")
    raise MessageError(
        sender.activity_place,
        f"activity code '{shown(code)}' is not in {sender.file}",
        "add it under activities and reread the message",
        "103",
    )


def _not_one_unit(kind: Kind, units: int, voided: bool, sender: Sender) -> MessageError:
    problem = f"a credit of {units} units of one {kind}" if voided else f"a {kind} of {units} units"
    return MessageError(sender.quantity_place, problem, "send one line of one unit for each", "207")


def _again(id_: str, voided: bool, group: list[list[str]], shared: Shared) -> int:
    """Return how often a message has spoken of an event before; 0 for a repeat; raise for an id of two events."""
    was_voided, earlier, position, count = shared.seen[id_]
    if was_voided != voided:
        return count + 1  # a credit and a new charge of one event, in this order
    if _content(earlier) == _content(group):
        shared.notices.append("line_repeated")
        return 0
    raise MessageError(
        shared.sender.id_place,
        f"the event's id stands on FT1[{position}] too, for something else",
        f"name a path under line.id of {shared.sender.file} that differs from line to line",
    )


def _facts(scope: Scope, activity: Activity, kind: Kind, sender: Sender) -> dict[str, Any]:
    facts = dict(activity.facts)
    sources = sender.facts[kind]
    if not sources.any:
        return facts
    d, zone = scope.delimiters, sender.zone
    for known, stated, delimiters in (
        (sources.by_capture, scope.captured, _DECODED),
        (sources.by_key, scope.keys, d),
        (sources.by_observation, scope.observed, d),
    ):
        if not known:
            continue
        for place, raw in stated.items():
            fact = known.get(place)
            if fact is None:
                continue
            name, meant, convert, first = fact
            coded = delimiters
            if first is not None:  # several paths: the first that holds anything speaks
                raw, coded = first(scope), _DECODED
            value = meant.get(raw)
            if value is None:
                if not raw or raw == NULL:
                    continue
                value = convert(raw, coded, zone, place)
            facts[name] = value
    for fact in sources.elsewhere:
        if fact.first is not None and (raw := fact.first(scope)):
            facts[fact.name] = fact.convert(raw, _DECODED, zone, fact.name)
    return facts


def _add_code(
    facts: dict[str, Any], code: str, modifiers: tuple[str, ...], units: int, voided: bool, sender: Sender
) -> None:
    if not code:
        if voided:
            return
        raise MessageError("FT1-25", "the code of the service is missing", "send it", "101")
    facts["code"] = code
    facts["units"] = units
    if modifiers:
        facts["modifiers"] = list(modifiers)
    if sender.foreign_codes != "hold":
        facts["foreign"] = sender.foreign_codes


def _complete(facts: dict[str, Any], kind: Kind, activity: Activity, day: date, sender: Sender) -> None:
    for states in activity.states:
        if states.first <= day and (states.last is None or day <= states.last):
            facts.setdefault(states.fact, states.value)
    for name in MUST_OF.get(kind, ()):
        if name not in facts:
            raise MessageError(
                name, f"a line of kind {kind} does not say it", f"see facts.{name} in {sender.file}", "101"
            )


def _place(scope: Scope, day: date, shared: Shared) -> Place:
    place_of = shared.settings.place
    for read in shared.sender.location:
        location = read(scope)
        if location:
            place = place_of(location, day)
            if place is not None:
                return place
    shared.notices.append("setting_unknown")
    return _NOWHERE


def _lacks(scope: Scope, sender: Sender) -> frozenset[str]:
    missing = _NOTHING_LACKS
    for item, told in sender.lacking:
        if not told(scope):
            missing = missing | {item}
    return missing


def _content(group: list[list[str]]) -> list[list[str]]:
    """Return what tells two lines about one event apart: all but the set id, which is only a counter."""
    return [group[0][2:], *group[1:]]


def _revision(scope: Scope, shared: Shared, again: int) -> tuple[Any, ...]:
    """Return what orders the sayings: number, time, turn within the message; never the arrival."""
    sender = shared.sender
    time = shared.revision_time
    if time is None:
        time = revision_time(scope, sender)
    number = 0
    if sender.revision_number is not None:
        text = sender.revision_number(scope)
        if not (text.isascii() and text.isdigit()):
            problem = "the revision number is missing" if not text else "the revision number is not a whole number"
            raise MessageError("line.revision", problem, f"send it where {sender.file} says", "101")
        number = int(text)
    return number, time, again
