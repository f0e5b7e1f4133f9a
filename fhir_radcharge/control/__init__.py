"""How a writing verb reaches the books: through the running server's socket, else by taking the ledger's lock itself.

`VERBS` names every writing verb once; the server mounts it, and `act` calls the same function where no server runs.
A verb takes an engine and plain JSON arguments, runs alone in one transaction, and returns plain JSON.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from fhir_radcharge.config import Config
from fhir_radcharge.control import going_live, items, tables
from fhir_radcharge.engine import Engine
from fhir_radcharge.errors import LedgerError
from fhir_radcharge.gateway.control import NoServerError, ask
from fhir_radcharge.ledger import Ledger
from fhir_radcharge.serving import books_folder, engine_of, site_of

__all__ = ["VERBS", "act", "books"]

Verb = Callable[[Engine, Mapping[str, Any]], Any]

VERBS: Mapping[str, Verb] = {
    "release": items.release,
    "dismiss": items.dismiss,
    "dismiss_message": items.dismiss_message,
    "arrived": items.arrived,
    "resend": items.resend,
    "not_arrived": items.not_arrived,
    "supply": items.supply,
    "pause": going_live.pause,
    "resume": going_live.resume,
    "drain": going_live.drain,
    "shadow": going_live.shadow,
    "live": going_live.live,
    "opening": going_live.opening,
    "activate": tables.activate,
    "official": tables.official,
    "reread": tables.reread,
}

_MESSAGES_MAX = 500
# Nothing is left to do long before this; it only keeps a defect from running for ever.
_TURNS_MAX = 100_000


def act(config: Config, verb: str, args: Mapping[str, Any], within_s: float = 60.0) -> Any:
    """Run a verb on the books of a site and return its result; its mistakes raise, and change nothing.

    Where no server runs, what the verb touched is worked through before this returns. Nothing is sent.
    """
    if _is_running(config):
        try:
            return ask(config.control.socket, verb, args, within_s)
        except TimeoutError:
            raise LedgerError(
                f"the server did not answer within {within_s:.0f} s; look what it did before you ask again"
            ) from None
    with books(config) as engine:
        with engine.ledger.transaction():
            # The same way as through the socket, so that a verb cannot come to depend on richer arguments.
            result = VERBS[verb](engine, json.loads(json.dumps(dict(args), default=str)))
        for _ in range(_TURNS_MAX):
            if not engine.work(_MESSAGES_MAX):
                break
        return json.loads(json.dumps(result, default=str))


def _is_running(config: Config) -> bool:
    """Tell whether a server has the books; asked apart, so that a verb that it broke off is never done twice."""
    try:
        ask(config.control.socket, "status", {}, 5.0)
    except NoServerError:
        return False
    except TimeoutError:
        return True
    return True


@contextmanager
def books(config: Config) -> Iterator[Engine]:
    """Take the lock of a site's ledger and return an engine over it; LedgerError if another process has it."""
    site = site_of(config)
    books_folder(config.store.path)
    ledger = Ledger(config.store.path)
    try:
        yield engine_of(config, site, ledger)
    finally:
        ledger.close()
