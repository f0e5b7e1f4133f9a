"""The ledger: append-only books of messages, events, postings, answers and human decisions."""

from fhir_radcharge.ledger.chain import Verdict, verify_chain
from fhir_radcharge.ledger.promises import broken_promises
from fhir_radcharge.ledger.store import SINGLE_CONNECTION, Ledger, reader, unreadable

__all__ = ["SINGLE_CONNECTION", "Ledger", "Verdict", "broken_promises", "reader", "unreadable", "verify_chain"]
