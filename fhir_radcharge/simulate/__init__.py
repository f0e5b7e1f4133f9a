"""Whole invented courses of treatment, said as a record-and-verify system would say them.

A run is a seed, a number of courses and a choice of pathways. `messages` says it in a dialect, message by
message in the order of arrival; `truth` says what each bill must carry at the end, and knows nothing of the
engine.
"""

from fhir_radcharge.simulate.dialects import DIALECTS
from fhir_radcharge.simulate.stream import Run, SaidMessage, courses, messages, run_of
from fhir_radcharge.simulate.truth import Line, truth, write_truth

__all__ = ["DIALECTS", "Line", "Run", "SaidMessage", "courses", "messages", "run_of", "truth", "write_truth"]
