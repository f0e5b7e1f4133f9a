"""Turns FHIR bodies into treatment events, and postings back into FHIR requests.

A body is walked in this order: `strict_json` (bytes to values), `schema` (values to proven resources), `read`
(resources to a Body), `events` (a Body to readings) with `codex`, `courses` and `charge_items` for what happened and
`heard`, `frame` and `surroundings` for who and where. And back: `carried` and `write` (postings to ChargeItems),
`operations` (to requests), `answers` (an answer to an outcome). `profile`, `tables` and `destination` say what
differs between sites; `ft1_map`, `ft1_read` and `ft1_write` go between an FT1 segment and a ChargeItem.
"""
