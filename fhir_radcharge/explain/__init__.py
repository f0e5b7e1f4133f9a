"""Any id of the books into what happened, why, and what came of it: read from the ledger, never from a debug mode.

Nothing here writes, and nothing that is returned tells who a patient is: patients are numbers.
"""

from fhir_radcharge.explain.finding import Found, NotFoundError, found
from fhir_radcharge.explain.patient import book_of
from fhir_radcharge.explain.text import told
from fhir_radcharge.explain.tracing import explanation
from fhir_radcharge.explain.words import item_words

__all__ = ["Found", "NotFoundError", "book_of", "explanation", "found", "item_words", "told"]
