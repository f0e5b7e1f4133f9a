"""A whole gateway in a process of its own, to be killed: `python gateway_child.py CONFIG`."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from test_gateway_server import VERBS, site

from fhir_radcharge.config import load
from fhir_radcharge.engine import Engine
from fhir_radcharge.gateway.server import serve
from fhir_radcharge.ledger import Ledger

if __name__ == "__main__":
    config = load(Path(sys.argv[1]))

    def open_books() -> Any:
        ledger = Ledger(config.store.path)
        return Engine(ledger, site(), lambda: datetime.now(UTC)), ledger

    serve(config, site(), open_books, VERBS)
