"""All lines of the expectations in order: baseline, targets file, the user's rules, exceptions. Later ones win."""

from __future__ import annotations

from datetime import date
from functools import cache
from importlib import resources
from typing import NamedTuple

from msgspec import UnsetType

from kubeshield_tui.discovery.catalogue import Catalogue
from kubeshield_tui.judgement.facts import Facts
from kubeshield_tui.judgement.selectors import Check, endpoint_checks, vantage_checks
from kubeshield_tui.model.endpoint import Endpoint
from kubeshield_tui.model.expectation import LineKind, Must, Severity, Waiver
from kubeshield_tui.model.text import printable
from kubeshield_tui.model.vantage import Vantage, Zone
from kubeshield_tui.settings.expect_file import Declared, Placed, parse_expectations
from kubeshield_tui.settings.expect_form import ExceptionForm, Grade, GradeByZone, RuleForm

BASELINE = "baseline"
TARGETS = "targets"
DEFAULT_SEVERITY = Severity.HIGH
"""Of what somebody wrote down without one: it was worth a line."""
FOREVER = date.max.toordinal()


class Line(NamedTuple):
    """One line, made ready."""

    kind: LineKind
    where: str
    name: str
    must: Must
    """For targets: what each of them says, not this."""
    grade: Grade | GradeByZone | UnsetType
    because: str
    waiver: Waiver | None
    last_day: int
    """Last day on which it holds, as `date.toordinal` counts."""
    to: tuple[Check[Endpoint], ...]
    source: tuple[Check[Vantage], ...]
    same_cluster: bool | UnsetType
    same_namespace: bool | UnsetType
    needs_labels: bool
    """Labels of endpoints matter to it: a cluster may tell them late."""

    @property
    def shown(self) -> str:
        """`expect.toml:12 "only ops reaches the API"`."""
        return f'{self.where} "{self.name}"' if self.name else self.where

    def severity(self, component: str, zone: Zone, catalogue: Catalogue) -> Severity:
        """Severity of a finding by this line."""
        grade = self.grade
        if isinstance(grade, GradeByZone):
            grade = getattr(grade, zone)
        if isinstance(grade, UnsetType):
            return DEFAULT_SEVERITY
        if grade is not Grade.CATALOGUE:
            return Severity(grade)
        row = catalogue.row(component)
        if row is None:
            return DEFAULT_SEVERITY
        return row.severity_outside if zone is Zone.OUTSIDE else row.severity_inside


@cache
def baseline() -> Declared:
    """Return what is expected of every estate."""
    return parse_expectations(baseline_text(), "baseline.toml", BASELINE)


def baseline_text() -> str:
    """Return the baseline as it is written."""
    return resources.files("kubeshield_tui.judgement").joinpath("baseline.toml").read_text("utf-8")


def make_lines(declared: Declared, facts: Facts, catalogue: Catalogue) -> tuple[Line, ...]:
    """Make all lines ready; `declared` is the user's file."""
    lines = [_line(LineKind.BASELINE, placed, facts, catalogue) for placed in baseline().rules]
    targets = Placed(TARGETS, RuleForm(name="expect= of the targets file", must=Must.ANY))
    lines.append(_line(LineKind.TARGETS, targets, facts, catalogue)._replace(to=(lambda one: bool(one.declared),)))
    lines.extend(_line(LineKind.RULE, placed, facts, catalogue) for placed in declared.rules)
    lines.extend(_line(LineKind.EXCEPTION, placed, facts, catalogue) for placed in declared.exceptions)
    return tuple(lines)


def _line(kind: LineKind, placed: Placed[RuleForm] | Placed[ExceptionForm], facts: Facts, catalogue: Catalogue) -> Line:
    form = placed.form
    waiver, last_day = None, FOREVER
    if isinstance(form, ExceptionForm):
        owner, reason = printable(form.owner), printable(form.reason)
        waiver = Waiver(owner=owner, reason=reason, expires=form.expires.isoformat())
        last_day = form.expires.toordinal()
    return Line(
        kind=kind,
        where=BASELINE if kind is LineKind.BASELINE else printable(placed.where),
        name=printable(form.name),
        must=form.must,
        grade=form.severity if isinstance(form, RuleForm) else Grade.HIGH,
        because=printable(form.because) if isinstance(form, RuleForm) else "",
        waiver=waiver,
        last_day=last_day,
        to=endpoint_checks(form.to, facts, catalogue),
        source=vantage_checks(form.source, facts),
        same_cluster=form.source.same_cluster,
        same_namespace=form.source.same_namespace,
        needs_labels=not isinstance(form.to.labels, UnsetType),
    )
