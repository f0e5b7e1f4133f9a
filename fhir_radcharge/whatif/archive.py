"""Turns cases, or an archive of messages, into what other tables would change; no books are needed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

from fhir_radcharge.cases.reading import load_cases
from fhir_radcharge.cases.runs import runs
from fhir_radcharge.errors import RuleError
from fhir_radcharge.model import Due
from fhir_radcharge.recoding import Hearing, Patient
from fhir_radcharge.rules.catalogue import Either
from fhir_radcharge.rules.charging import charges_due
from fhir_radcharge.rules.policy import Policy, Profile, Reason
from fhir_radcharge.rules.rulebook import Rulebook
from fhir_radcharge.verify import CaseTables
from fhir_radcharge.whatif.answers import Span, Tally, changed_rows, changes
from fhir_radcharge.whatif.books import NOTHING_DUE, Side


class Pair(NamedTuple):
    """One patient under both sets of tables: a name without a person in it, the answers, and why one is missing."""

    name: str
    events: int
    before: Due
    after: Due
    failed_before: str = ""
    failed_after: str = ""


def tallied(
    pairs: Iterable[Pair], base: Side, draft: Side, span: Span, tally: Tally, say: Callable[[Any], None]
) -> None:
    """Compare pair by pair into the tally; hand each change to `say`."""
    rows = changed_rows(base.site.rulebook, draft.site.rulebook)
    for pair in pairs:
        found = changes(pair.before, pair.after, rows)
        tally.patients += 1
        tally.events += pair.events
        tally.recomputed += 1
        for side, failed in (("before", pair.failed_before), ("after", pair.failed_after)):
            if failed:
                tally.failed[side, failed] += 1
        tally.add(pair.name, pair.before, pair.after, found, span)
        for change in found:
            if span.has(change):
                say((pair.name, change))


def of_archive(before: Hearing, after: Hearing, base: Side, draft: Side, as_of: date | None) -> Iterator[Pair]:
    """Yield the patients of an archive that both sites have heard, each with the profiles of its own."""
    waiting: tuple[dict[str, Patient], dict[str, Patient]] = ({}, {})
    number = 0
    left = iter(before.patients(as_of, base.edits))
    right = iter(after.patients(as_of, draft.edits))
    while True:
        one, other = next(left, None), next(right, None)
        if one is None and other is None:
            break
        for mine, theirs, patient in ((0, 1, one), (1, 0, other)):
            if patient is None:
                continue
            # Both hear the patients in one order unless a profile finds other patients, so hardly any wait.
            match = waiting[theirs].pop(patient.key, None)
            if match is None:
                waiting[mine][patient.key] = patient
                continue
            number += 1
            yield _pair(number, *((patient, match) if mine == 0 else (match, patient)))
    for patient in waiting[0].values():
        number += 1
        yield _pair(number, patient, Patient(patient.key, 0, NOTHING_DUE))
    for patient in waiting[1].values():
        number += 1
        yield _pair(number, Patient(patient.key, 0, NOTHING_DUE), patient)


def _pair(number: int, before: Patient, after: Patient) -> Pair:
    return Pair(str(number), max(before.events, after.events), before.due, after.due, before.failed, after.failed)


class _EitherPolicy:
    """The profiles and knobs that one of two policies knows."""

    def __init__(self, one: Policy, other: Policy) -> None:
        self._both = (one, other)

    @property
    def profiles(self) -> Sequence[Profile]:
        """The profiles of the first policy, and those that only the other has."""
        one, other = self._both
        return (*one.profiles, *(profile for profile in other.profiles if not one.known(profile.name)))

    def known(self, payer: str | None) -> bool:
        """Return whether the payer has a profile in either."""
        return any(policy.known(payer) for policy in self._both)

    def problem(self, name: str, value: Any) -> str | None:
        """Return what is wrong with a knob's name or value in both, None where one of them may set it."""
        one, other = (policy.problem(name, value) for policy in self._both)
        return one and other and one


def _either_reasons(one: Sequence[Reason], other: Sequence[Reason]) -> tuple[Reason, ...]:
    found = {reason.reason: reason for reason in one}
    for reason in other:
        mine = found.get(reason.reason, reason)
        found[reason.reason] = mine._replace(holds=mine.holds or reason.holds, flags=mine.flags or reason.flags)
    return tuple(found.values())


def _told(rulebook: Rulebook, supposed: Mapping[str, Any]) -> Rulebook:
    """Return the tables with the knobs that a case sets, as far as they have such a knob and such a word."""
    known = {name: value for name, value in supposed.items() if rulebook.policy.problem(name, value) is None}
    return replace(rulebook, policy=rulebook.policy.overridden(known)) if known else rulebook


def of_cases(paths: Iterable[Path], base: Side, draft: Side) -> Iterator[Pair]:
    """Yield every run of every case, at its last step, with what the case supposes.

    A case may name what only one of the two sides knows: a code, a payer, a reason, a knob or a word of it.
    """
    book, other = base.site.rulebook, draft.site.rulebook
    catalogue, policy = Either(book.catalogue, other.catalogue), _EitherPolicy(book.policy, other.policy)
    for case in load_cases(paths, catalogue, policy, _either_reasons(book.reasons, other.reasons)):
        for run in runs(case):
            stage = run.stages[-1]
            tables = CaseTables(stage.tables) if stage.tables else None
            answers = []
            for rulebook in (book, other):
                told = _told(rulebook, case.policy)
                answers.append(_answer(stage.events, told, stage.as_of, run.assume, tables))
            (before, failed_before), (after, failed_after) = answers
            yield Pair(f"{case.id}/{run.name}", len(stage.events), before, after, failed_before, failed_after)


def _answer(
    events: Any, rulebook: Rulebook, as_of: date | None, assume: frozenset[str], tables: Any
) -> tuple[Due, str]:
    try:
        return charges_due(events, rulebook, as_of, assume, tables), ""
    except RuleError as problem:
        return NOTHING_DUE, str(problem)
