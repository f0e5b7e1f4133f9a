"""Turns case files and a rulebook into verdicts: does each bill of each case carry what it must."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import date
from itertools import groupby
from pathlib import Path
from typing import NamedTuple, Protocol

from fhir_radcharge.cases.comparing import differences, differences_emitted, line_of
from fhir_radcharge.cases.form import BILLS
from fhir_radcharge.cases.reading import Case, load_cases
from fhir_radcharge.cases.runs import Run, Stage, Supposed, runs
from fhir_radcharge.cases.standing import Books, Correct, emitted
from fhir_radcharge.errors import RuleError
from fhir_radcharge.model import Charge, Due, Standing, TreatmentEvent
from fhir_radcharge.official.tables import InMemoryTables
from fhir_radcharge.plural import number_of
from fhir_radcharge.reconcile import ALREADY_SENT, corrections
from fhir_radcharge.rules.rulebook import Rulebook


class CaseTables(InMemoryTables):
    """The official tables that a case supposes imported, and the codes that its charge master lacks."""

    def __init__(self, supposed: Supposed) -> None:
        super().__init__(supposed.mue, supposed.ptp, supposed.absent)
        self._no_charge_code = supposed.no_charge_code

    def lacks_charge_code(self, charge: Charge) -> bool:
        """Return whether the case says that the charge master has no row for the code."""
        return charge.code in self._no_charge_code


class DueFunction(Protocol):
    """What computes a patient's charges; `rules.charging.charges_due` in earnest."""

    def __call__(
        self,
        events: Sequence[TreatmentEvent],
        rulebook: Rulebook,
        as_of: date | None = None,
        assume: frozenset[str] = frozenset(),
        tables: CaseTables | None = None,
    ) -> Due:
        """Return all that the events make due."""


class CaseResult(NamedTuple):
    """The verdict on one run of a case; `differences` are sentences, empty where it is ok."""

    id: str
    run: str
    ok: bool
    differences: tuple[str, ...]


def case_files(named: Iterable[Path]) -> list[Path]:
    """Return the files of cases that are named, and those of the folders that are named, in order."""
    return [path for one in named for path in (sorted(one.glob("*.yaml")) if one.is_dir() else [one])]


def verify(
    paths: Iterable[Path], rulebook: Rulebook, due: DueFunction, correct: Correct = corrections
) -> Iterator[CaseResult]:
    """Yield a result for each run of each case; raise TableError before the first where a form is wrong."""
    cases = load_cases(paths, rulebook.catalogue, rulebook.policy, rulebook.reasons)
    return (result for case in cases for result in _results(case, rulebook, due, correct))


def report(results: Iterable[CaseResult]) -> Iterator[str]:
    """Yield one line for each case, below it what differs, and a summary at the end."""
    cases = differing = 0
    for name, group in groupby(results, key=lambda result: result.id):
        told = [f"  run {result.run}: {said}" for result in group for said in result.differences]
        cases += 1
        differing += bool(told)
        yield f"{name}  {'DIFFERS' if told else 'ok'}"
        yield from told
    counted = number_of(cases, "case")
    yield f"{counted}, {differing} {'differs' if differing == 1 else 'differ'}" if differing else f"{counted}, all ok"


def _results(case: Case, rulebook: Rulebook, due: DueFunction, correct: Correct) -> Iterator[CaseResult]:
    if case.policy:
        rulebook = replace(rulebook, policy=rulebook.policy.overridden(case.policy))
    for run in runs(case):
        told = tuple(_differences(run, rulebook, due, correct))
        yield CaseResult(case.id, run.name, not told, told)


def _differences(run: Run, rulebook: Rulebook, due: DueFunction, correct: Correct) -> Iterator[str]:
    books = Books(correct)
    for number, stage in enumerate(run.stages, 1):
        step = f"step {number}, " if len(run.stages) > 1 else ""
        tables = CaseTables(stage.tables) if stage.tables else None
        try:
            answer = due(stage.events, rulebook, stage.as_of, run.assume, tables)
        except RuleError as error:
            yield f"{step}cannot be computed: {error}"
            return
        for bill, said in _of_stage(run, stage, answer, books, rulebook):
            yield f"{step}{bill}: {said}"


def _of_stage(
    run: Run, stage: Stage, answer: Due, books: Books, rulebook: Rulebook
) -> Iterator[tuple[str, str]]:
    """Yield a bill and a sentence for each difference after one step."""
    said = books.brought_to(answer.charges)
    held = tuple(charge for charge in answer.charges if charge.hold)
    raised = {flag.reason for flag in (*answer.flags, *said.flags)}
    raised |= {charge.hold for charge in held if charge.hold}
    # A line that a later table edits stays where it was sent, and is one line there, not two.
    kept = {(flag.reason, flag.events) for flag in said.flags if flag.note == ALREADY_SENT}
    lines: list[Charge | Standing] = [*books.standing, *(c for c in held if (c.hold, c.events) not in kept)]
    families = run.case.form.compare

    def compared(charge: Charge | Standing, bill: str) -> bool:
        return charge.bill == BILLS[bill] and (
            families is None or rulebook.catalogue.family(charge.code) in families
        )

    for bill in run.bills:
        if bill in stage.emits:
            new = [one for one in emitted(said, BILLS[bill])
                   if families is None or rulebook.catalogue.family(one.line.code) in families]
            for told in differences_emitted(stage.emits[bill], new):
                yield bill, told
        if bill in stage.expect:
            stands = [line_of(one) for one in lines if compared(one, bill)]
            for told in differences(stage.expect[bill], stands, frozenset(raised)):
                yield bill, told
