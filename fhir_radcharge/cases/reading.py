"""Turns case files into cases of which every word is checked, or into one error that names each mistake."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from fhir_radcharge.cases.checks import Emitted, Expected, LineCheck
from fhir_radcharge.cases.form import BILLS, EVENTS, CaseForm, CourseForm, EventForm, StepForm, TablesForm
from fhir_radcharge.errors import TableError
from fhir_radcharge.rules.catalogue import Catalogue
from fhir_radcharge.rules.policy import Profile, Reason
from fhir_radcharge.tables.strict_yaml import Row, Rows, line_of, load, typed, validated

REVISING = ("void", "amend", "resend")
IMAGES = ("guidance", "port_image")


class Profiles(Protocol):
    """What is asked of the payer profiles: `Policy`, or those of two sides."""

    @property
    def profiles(self) -> Sequence[Profile]:
        """Every profile."""

    def known(self, payer: str | None) -> bool:
        """Return whether the payer has a profile."""

    def problem(self, name: str, value: Any) -> str | None:
        """Return what is wrong with a knob's name or value, None where it may be set."""


class Told(NamedTuple):
    """One thing as it became known.

    `subject` is the event that a void, an amendment or a repeat speaks of, and `form` then what that event
    was (void, resend) or is from now on (amend); `unvoid` is a void of a void.
    """

    id: str
    kind: str
    form: EventForm
    subject: str | None = None


class Step(NamedTuple):
    """What became known at one time, what stands after it, and what it newly sends."""

    told: tuple[Told, ...]
    expect: Mapping[str, Expected]
    emits: Mapping[str, tuple[Emitted, ...]]
    tables: TablesForm | None


class Case(NamedTuple):
    """One worked case, checked; `line` is where it begins."""

    id: str
    file: Path
    line: int
    form: CaseForm
    policy: Mapping[str, Any]
    courses: tuple[CourseForm, ...]
    steps: tuple[Step, ...]


def load_cases(
    paths: Iterable[Path], catalogue: Catalogue, policy: Profiles, reasons: Sequence[Reason]
) -> tuple[Case, ...]:
    """Return the cases of all files; raise one TableError with a `file:line: case: ...` for each mistake."""
    cases: list[Case] = []
    problems: list[str] = []
    places: dict[str, str] = {}
    for path in paths:
        rows = load(path)
        if not isinstance(rows, Rows):
            raise TableError(f"{path}:1: write a list of cases, each beginning with '- id:'")
        for row in rows:
            reader = _CaseReader(path, catalogue, policy, reasons)
            case = reader.case(row)
            problems += reader.problems
            if case is None:
                continue
            place = f"{path}:{case.line}"
            if case.id in places:
                told = f"the id is already at {places[case.id]}; choose another"
                problems.append(f"{place}: {case.id}: {told}")
            places[case.id] = place
            cases.append(case)
    if problems:
        raise TableError("\n".join(problems))
    return tuple(cases)


