"""Turns a sender's ChargeItems into events: its own charge as evidence, or its activity as what was done.

Money on an inbound ChargeItem is not read: what is due is computed. A quantity counts units, so it is whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fhir_radcharge.errors import MessageError
from fhir_radcharge.model import Reported, TreatmentEvent
from fhir_radcharge.wire.facts import MUST_OF, shown
from fhir_radcharge.wire.fhir.codex import is_course
from fhir_radcharge.wire.fhir.codex_images import When
from fhir_radcharge.wire.fhir.elements import (
    Node,
    concept_codes,
    extension_value,
    extensions,
    identifier,
    local,
    order,
    whole,
)
from fhir_radcharge.wire.fhir.frame import Frame, frame_of
from fhir_radcharge.wire.fhir.heard import Heard
from fhir_radcharge.wire.fhir.own_extensions import MODIFIER, said_facts
from fhir_radcharge.wire.fhir.surroundings import above, course_of


def charge_events(heard: Heard, place: str, item: Node) -> list[TreatmentEvent]:
    """Return the event that a ChargeItem is; raise MessageError where it cannot be used."""
    profile = heard.sender.profile.charge_items
    if profile.how == "refuse":
        raise MessageError(place, "this sender sends no charge items", "change charge_items in its profile", "200")
    standing = heard.sender.profile.charge_status[item["status"]]
    if standing == "refuse":
        raise MessageError(f"{place}.status", "the status is not one that this sender uses", "see its profile", "103")
    if standing == "void":
        return [_void(frame_of(heard, place, item))]
    units = _units(item, place)
    if units is not None and units < 0:
        return [_credit(heard, place, item, -units)]
    frame = frame_of(heard, place, item)
    if profile.how == "activity":
        return [_activity(frame, units)]
    event = frame.event("reported", occurred(item, heard, place), _foreign(heard), course=_course(heard, item))
    return [event._replace(reported=_reported(heard, place, item, units))]


def occurred(item: Node, heard: Heard, place: str) -> When:
    """Return the facility's day and minute of a ChargeItem; a period's start, the one event of a timing."""
    zone = heard.sender.zone
    if "occurrenceDateTime" in item:
        return local(item["occurrenceDateTime"], zone, f"{place}.occurrenceDateTime")
    if "start" in item.get("occurrencePeriod", {}):
        return local(item["occurrencePeriod"]["start"], zone, f"{place}.occurrencePeriod.start")
    timing = item.get("occurrenceTiming", {})
    moments = [moment for moment in timing.get("event", ()) if moment]
    bounds = timing.get("repeat", {}).get("boundsPeriod", {})
    if not moments and bounds.get("start", "")[:10] == bounds.get("end", "-")[:10]:
        moments = [bounds["start"]]
    if len(moments) == 1:
        return local(moments[0], zone, f"{place}.occurrenceTiming.event[0]")
    if moments or timing:
        raise MessageError(
            f"{place}.occurrenceTiming",
            "it names more or less than one time",
            "send one charge item a date",
            "207",
        )
    raise MessageError(f"{place}.occurrence", "it does not say when", "send the date of service", "101")


def modifiers_of(item: Node, url: str | None) -> tuple[str, ...]:
    """Return the modifiers of a ChargeItem in the order of their priority, then of their place."""
    said: list[tuple[int, int, str]] = []
    for index, one in enumerate(extensions(item, *(each for each in (url, MODIFIER) if each))):
        concept = extension_value(one, "code", "modifier-code")
        priority = whole(
            extension_value(one, "priority", "https://fhir-ehr.cerner.com/r4/StructureDefinition/priority")
        )
        codes = [coding["code"] for coding in (concept or {}).get("coding", ()) if "code" in coding]
        if codes:
            said.append((index if priority is None else priority, index, codes[0]))
    return tuple(code for _, _, code in sorted(said))


def _units(item: Node, place: str) -> int | None:
    quantity = item.get("quantity")
    if quantity is None:
        return None
    found = whole(quantity.get("value"))
    if found is None or found == 0 or abs(found) > 999_999 or "comparator" in quantity:
        raise MessageError(f"{place}.quantity", "the quantity is not a whole number of units", "send units", "102")
    return found


def _reported(heard: Heard, place: str, item: Node, units: int | None) -> Reported:
    profile = heard.sender.profile.charge_items
    codes = list(dict.fromkeys(concept_codes(item["code"], profile.code_systems)))
    if len(codes) != 1:
        problem = "it has no code of a known system" if not codes else "it has two codes that may be charged"
        raise MessageError(f"{place}.code", problem, "send one billing code of a system in the profile", "103")
    return Reported(codes[0], modifiers_of(item, profile.modifier_url), units)


def _foreign(heard: Heard) -> dict[str, Any]:
    policy = heard.sender.profile.charge_items.foreign_codes
    return {} if policy == "hold" else {"foreign_codes": policy}


def _void(frame: Frame) -> TreatmentEvent:
    """Return what takes an item back: its id is enough, and it is not lost for a wrong code or a missing date."""
    heard, item = frame.heard, frame.resource
    try:
        when = occurred(item, heard, frame.place)
    except MessageError:
        said = item.get("enteredDate") or item.get("meta", {}).get("lastUpdated") or heard.body.timestamp
        if not said:
            raise
        when = local(said, heard.sender.zone, f"{frame.place}.enteredDate")
    return frame.event("reported", when, {}, course=_course(heard, item), voided=True)


def _activity(frame: Frame, units: int | None) -> TreatmentEvent:
    heard, item = frame.heard, frame.resource
    profile = heard.sender.profile.charge_items
    codes = list(concept_codes(item["code"], profile.code_systems))
    code = codes[0] if codes else None
    if code is None or code not in heard.sender.activities:
        raise MessageError(
            f"{frame.place}.code", f"activity code '{shown(code or '')}' is not in the sender's profile",
            "add it under charge_items.activities and resend", "103",
        )  # fmt: skip
    kind, given = heard.sender.activities[code]
    if kind in ("fraction", "guidance") and units not in (None, 1):
        raise MessageError(f"{frame.place}.quantity", f"a {kind} of several units", "send one item for each", "207")
    facts = dict(given) | said_facts(item, kind, heard.sender.zone, frame.place)
    for name in MUST_OF.get(kind, ()):
        if name not in facts:
            raise MessageError(f"{frame.place}.extension", f"{kind} does not say {name}", "send it as a fact", "101")
    when = occurred(item, heard, frame.place)
    if kind != "service":
        return frame.event(kind, when, facts, course=_course(heard, item))
    # A service is named by the profile, else by the billing code that stands beside the activity.
    own = str(facts.pop("code", codes[-1]))
    event = frame.event(kind, when, facts | _foreign(heard), course=_course(heard, item))
    return event._replace(reported=Reported(own, modifiers_of(item, profile.modifier_url), units))


def _credit(heard: Heard, place: str, item: Node, units: int) -> TreatmentEvent:
    """Return the voided event that a negative quantity is, under the id of the item that it takes back."""
    profile = heard.sender.profile.charge_items
    if profile.negative == "refuse":
        raise MessageError(f"{place}.quantity", "the quantity is negative", "send entered-in-error to take back", "102")
    original = next(_originals(heard, item), None)
    if original is None:
        raise MessageError(f"{place}.partOf", "a credit does not say what it takes back", "name the charge", "101")
    frame = frame_of(heard, place, item, original)
    said = item.get("meta", {}).get("lastUpdated") or item.get("enteredDate") or heard.body.timestamp
    if not order(said):
        raise MessageError(f"{place}.enteredDate", "a credit does not say when it was made", "send the time", "101")
    revision = (order(said), frame.version)
    event = frame.event("reported", occurred(item, heard, place), {}, course=_course(heard, item), voided=True)
    said_code = _reported(heard, place, item, units) if profile.how == "reported" else None
    return event._replace(revision=revision, reported=said_code)


def _originals(heard: Heard, item: Node) -> Iterator[str]:
    wanted = heard.sender.profile.event_id
    links = [extension_value(item, url) for url in heard.sender.profile.charge_items.original]
    for link in [*links, *item.get("partOf", ())]:
        if not isinstance(link, dict):
            continue
        found = heard.body.find(link, item)
        name = identifier(found, wanted) if found is not None else None
        said = name or link.get("identifier", {}).get("value") or (link.get("value") if "system" in link else None)
        if said:
            yield str(said)
        elif "reference" in link and "id" in wanted and not link["reference"].startswith(("#", "urn:")):
            yield "/".join(link["reference"].split("/")[-2:])


def _course(heard: Heard, item: Node) -> str | None:
    services = [heard.body.find(_link(one), item) for one in item.get("service", ())]
    chain = [node for node in services if node is not None]
    return course_of(heard, item, [*chain, *(up for node in chain for up in above(heard, node))], is_course)


def _link(one: Node) -> Any:
    """Return the reference of a service: R5 wraps it once more."""
    inner = one.get("reference")
    return inner if isinstance(inner, dict) else one
