"""Postings into the frozen bytes of what is said: a DFT or a FHIR request, whichever way the treatment was heard."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from fhir_radcharge.engine.fhir_reading import FhirHeard
from fhir_radcharge.errors import MessageError, UnsafeError
from fhir_radcharge.model import Posting
from fhir_radcharge.wire import outbound
from fhir_radcharge.wire.fhir.as_v2 import dft_of
from fhir_radcharge.wire.fhir.carried import carried_from_body, carried_from_message
from fhir_radcharge.wire.fhir.destination import FhirDestination
from fhir_radcharge.wire.fhir.http_form import Asked, request_bytes
from fhir_radcharge.wire.fhir.operations import request_for
from fhir_radcharge.wire.fhir.write import Carried, Line, Request, Sent, SiteCode

EXPECTS: Final = "Radcharge-Expects"
CREDITS: Final = "Radcharge-Credits"
# Stands in a frozen request where the receiver's own id and version of a charge go: it tells them when it has
# taken the charge, and the credit is written before that.
HOST_ID: Final = "host-id-of-the-charge"
HOST_VERSION: Final = "host-version-of-the-charge"


def message_for(
    postings: Sequence[Posting], destination: Any, heard: Any, control_id: str, at: str, site: Any
) -> bytes:
    """Return one message or request that says the postings; the same arguments give the same bytes."""
    if isinstance(destination, FhirDestination):
        assert len(postings) == 1, "a FHIR request says one posting"
        return request_bytes(_asked(postings[0], destination, heard, at, site))
    if isinstance(heard, FhirHeard):
        heard = dft_of(heard.heard, postings[0].line.dated_by)
    return outbound.message_for(postings, destination, heard, control_id, at, site)


def _asked(posting: Posting, destination: FhirDestination, heard: Any, at: str, site: Any) -> Asked:
    row = site.chargemaster.row(destination.name, posting.line.code, posting.line.modifiers, posting.line.day)
    code = SiteCode(row.charge_code, row.department, row.revenue_code, row.price) if row is not None else None
    by_host = destination.credit == "operation" and posting.kind == "CREDIT"
    line = Line(posting, _carried(heard, posting), code, Sent(HOST_ID, HOST_VERSION) if by_host else None)
    try:
        request = request_for(line, destination, _instant(at))
    except UnsafeError as problem:
        # Its text names a posting and a rule; a person looks, and the other lines go on.
        raise MessageError("ChargeItem", str(problem), "say this one by hand", "unsafe") from problem
    return _frozen(request, posting if by_host else None)


def _frozen(request: Request, credit: Posting | None) -> Asked:
    headers = [*request.headers, (EXPECTS, ",".join(map(str, request.expects)))]
    if credit is not None and credit.credits is not None:
        headers.append((CREDITS, credit.credits))
    return Asked(request.method, request.path, tuple(headers), request.body)


def _carried(heard: Any, posting: Posting) -> Carried:
    if not isinstance(heard, FhirHeard):
        return carried_from_message(heard)
    found = carried_from_body(heard.heard, posting.line.dated_by)
    if found is None:
        # The treatment that dates the line was told in another body; this one still names the patient.
        found = next((one for each in _ids(heard) if (one := carried_from_body(heard.heard, each))), None)
    if found is None:
        raise MessageError("subject", "no resource tells the patient", "let the sender send one of this patient")
    return found


def _ids(heard: FhirHeard) -> list[str]:
    from fhir_radcharge.wire.fhir.elements import identifier

    wanted = heard.heard.sender.profile.event_id
    found = [identifier(one.resource, wanted) for one in heard.heard.body.entries if "subject" in one.resource]
    return [one for one in found if one is not None]


def _instant(at: str) -> str:
    """Return the text of MSH-7 as an instant of FHIR; ours is always in UTC and to the second."""
    return f"{at[:4]}-{at[4:6]}-{at[6:8]}T{at[8:10]}:{at[10:12]}:{at[12:14]}Z"
