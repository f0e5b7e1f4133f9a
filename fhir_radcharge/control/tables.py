"""What a person says of the tables and profiles: let them compute, or read what was heard again with them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

from fhir_radcharge import editions
from fhir_radcharge.control.rereading import Reread, rereadings
from fhir_radcharge.engine import Engine
from fhir_radcharge.engine.activation import scope_text, spans_of
from fhir_radcharge.engine.reading import tell
from fhir_radcharge.engine.rooms import label
from fhir_radcharge.errors import UnsafeError

Args = Mapping[str, Any]


def activate(engine: Engine, args: Args) -> dict[str, Any]:
    """Let the tables of the site's folder compute, and keep them; a running server takes them without a restart.

    With the scope `new` dates of service from `from` on are theirs, and earlier ones stay with the tables that decide
    them now; the first activation decides all dates. The digest must be that of the folder.
    """
    digest, first = args["digest"], date.fromisoformat(args["from"]) if args.get("from") else None
    second = args.get("second_person") or ""
    if second and second.casefold() == args["by"].casefold():
        raise UnsafeError(f"'{second}' decides already; the second person is another")
    files = _brought(engine, digest)
    activations = engine.ledger.read("select digest, scope from activation order by number")
    if not activations:
        first = None
    for span in spans_of([*activations, (digest, scope_text(args["scope"], first))])[:-1]:
        if span.digest != digest:
            editions.edition(engine.ledger.read, span.digest)
    engine.decisions.activate(digest, args["scope"], args["by"], args["why"], first, second, files)
    _decide(engine, "tables", digest, args, {"files": args["files"]})
    touched = engine.ledger.read("select count(*) from touched")[0][0]
    return {"digest": digest, "scope": scope_text(args["scope"], first), "patients": touched}


def _brought(engine: Engine, digest: str) -> bytes | None:
    """Return what the books keep of the tables, which the engine is about to compute with."""
    if engine.tables is not None:
        files: bytes = engine.tables.stage(digest)
        return files
    if digest != engine.site.digest:
        raise UnsafeError(
            f"the running server has loaded tables {engine.site.digest[:12]} and these are {digest[:12]}; restart it,"
            " then activate: until then it keeps what it hears and computes nothing"
        )
    return None


def official(engine: Engine, args: Args) -> dict[str, Any]:
    """Let official tables that were imported beside the books edit lines at once, open and held ones too."""
    if engine.tables is None:
        raise UnsafeError("this engine has no official tables; restart it to see what was imported")
    digest = engine.tables.import_official()
    touched = engine.decisions.imported(digest, args["editions"], args["by"], args["why"])
    return {"digest": digest, "editions": args["editions"], "patients": touched}


def reread(engine: Engine, args: Args) -> dict[str, Any]:
    """Append what messages `after` to `upto` say with today's profiles and did not say before; the books keep both."""
    ledger, edition = engine.ledger, _edition(engine)
    found = list(rereadings(ledger.read, engine.site, args["after"], args["upto"], edition))
    told = [tell(one.event, one.patient, one.account) for one in found]
    if told:
        _decide(engine, "reread", f"messages/{args['after'] + 1}-{args['upto']}", args, {"events": len(told)})
        reader = engine._work.reader  # the one way by which events come into the books
        for patient in sorted(reader.append(told, edition)):
            ledger.write("insert or ignore into touched (patient) values (?)", (patient,))
    return _counts(found)


def _counts(found: list[Reread]) -> dict[str, Any]:
    return {what: sum(1 for one in found if one.what == what) for what in ("new", "changed", "gone")}


def _edition(engine: Engine) -> int:
    """Return the number of the edition of tables that is loaded, which it gets when it is first met."""
    ledger, digest = engine.ledger, engine.site.digest
    rows = ledger.read("select number from edition where digest = ?", (digest,))
    if rows:
        return int(rows[0][0])
    number = ledger.next_number("edition")
    ledger.append("edition", [(number, digest)])
    return number


def _decide(engine: Engine, kind: str, subject: str, args: Args, detail: dict[str, Any]) -> None:
    ledger, number = engine.ledger, engine.ledger.next_number("decision")
    at = label(datetime.now(UTC))
    ledger.append(
        "decision", [(number, kind, subject, args["by"], args["why"], at, json.dumps(detail, sort_keys=True))]
    )
