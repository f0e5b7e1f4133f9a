"""Turns a case into its runs: one for each setting that it states, each a row of stages of events."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from typing import Any, NamedTuple

from fhir_radcharge.cases.checks import Emitted, Expected
from fhir_radcharge.cases.form import CourseForm, EventForm, Exam, Fraction, ReportedCode, Service, TablesForm
from fhir_radcharge.cases.reading import IMAGES, Case, Told, bills_of
from fhir_radcharge.model import Place, Reported, TreatmentEvent

SOURCE = "case"
UNKNOWN_COURSE = "?"
_NOT_FACTS = {"code", "units", "modifiers", "provider", "setting", "patient_class"}


class Supposed(NamedTuple):
    """Official tables that a case supposes imported; `absent` is None where it supposes no fee schedule."""

    mue: Mapping[str, int]
    ptp: tuple[tuple[str, str, int], ...]
    absent: frozenset[str] | None
    no_charge_code: frozenset[str]


class Stage(NamedTuple):
    """All that is known after a step, the greatest date that has come, and what must then stand.

    `events` are the greatest revision of each event, voided ones marked; `told` counts all that was said.
    """

    events: tuple[TreatmentEvent, ...]
    as_of: date | None
    tables: Supposed | None
    expect: Mapping[str, Expected]
    emits: Mapping[str, tuple[Emitted, ...]]
    told: int


class Run(NamedTuple):
    """A case in one setting (`freestanding`, `hospital`), or `all` where its sessions state their own.

    `bills` are those compared, in the case's words. `assume` is what the case takes for granted of groups of
    sessions, which only the rules can tell: `exams`, `physics`; approvals are already facts of the images.
    """

    case: Case
    name: str
    bills: tuple[str, ...]
    assume: frozenset[str]
    stages: tuple[Stage, ...]


def runs(case: Case) -> Iterator[Run]:
    """Yield the runs of a case, freestanding first."""
    stated = bills_of(case)
    bills: tuple[str, ...]
    assume = frozenset(case.form.assume) - {"approvals"}
    own = any(_setting(told) in ("freestanding", "hospital") for step in case.steps for told in step.told)
    if own:
        bills = tuple(bill for bill in ("freestanding", "hospital", "physician") if bill in stated)
        yield Run(case, "all", bills, assume, tuple(_stages(case, None)))
        return
    split = case.form.ownership == "split"
    if "freestanding" in stated or ("physician" in stated and split):
        place = Place("freestanding", "on", case.form.ownership)
        carried = ("freestanding", "physician") if split else ("freestanding",)
        bills = tuple(bill for bill in carried if bill in stated)
        yield Run(case, "freestanding", bills, assume, tuple(_stages(case, place)))
    if "hospital" in stated or ("physician" in stated and not split):
        place = Place("hospital", case.form.campus, "single")
        bills = tuple(bill for bill in ("hospital", "physician") if bill in stated)
        yield Run(case, "hospital", bills, assume, tuple(_stages(case, place)))


def _stages(case: Case, place: Place | None) -> Iterator[Stage]:
    reader = _Sayings(case, place)
    known = [reader.course_event(course) for course in case.courses]
    as_of: date | None = None
    tables = _supposed(case.form.tables)
    for step in case.steps:
        known += [event for told in step.told for event in reader.events(told)]
        came = [told.form.at.day for told in step.told if told.kind == "day"]
        as_of = max([as_of, *came] if as_of else came, default=None)
        tables = _supposed(step.tables) if step.tables else tables
        yield Stage(greatest(known), as_of, tables, step.expect, step.emits, len(known))


def greatest(events: Iterable[TreatmentEvent]) -> tuple[TreatmentEvent, ...]:
    """Return the greatest revision of each event, in the order in which the events first became known."""
    stands: dict[str, TreatmentEvent] = {}
    for event in events:
        if event.id not in stands or event.revision > stands[event.id].revision:
            stands[event.id] = event
    return tuple(stands.values())


class _Sayings:
    """Turns what became known into events, in order: an event's greatest revision is what stands."""

    def __init__(self, case: Case, place: Place | None) -> None:
        told = [told for step in case.steps for told in step.told]
        self.case = case
        self.place = place
        self.orders = {one.id: number for number, one in enumerate(told, 1)}
        self.lacks = {course.id: frozenset(course.missing) for course in case.courses}
        self.approved_apart = {one.form.facts()["of"] for one in told if one.kind == "approval"}
        self.settings = _settings(told)
        self.begins = min(one.form.at.day for one in told)
        self.voided: set[str] = set()

    def events(self, told: Told) -> Iterator[TreatmentEvent]:
        """Yield the event that a saying is or revises, at its revision; none for a day that has come."""
        order = self.orders[told.id]
        if told.kind == "day":
            return
        if told.subject is None:
            yield self.event(told.id, told.form, order, (order,))
        elif told.kind == "resend":
            yield self.event(told.subject, told.form, order, (self.orders[told.subject],))
        else:
            # A void that comes before its event still outranks it: the later of both orders, then its own.
            revision = (max(order, self.orders[told.subject]), order)
            # What never happened is not brought back by mending what was said of it.
            voided = told.kind == "void" or (told.kind == "amend" and told.subject in self.voided)
            (self.voided.add if voided else self.voided.discard)(told.subject)
            yield self.event(told.subject, told.form, order, revision, voided)

    def event(
        self, name: str, form: EventForm, order: int, revision: tuple[int, ...], voided: bool = False
    ) -> TreatmentEvent:
        """Return one event at a revision; `order` is the number of the saying, counted from 1."""
        course = _course(self.case, form)
        inpatient = form.patient_class if isinstance(form, Fraction) else None
        return TreatmentEvent(
            source=SOURCE,
            id=name,
            kind=form.kind,  # type: ignore[arg-type]  # the form's kinds are the noun's, less day and shorthands
            day=form.at.day,
            minute=form.at.minute,
            course=course,
            facts=self.facts(name, form),
            place=self.place_on(form.at.day, form.setting if isinstance(form, Fraction) else None),
            patient_class=inpatient or self.case.form.patient_class,
            payer=self.case.form.payer,
            reported=_reported(form),
            provider=form.provider if isinstance(form, Exam) else None,
            lacks=self.lacks.get(course or "", frozenset()),
            revision=revision,
            voided=voided,
            message=order,
        )

    def facts(self, name: str, form: EventForm) -> Mapping[str, Any]:
        """Return the facts as a rule asks them; an assumed approval comes in time by the image's own clock."""
        stated = form.facts()
        facts = {key: value for key, value in stated.items() if key not in _NOT_FACTS}
        if form.kind == "release":
            facts |= {key: stated[key] for key in ("code", "modifiers") if key in stated}
        assumed = "approvals" in self.case.form.assume and name not in self.approved_apart
        if form.kind in IMAGES and "approved_at" not in facts and assumed:
            # In time by the image's own clock, so that a second session of the day does not come first.
            facts["approved_at"] = form.at.text if form.at.minute is not None else f"{form.at.day}T23:59"
        if form.kind == "approval" or "approved_at" in facts:
            facts.setdefault("approver", "physician")
        return facts

    def course_event(self, course: CourseForm) -> TreatmentEvent:
        """Return what is known of a course before all else: dated like the earliest event of the case."""
        stated = course.model_dump(include={"prescribed_fractions", "site"} & course.model_fields_set)
        return TreatmentEvent(
            source=SOURCE,
            id=f"course {course.id}",
            kind="course",
            day=self.begins,
            course=course.id,
            facts=stated,
            place=self.place_on(self.begins, None),
            patient_class=self.case.form.patient_class,
            payer=self.case.form.payer,
            lacks=frozenset(course.missing),
            revision=(0,),
        )

    def place_on(self, day: date, own: Any) -> Place:
        """Return the place of an event: its own setting goes before that of the run."""
        if self.place is not None:
            return self.place._replace(setting=own) if own else self.place
        ownership, campus = self.case.form.ownership, self.case.form.campus
        setting = own or self.setting_on(day)
        return Place(setting, campus, "single") if setting == "hospital" else Place(setting, "on", ownership)

    def setting_on(self, day: date) -> Any:
        """Return the setting of the last session up to a day, else that of the first."""
        before = [setting for when, setting in self.settings if when <= day]
        return before[-1] if before else self.settings[0][1]


def _setting(told: Told) -> str | None:
    return told.form.setting if isinstance(told.form, Fraction) else None


def _settings(told: list[Told]) -> list[tuple[date, str]]:
    return sorted((one.form.at.day, setting) for one in told if (setting := _setting(one)))


def _course(case: Case, form: EventForm) -> str | None:
    if form.course == "unknown":
        return UNKNOWN_COURSE
    if form.course is None and len(case.courses) == 1:
        return case.courses[0].id
    return form.course


def _reported(form: EventForm) -> Reported | None:
    if not isinstance(form, Service | ReportedCode):
        return None
    return Reported(form.code, form.modifiers or (), form.units)


def _supposed(form: TablesForm | None) -> Supposed | None:
    if form is None:
        return None
    absent = frozenset(form.absent) if "absent" in form.model_fields_set else None
    pairs = tuple((pair.first, pair.second, pair.indicator) for pair in form.ptp)
    return Supposed(dict(form.mue), pairs, absent, frozenset(form.no_charge_code))


