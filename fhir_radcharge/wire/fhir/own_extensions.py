"""The extensions of our own that say what FHIR and CodeX have no element for, and what they say as facts.

The base URL is an example's: a site that publishes its own profiles names its own base here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from fhir_radcharge.errors import MessageError
from fhir_radcharge.wire import facts as names
from fhir_radcharge.wire.fhir.elements import Node, number, whole
from fhir_radcharge.wire.fhir.elements import local_text as local_time
from fhir_radcharge.wire.times import Zone

BASE: Final = "https://fhir-radcharge.example/StructureDefinition/"
FACT: Final = f"{BASE}fact-"
COURSE: Final = f"{BASE}course-id"
AUTHORIZATION: Final = f"{BASE}authorization"
MODIFIER: Final = f"{BASE}charge-modifier"
REVENUE: Final = f"{BASE}revenue-code"
DEPARTMENT: Final = f"{BASE}department-code"
UNIT_PRICE: Final = f"{BASE}unit-price"
OFFSETS: Final = f"{BASE}charge-offsets"
BILL: Final = f"{BASE}bill"
PACKAGED: Final = f"{BASE}packaged"
PLACE_OF_SERVICE: Final = f"{BASE}place-of-service"
EXTENDED_PRICE: Final = f"{BASE}extended-price"
PERFORMING_LOCATION: Final = f"{BASE}performing-location"
ORDERED_BY: Final = f"{BASE}ordered-by"
DIRECTION: Final = f"{BASE}transaction-type"
BATCH: Final = f"{BASE}transaction-batch"


def said_facts(node: Node, kind: str, zone: Zone, place: str) -> dict[str, Any]:
    """Return the facts that our `fact-...` extensions of a node state for a kind of event.

    Raise MessageError for a fact that no rule knows, or a value that is not one of its words.
    """
    found: dict[str, Any] = {}
    allowed = names.FACTS_OF.get(kind, frozenset())
    for index, one in enumerate(node.get("extension", ())):
        url = one.get("url", "")
        if not url.startswith(FACT):
            continue
        where = f"{place}.extension[{index}]"
        name = url[len(FACT) :].replace("-", "_")
        if name not in names.NAMES:
            raise MessageError(where, "the fact is not one that a rule may ask", "use a name of docs/fhir.md", "103")
        if name in allowed:
            _add(found, name, _value(one), zone, where)
    return found


def _add(found: dict[str, Any], name: str, value: Any, zone: Zone, place: str) -> None:
    if name in names.ANGLES:
        found.setdefault(name, []).append(_fact(name, value, zone, place))
    else:
        found[name] = _fact(name, value, zone, place)


def _value(one: Mapping[str, Any]) -> Any:
    return next((value for key, value in one.items() if key.startswith("value")), None)


def _fact(name: str, value: Any, zone: Zone, place: str) -> Any:
    given: Any = None
    if name in names.COUNTS or name in names.ANGLES:
        given = whole(value) if name in names.COUNTS else number(value)
        if given is not None and not 0 <= given <= 999_999:
            given = None
    elif name in names.NUMBERS:
        given = number(value)
    elif name in names.FLAGS:
        given = value if isinstance(value, bool) else None
    elif name in names.TIMES:
        given = local_time(value, zone, place) if isinstance(value, str) else None
    elif name in names.VOCABULARY:
        given = value if value in names.VOCABULARY[name] else None
    elif isinstance(value, str):
        given = value
    if given is None:
        raise MessageError(place, f"the value is not one that {name} takes", "see docs/fhir.md", "103")
    return given
