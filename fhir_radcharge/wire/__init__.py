"""Bytes into events and postings into bytes: the only rooms that know HL7 or FHIR."""
