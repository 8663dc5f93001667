"""What must be blocked or reachable from where: finds the line that decides a cell, fast enough for every cell.

A line of which a fact is missing is never skipped: the cell is then held to the strictest of what may be declared.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from typing import NamedTuple

from msgspec import UNSET
from msgspec.structs import replace

from kubeshield_tui.discovery.catalogue import SERVICE, TARGET, Catalogue, builtin
from kubeshield_tui.judgement.classes import Placed, Source, Target, source_classes, target_classes
from kubeshield_tui.judgement.facts import Clusters, Facts, Unknown
from kubeshield_tui.judgement.lines import DEFAULT_SEVERITY, Line, make_lines
from kubeshield_tui.judgement.selectors import Answer
from kubeshield_tui.model.endpoint import Endpoint
from kubeshield_tui.model.expectation import SEVERITIES, Expectation, LineKind, Must, Severity
from kubeshield_tui.model.ids import EndpointId, VantageId
from kubeshield_tui.model.vantage import Vantage
from kubeshield_tui.settings.expect_file import Declared

NOTHING = Declared()
"""No file: the baseline and the targets alone."""
DAY = 86_400.0
EPOCH = date(1970, 1, 1).toordinal()
STRICTNESS = (Must.ANY, Must.REACHABLE, Must.BLOCKED)
"""Later is stricter: an open path that must be blocked is the worst thing to miss."""


class Moved(NamedTuple):
    """Ids of endpoints and vantages of which other lines speak than before."""

    endpoints: frozenset[str]
    vantages: frozenset[str]


class Decision(NamedTuple):
    """What a pair of classes comes to. Lines are told by their number."""

    expectation: Expectation
    decider: int | None
    """The last line that surely speaks of these cells; None where none does."""
    sure: tuple[int, ...]
    """All lines that surely do."""
    perhaps: tuple[int, ...]
    """All lines of which that is not known."""
    undecided: tuple[int, ...]
    """Those of them that come later than the decider, where not all would say the same."""


class Expectations:
    """Baseline, targets file and the user's file over one estate.

    `clusters` tells what is known of it and is asked again on `refresh`; none is known unless given. `now` (seconds
    since the epoch) tells which exceptions hold.
    """

    def __init__(
        self,
        clusters: Clusters = dict,
        catalogue: Catalogue | None = None,
        declared: Declared = NOTHING,
        now: float = 0,
    ) -> None:
        self._facts = Facts(clusters)
        self._catalogue = catalogue or builtin()
        self.lines = make_lines(declared, self._facts, self._catalogue)
        self._today = _day(now)
        self._expired = self._bits_expired()
        self._targets = target_classes(self.lines)
        self._sources = source_classes(self.lines, self._facts)
        self._decisions: dict[tuple[int, int], Decision] = {}

    def expect(self, endpoint: Endpoint, vantage: Vantage) -> Expectation:
        """Tell what is declared for a cell."""
        target, source = self._targets.placed.get(endpoint.id), self._sources.placed.get(vantage.id)
        if target is None or target.thing is not endpoint:
            target = self._targets.place(endpoint)
        if source is None or source.thing is not vantage:
            source = self._sources.place(vantage)
        decision = self._decisions.get((target.number, source.number))
        if decision is None:
            decision = self._decision(target.number, source.number)
        if not decision.undecided:
            return decision.expectation
        doubts = zip(decision.undecided, self._missing(decision, target, source), strict=True)
        told = tuple(f"{self.lines[number].shown}: {fact}" for number, fact in doubts)
        return replace(decision.expectation, undecided=told)

    def refresh(
        self, endpoints: Mapping[EndpointId, Endpoint], vantages: Mapping[VantageId, Vantage], now: float
    ) -> Moved:
        """Take in that the estate changed and time passed; returns whose cells may be declared otherwise now."""
        changed = self._facts.refresh()
        labels_changed = changed and any(line.needs_labels for line in self.lines)
        moved = Moved(
            self._targets.refresh(endpoints, facts_changed=labels_changed),
            self._sources.refresh(vantages, facts_changed=changed),
        )
        self._today = max(self._today, _day(now))
        if self._expired != (expired := self._bits_expired()):
            self._expired = expired
            self._decisions.clear()
            return moved._replace(endpoints=self._targets.seen())
        return moved

    def over(
        self, endpoints: Iterable[Endpoint], vantages: Iterable[Vantage]
    ) -> Iterator[tuple[Decision, int, tuple[str, ...]]]:
        """Go over a whole grid: each decision, the cells that it is for, and what is missing for one of them."""
        rows, columns = [*map(self._targets.place, endpoints)], [*map(self._sources.place, vantages)]
        heights, widths = Counter(row.number for row in rows), Counter(column.number for column in columns)
        some_row = {row.number: row for row in reversed(rows)}
        some_column = {column.number: column for column in reversed(columns)}
        for target, height in heights.items():
            for source, width in widths.items():
                decision = self._decision(target, source)
                missing = self._missing(decision, some_row[target], some_column[source])
                yield decision, height * width, missing

    def is_expired(self, line: Line) -> bool:
        """Whether a line holds no longer."""
        return line.last_day < self._today

    # --- deciding

    def _decision(self, target: int, source: int) -> Decision:
        key = (target, source)
        decision = self._decisions.get(key)
        if decision is None:
            decision = self._decide(self._targets.classes[target], self._sources.classes[source])
            self._decisions[key] = decision
        return decision

    def _decide(self, target: Target, source: Source) -> Decision:
        sure, maybe = self._touching(target, source)
        expired = self._expired
        gone = tuple(_lapsed(self.lines[number]) for number in _bits((sure | maybe) & expired))
        certain, perhaps = tuple(_bits(sure & ~expired)), tuple(_bits(maybe & ~expired))
        decider = certain[-1] if certain else None
        later = tuple(number for number in perhaps if decider is None or number > decider)
        base = self._silence(target, source) if decider is None else self._says(decider, target, source)
        candidates = [base, *(self._says(number, target, source) for number in later)]
        strictest = max(candidates, key=_strictness)
        if all(each.must is base.must for each in candidates):  # whichever of them decides, it says this
            gravest = {"severity": strictest.severity, "severity_anonymous": strictest.severity_anonymous}
            return Decision(replace(base, expired=gone, **gravest), decider, certain, perhaps, ())
        return Decision(replace(strictest, expired=gone), decider, certain, perhaps, later)

    def _touching(self, target: Target, source: Source) -> tuple[int, int]:
        """Lines that surely and perhaps speak of a pair, as bits."""
        (sure_to, maybe_to), (sure_from, maybe_from) = target.touched, source.touched
        sure, both = sure_to & sure_from, (sure_to | maybe_to) & (sure_from | maybe_from)
        for number in _bits(both):
            fits = _relation(self.lines[number], target, source)
            if fits is not True:
                sure &= ~(1 << number)
            if fits is False:
                both &= ~(1 << number)
        return sure, both & ~sure

    def _says(self, number: int, target: Target, source: Source) -> Expectation:
        line = self.lines[number]
        if line.kind is LineKind.TARGETS:
            return Expectation(must=Must(target.declared), source=target.source, severity=DEFAULT_SEVERITY)
        severity = line.severity(target.component, source.zone, self._catalogue)
        return Expectation(
            must=line.must,
            source=line.shown,
            severity=severity,
            severity_anonymous=Severity.CRITICAL if self._is_grave(target.component) else severity,
            because=line.because,
            waiver=line.waiver,
        )

    def _is_grave(self, component: str) -> bool:
        """Whether it matters that a component serves strangers. Some, as metrics, are graded for just that."""
        row = self._catalogue.row(component)
        return row is None or row.severity_outside in {Severity.HIGH, Severity.CRITICAL}

    def _silence(self, target: Target, source: Source) -> Expectation:
        """No line speaks of this pair: name the one of the baseline that speaks of the endpoint at least."""
        for number in _bits(target.touched.sure):
            line = self.lines[number]
            if line.kind is LineKind.BASELINE and line.to:
                return Expectation(source=f'baseline says nothing for zone {source.zone}: "{line.name}"')
        return Expectation()

    def _missing(self, decision: Decision, target: Placed[Endpoint], source: Placed[Vantage]) -> tuple[str, ...]:
        """For each undecided line the fact that is missing."""
        rows, columns = self._targets.classes, self._sources.classes
        missing = []
        for number in decision.undecided:
            fact = target.missing.get(number) or source.missing.get(number)
            if fact is None:
                fits = _relation(self.lines[number], rows[target.number], columns[source.number])
                fact = fits.why if isinstance(fits, Unknown) else ""
            missing.append(fact)
        return tuple(missing)

    def _bits_expired(self) -> int:
        return sum(1 << number for number, line in enumerate(self.lines) if self.is_expired(line))


def known_components(catalogue: Catalogue) -> dict[str, str]:
    """Every component that an endpoint can be, with its kind; empty for what has none."""
    return {SERVICE: "", TARGET: ""} | {row.component: row.where for row in catalogue.rows}


def _relation(line: Line, target: Target, source: Source) -> Answer:
    """Whether what a line says of both ends together holds."""
    cluster = source.cluster
    if line.same_cluster is not UNSET:
        if isinstance(cluster, Unknown):
            return cluster
        if cluster and not target.cluster:
            return Unknown("which cluster this target is in, is not known")
        if (cluster == target.cluster != "") is not line.same_cluster:
            return False
    if line.same_namespace is not UNSET:
        is_same = (cluster, source.namespace) == (target.cluster, target.namespace) and source.namespace != ""
        return is_same is line.same_namespace
    return True


def _strictness(expectation: Expectation) -> tuple[int, int]:
    return STRICTNESS.index(expectation.must), SEVERITIES.index(expectation.severity)


def _lapsed(line: Line) -> str:
    waiver = line.waiver
    return f"{line.shown} of {waiver.owner} held until {waiver.expires}" if waiver else line.shown


def _bits(mask: int) -> Iterator[int]:
    """Numbers of the bits that are set, lowest first."""
    while mask:
        lowest = mask & -mask
        yield lowest.bit_length() - 1
        mask ^= lowest


def _day(now: float) -> int:
    """The day (UTC) as `date.toordinal` counts."""
    return EPOCH + int(now // DAY)
