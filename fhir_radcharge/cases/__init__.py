"""Worked cases: what was done to a patient and what each bill must carry, read, expanded and compared."""
