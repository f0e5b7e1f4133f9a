"""The FHIR door: HTTP requests into the books, and what was stored back out; all in the gateway's own event loop."""