class _CaseReader:
    """Reads one case and gathers what is wrong with it."""

    def __init__(self, path: Path, catalogue: Catalogue, policy: Profiles, reasons: Sequence[Reason]) -> None:
        self.path = path
        self.policy = policy
        self.problems: list[str] = []
        self.name = "case"
        self.lines = LineCheck(catalogue, reasons)
        self.courses: tuple[CourseForm, ...] = ()
        self.rows: dict[str, Row] = {}  # what each event is by now
        self.first: dict[str, Row] = {}  # what it was when it first became known
        self.count = 0

    def case(self, row: Any) -> Case | None:
        """Return a row as a case; tell each mistake in it and return None."""
        if not isinstance(row, Row):
            self.tell(line_of(row), "write a case as keys and values, beginning with '- id:'")
            return None
        self.name = str(row.get("id") or "case")
        form = self.form(CaseForm, row, "")
        if form is None:
            return None
        if not self.policy.known(form.payer) and form.payer != "unknown":
            names = ", ".join(profile.name for profile in self.policy.profiles)
            problem = f"payer '{form.payer}' has no profile; write one of {names}, unknown"
            self.tell(line_of(form.payer), problem)
        self.lines.families = None if form.compare is None else frozenset(form.compare)
        knobs = self.knobs(row)
        self.courses = self.course_forms(row)
        self.table_codes(form.tables, row)
        steps = tuple(self.step(given, where) for given, where in self.step_rows(row))
        if not self.first and not self.problems:
            self.tell(row.line, "nothing happens; write at least one event")
        if self.problems:
            return None
        return Case(form.id, self.path, row.line, form, knobs, self.courses, tuple(filter(None, steps)))

    def tell(self, line: int, problem: str) -> None:
        """Note a mistake at a line of the file; nothing is raised before all files are read."""
        self.problems.append(f"{self.path}:{line}: {self.name}: {problem}")

    def form(self, model: Any, row: Any, where: str) -> Any:
        """Return a row as a model's value; tell each mistake in it and return None."""
        try:
            return validated(model, row, self.path)
        except TableError as error:
            for told in str(error).split("\n"):
                line, _, problem = told.removeprefix(f"{self.path}:").partition(": ")
                self.tell(int(line), f"{where}{problem}")
            return None

    def knobs(self, row: Row) -> Mapping[str, Any]:
        """Return the knobs that a case sets; tell each that the profiles do not have, or not with that value."""
        given = row.get("policy", Row(row.line))
        if not isinstance(given, Row):
            self.tell(row.lines["policy"], "policy: write knobs as {name: value}")
            return {}
        values = {name: typed(value) for name, value in given.items()}
        for name, value in values.items():
            problem = self.policy.problem(name, value)
            if problem:
                self.tell(given.lines[name], f"policy: {problem}")
        return values

    def course_forms(self, row: Row) -> tuple[CourseForm, ...]:
        """Return the courses that a case declares, one or a list; tell an id that stands twice."""
        given = row.get("course", Rows(row.line))
        rows = given if isinstance(given, Rows) else [given]
        forms = tuple(filter(None, (self.form(CourseForm, course, "course: ") for course in rows)))
        ids = [form.id for form in forms]
        for name in sorted({name for name in ids if ids.count(name) > 1 or name == "unknown"}):
            problem = f"course '{name}' stands twice or means no course; choose another id"
            self.tell(row.lines["course"], problem)
        return forms

    def step_rows(self, row: Row) -> list[tuple[Any, str]]:
        """Return each step with the words that name it in an error: the case itself where it has none."""
        if "steps" not in row:
            only = Row(row.line)
            for key in ("events", "expect"):
                if key in row:
                    only[key], only.lines[key] = row[key], row.lines[key]
            return [(only, "")]
        for key in ("events", "expect"):
            if key in row:
                self.tell(row.lines[key], f"{key} stands beside steps; move it into a step")
        if not isinstance(row["steps"], Rows) or not row["steps"]:
            self.tell(row.lines["steps"], "steps: write a list of steps, each with events and expect")
            return []
        return [(step, f"step {number}, ") for number, step in enumerate(row["steps"], 1)]

    def step(self, row: Any, where: str) -> Step | None:
        """Return a step with its events and expected lines; None where its form is wrong."""
        form: StepForm | None = self.form(StepForm, row, where)
        if form is None:
            return None
        self.table_codes(form.tables, row)
        told = self.events(row["events"], row.lines["events"], where)
        expect: dict[str, Expected] = {}
        emits: dict[str, tuple[Emitted, ...]] = {}
        for bill, texts in form.expect.items():
            expect[bill] = self.expected(bill, texts, where)
        for bill, texts in (form.emits or {}).items():
            emits[bill] = self.emitted(bill, texts, where)
        return Step(told, expect, emits, form.tables)

    def table_codes(self, tables: TablesForm | None, row: Row) -> None:
        """Tell each code of the supposed official tables that is not in the catalogue."""
        if tables is None:
            return
        paired = [code for pair in tables.ptp for code in pair[:2]]
        for code in (*tables.mue, *tables.absent, *tables.no_charge_code, *paired):
            if not self.lines.catalogue.known(code):
                self.tell(row.lines["tables"], f"tables: {code} is not in the code catalogue; correct it")

    def expected(self, bill: str, texts: Sequence[Any], where: str) -> Expected:
        """Return what a bill must carry after a step; tell each line that is wrong."""
        expected, problems = self.lines.expected(bill, texts)
        for line, problem in problems:
            self.tell(line, f"{where}{bill}: {problem}")
        return expected

    def emitted(self, bill: str, texts: Sequence[Any], where: str) -> tuple[Emitted, ...]:
        """Return what a step must newly send on a bill; tell each line that is wrong."""
        emitted, problems = self.lines.emitted(bill, texts)
        for line, problem in problems:
            self.tell(line, f"{where}emits, {bill}: {problem}")
        return emitted

    def events(self, given: Any, line: int, where: str) -> tuple[Told, ...]:
        """Return what became known in a step, in its order; what is wrong is told and left out."""
        if not isinstance(given, Rows):
            self.tell(line, f"{where}events: write a list of events")
            return ()
        named: list[tuple[str, Row, str]] = []
        for number, row in enumerate(given, 1):
            named += self.named(row, f"{where}event {number}")
        # References may look ahead within a step: all are named before any is read.
        return tuple(filter(None, (self.told(name, row, where) for name, row, where in named)))

    def named(self, row: Any, where: str) -> list[tuple[str, Row, str]]:
        """Return an event under its id, or each event of a shorthand under its own."""
        if not isinstance(row, Row):
            self.tell(line_of(row), f"{where}: write an event as {{kind: ..., at: ...}}")
            return []
        kind = row.get("kind")
        if not isinstance(kind, str) or kind not in EVENTS:
            said = "is missing" if kind is None else f"'{kind}' is not known"
            line = row.lines.get("kind", row.line)
            self.tell(line, f"{where}: kind {said}; write one of {', '.join(EVENTS)}")
            return []
        self.in_course(row, where)
        each = [row]
        if kind == "fractions":
            form = self.form(EVENTS[kind], row, f"{where}: ")
            if form is None:
                return []
            each = _one_by_one(row, form.first or 1)
        named = [(str(one.get("id") or f"{kind}{self.count + 1 + i}"), one) for i, one in enumerate(each)]
        self.count += len(named)
        for name, one in named:
            if name in self.first:
                self.tell(one.line, f"{where}: id {name} stands twice; choose another")
            self.first[name] = self.rows[name] = one
        return [(name, one, f"{where} ({name})") for name, one in named]

    def in_course(self, row: Row, where: str) -> None:
        """Tell an event of a course that the case does not have, or of none where it has several."""
        known = [course.id for course in self.courses]
        course = row.get("course")
        if course is None:
            if len(known) > 1 and row["kind"] != "day":
                self.tell(row.line, f"{where}: names no course; add course: {' or '.join(known)}, or unknown")
        elif course not in (*known, "unknown"):
            said = ", ".join(known) or "none"
            self.tell(row.lines["course"], f"{where}: no course '{course}'; the case has {said}")

    def told(self, name: str, row: Row, where: str) -> Told | None:
        """Return what became known, with the event that it revises as that was or now is; None where it is wrong."""
        kind = str(row["kind"])
        form: EventForm | None = self.form(EVENTS[kind], row, f"{where}: ")
        if form is None:
            return None
        if kind in ("guidance", "approval") and not self.refers(row, where):
            return None
        if kind not in REVISING:
            return Told(name, kind, form)
        subject = str(row["of"])
        target = self.rows.get(subject)
        if kind == "void" and target is not None and target["kind"] == "void":
            # What never happened is the void: its event stands again.
            kind, subject = "unvoid", str(target["of"])
            target = self.rows.get(subject)
        if target is None or target["kind"] in (*REVISING, "day"):
            self.tell(row.lines["of"], f"{where}: of: no event '{subject}' that it can speak of; name its id")
            return None
        if kind == "amend":
            target = self.rows[subject] = self.amended(target, row, where)
        was = self.first[subject] if kind == "resend" else target
        form = self.form(EVENTS[str(target["kind"])], was, f"{where}: ")
        return None if form is None else Told(name, kind, form, subject)

    def refers(self, row: Row, where: str) -> bool:
        """Return whether an image's session, or an approval's image, is an event of that kind."""
        key, kinds = ("fraction", ("fraction",)) if row["kind"] == "guidance" else ("of", IMAGES)
        target = self.rows.get(str(row.get(key)))
        if key not in row or (target is not None and target["kind"] in kinds):
            return True
        self.tell(row.lines[key], f"{where}: {key}: no {' or '.join(kinds)} '{row[key]}'; name its id")
        return False

    def amended(self, target: Row, row: Row, where: str) -> Row:
        """Return an event with some keys written anew; tell a key that may not be."""
        merged = Row(target.line)
        merged.update(target)
        merged.lines.update(target.lines)
        for key, value in row["set"].items():
            line = row["set"].lines[key]
            if key in ("kind", "id"):
                self.tell(line, f"{where}: set: {key} cannot be amended; void the event and write another")
                continue
            merged[key], merged.lines[key] = value, line
        if "course" in row["set"]:
            self.in_course(merged, where)
        return merged


def _one_by_one(row: Row, first: int) -> list[Row]:
    """Return the sessions of a `fractions` row, F1 and following or from `first`."""
    each = []
    for number, at in enumerate(row["at"], first):
        one = Row(row.line)
        one.update({key: value for key, value in row.items() if key not in ("first", "id")})
        one.update({"kind": "fraction", "id": f"F{number}", "at": at})
        one.lines = {**row.lines, "id": row.line, "at": line_of(at)}
        each.append(one)
    return each


def bills_of(case: Case) -> frozenset[str]:
    """Return the bills that some step of a case states, in the case's words."""
    stated = [(*step.expect, *step.emits) for step in case.steps]
    return frozenset(bill for bill in BILLS for bills in stated if bill in bills)
