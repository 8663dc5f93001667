"""The state of a session: a fold over its events.

`apply` is the only place where state changes. Screens pull `changes_since(revision)`; nothing is pushed to them, so a
burst of answers costs a screen one look, not one message each. No I/O, no clock of its own.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, assert_never

from kubeshield_tui.judgement.comparison import Code
from kubeshield_tui.model import event as happened
from kubeshield_tui.model.cluster import Denied, Inventory
from kubeshield_tui.model.endpoint import Endpoint
from kubeshield_tui.model.evidence import SelfTest, Source, Witness
from kubeshield_tui.model.expectation import DeclaredLine
from kubeshield_tui.model.finding import Finding
from kubeshield_tui.model.ids import CellKey, EndpointId, FindingId, VantageId
from kubeshield_tui.model.observation import Observation, Reason, State
from kubeshield_tui.model.opinion import Inspection, SecondOpinion
from kubeshield_tui.model.vantage import Vantage, VantageStatus
from kubeshield_tui.model.verdict import Judgement, Verdict
from kubeshield_tui.session.concern import looks_alike, same_target
from kubeshield_tui.session.objects import Objects

HISTORY_LENGTH = 16
"""Changes kept of one cell."""
PASSED_AGAINST_RULES = frozenset({Code.NOT_ENFORCED.value, Code.BYPASSED.value})
RATE_WINDOW = 512
"""Answers over which the rate is measured."""


class Past(NamedTuple):
    """One earlier answer of a cell, kept when state or reason changed."""

    at: float
    state: State
    reason: Reason
    verdict: Verdict | None


@dataclass(slots=True)
class Cell:
    """What is known of one cell. `observation` is the last answer, `asking` says that another is on its way."""

    observation: Observation | None = None
    judgement: Judgement | None = None
    asking: bool = False
    untested: Reason | None = None
    why: str = ""
    changed_at: float = 0.0
    """When state or reason last changed (or were first known)."""
    history: tuple[Past, ...] = ()

    @property
    def verdict(self) -> Verdict | None:
        """The verdict, None while nothing is known."""
        return self.judgement.verdict if self.judgement else None


EMPTY_CELL = Cell()


class Changes(NamedTuple):
    """What changed since a revision."""

    revision: int
    cells: tuple[CellKey, ...]
    structure: bool
    """Endpoints or vantages came or went: rows and columns differ."""
    vantages: bool
    """Health or facts of a vantage changed."""
    findings: bool
    status: bool
    """Phase, clusters, evidence, objects or pause changed."""


@dataclass(slots=True)
class _Stamps:
    structure: int = 0
    vantages: int = 0
    findings: int = 0
    status: int = 0


@dataclass(slots=True)
class Store:
    """Everything known of a session. Read freely; change only through `apply`."""

    revision: int = 0
    title: str = ""
    version: str = ""
    simulated: str = ""
    started_at: float = 0.0
    now: float = 0.0
    """Time of the newest event."""
    phase: str = ""
    paused: bool = False
    ended: bool = False
    incomplete: tuple[str, ...] = ()
    watches: dict[tuple[str, str], happened.WatchChanged] = field(default_factory=dict)
    """How closely each kind of a cluster is followed, by cluster and kind."""
    failed_clusters: dict[str, happened.ClusterFailed] = field(default_factory=dict)
    denied: list[Denied] = field(default_factory=list)
    endpoints: dict[EndpointId, Endpoint] = field(default_factory=dict)
    found_at: dict[EndpointId, float] = field(default_factory=dict)
    """When each row came, or became another target."""
    vantages: dict[VantageId, Vantage] = field(default_factory=dict)
    cells: dict[CellKey, Cell] = field(default_factory=dict)
    findings: dict[FindingId, Finding] = field(default_factory=dict)
    raised_at: dict[FindingId, float] = field(default_factory=dict)
    """When each finding was first raised; what was cleared in between is raised anew."""
    expectations: tuple[DeclaredLine, ...] = ()
    """All lines of the expectations with what each came to."""
    sources: dict[tuple[VantageId, str], Source] = field(default_factory=dict)
    """What was read of hosts, by vantage and item."""
    witnesses: dict[CellKey, Witness] = field(default_factory=dict)
    """The last probe of a cell that was watched on its way."""
    self_tests: dict[str, SelfTest] = field(default_factory=dict)
    """The newest of each cluster."""
    opinions: dict[CellKey, SecondOpinion] = field(default_factory=dict)
    inspections: dict[CellKey, Inspection] = field(default_factory=dict)
    objects: list[tuple[str, str]] = field(default_factory=list)
    """(cluster, object) of ours that exist now."""
    removed: list[tuple[str, str]] = field(default_factory=list)
    left: list[happened.ObjectLeft] = field(default_factory=list)
    applied: dict[tuple[str, str, str], happened.PolicyApplied] = field(default_factory=dict)
    """Policies of ours that are in force, by cluster, namespace and name."""
    verdicts: Counter[Verdict] = field(default_factory=Counter)
    one_failure_away: int = 0
    """Proven blocks that a single failure would open."""
    not_enforced: int = 0
    """Cells that got through where a policy or a firewall says that they must not."""
    answered: int = 0
    """Cells that have an answer, or a reason for having none."""
    answers: int = 0
    """Answers ever received."""
    answer_times: deque[float] = field(default_factory=lambda: deque(maxlen=RATE_WINDOW))
    _objects: dict[str, Objects] = field(default_factory=dict)
    _changed: dict[CellKey, int] = field(default_factory=dict)
    _stamps: _Stamps = field(default_factory=_Stamps)

    def cell(self, key: CellKey) -> Cell:
        """Return a cell; an empty one where nothing is known yet."""
        return self.cells.get(key, EMPTY_CELL)

    @property
    def clusters(self) -> dict[str, Inventory]:
        """What is known of each cluster, by context."""
        return {name: objects.inventory for name, objects in self._objects.items()}

    @property
    def total(self) -> int:
        """Cells of the grid."""
        return len(self.endpoints) * len(self.vantages)

    def changes_since(self, revision: int) -> Changes:
        """Tell what changed after `revision` (0: everything)."""
        cells = []
        for key in reversed(self._changed):
            if self._changed[key] <= revision:
                break
            cells.append(key)
        stamps = self._stamps
        return Changes(
            self.revision,
            tuple(cells),
            stamps.structure > revision,
            stamps.vantages > revision,
            stamps.findings > revision,
            stamps.status > revision,
        )

    def apply(self, event: happened.Event) -> None:
        """Fold one event into the state."""
        self.revision += 1
        self.now = max(self.now, event.at)
        match event:
            case happened.CellObserved():
                self._observed(event.observation)
            case happened.CellJudged():
                self._judged(event.judgement)
            case happened.CellAsked():
                self._touch(event.key).asking = True
            case happened.CellUntested():
                self._untested(event)
            case (
                happened.EndpointFound() | happened.EndpointGone() | happened.VantageAdded() | happened.VantageChanged()
            ):
                self._apply_structure(event)
            case happened.FindingRaised():
                self.findings[event.finding.id] = event.finding
                self.raised_at.setdefault(event.finding.id, event.at)
                self._stamps.findings = self.revision
            case happened.FindingCleared():
                self.findings.pop(event.finding, None)
                self.raised_at.pop(event.finding, None)
                self._stamps.findings = self.revision
            case _:
                self._apply_status(event)
                self._stamps.status = self.revision

    def _touch(self, key: CellKey) -> Cell:
        cell = self.cells.get(key)
        if cell is None:
            cell = self.cells[key] = Cell()
        # Taken out and put back at the end: the newest changes stand last.
        self._changed.pop(key, None)
        self._changed[key] = self.revision
        return cell

    def _observed(self, observation: Observation) -> None:
        cell = self._touch(observation.key)
        before = cell.observation
        if before is None and cell.untested is None:
            self.answered += 1
        if before is None or (before.state, before.reason) != (observation.state, observation.reason):
            cell.history = _past(cell)
            cell.changed_at = observation.at
        cell.observation = observation
        cell.asking = False
        cell.untested, cell.why = None, ""
        self.answers += 1
        self.answer_times.append(observation.at)

    def _judged(self, judgement: Judgement) -> None:
        cell = self._touch(judgement.key)
        self._count(cell.judgement, -1)
        cell.judgement = judgement
        self._count(judgement, 1)

    def _untested(self, event: happened.CellUntested) -> None:
        cell = self._touch(event.key)
        if cell.untested is None and cell.observation is None:
            self.answered += 1
        cell.asking = False
        cell.observation = None
        cell.untested, cell.why = event.reason, event.why

    def _count(self, judgement: Judgement | None, by: int) -> None:
        if judgement is not None:
            self.verdicts[judgement.verdict] += by
            self.not_enforced += by * (judgement.comparison.code in PASSED_AGAINST_RULES)
            if judgement.verdict is Verdict.BLOCKED and judgement.depth == 1:
                self.one_failure_away += by

    def _apply_structure(
        self,
        event: happened.EndpointFound | happened.EndpointGone | happened.VantageAdded | happened.VantageChanged,
    ) -> None:
        match event:
            case happened.EndpointFound():
                self._found(event)
            case happened.EndpointGone():
                self._forget(event.endpoint)
            case happened.VantageAdded():
                self.vantages[event.vantage.id] = event.vantage
                self._stamps.structure = self.revision
            case happened.VantageChanged():
                self._vantage_changed(event)
                self._stamps.vantages = self.revision
            case _:
                assert_never(event)

    def _found(self, event: happened.EndpointFound) -> None:
        endpoint = event.endpoint
        before = self.endpoints.get(endpoint.id)
        self.endpoints[endpoint.id] = endpoint
        if before is None or not same_target(before, endpoint):
            self.found_at[endpoint.id] = event.at
        if before is None or not looks_alike(before, endpoint):
            self._stamps.structure = self.revision
        else:
            self._stamps.status = self.revision
        if before is not None and not same_target(before, endpoint):
            for key, cell in self._cells_of(endpoint.id):
                self.cells[key] = Cell(history=_past(cell), changed_at=cell.changed_at)
                self._touch(key)

    def _forget(self, endpoint: EndpointId) -> None:
        if self.endpoints.pop(endpoint, None) is None:
            return
        del self.found_at[endpoint]
        for key, _ in self._cells_of(endpoint):
            del self.cells[key]
            self._changed.pop(key, None)
            self.opinions.pop(key, None)
            self.inspections.pop(key, None)
        self._stamps.structure = self.revision

    def _cells_of(self, endpoint: EndpointId) -> Iterator[tuple[CellKey, Cell]]:
        """Cells that are about to lose what was known, taken out of the counts."""
        for vantage in self.vantages:
            key = CellKey(endpoint, vantage)
            if (cell := self.cells.get(key)) is not None:
                self._count(cell.judgement, -1)
                self.answered -= cell.observation is not None or cell.untested is not None
                yield key, cell

    def _vantage_changed(self, event: happened.VantageChanged) -> None:
        known = self.vantages.get(event.vantage)
        if known is None:
            return
        self.vantages[event.vantage] = Vantage(
            id=known.id,
            spec=known.spec,
            zone=known.zone,
            cluster=known.cluster,
            status=event.status,
            detail=event.detail or (known.detail if event.status is VantageStatus.CLOSED else ""),
            facts=event.facts or known.facts,
        )
        if event.status in {VantageStatus.LOST, VantageStatus.FAILED, VantageStatus.CLOSED}:
            for key, cell in self.cells.items():
                if key.vantage == event.vantage and cell.asking:
                    self._touch(key).asking = False

    def _apply_status(self, event: happened.Event) -> None:
        match event:
            case happened.SessionStarted():
                self.title, self.version, self.simulated = event.title, event.version, event.simulated
                self.started_at = event.at
            case happened.ClusterRead():
                objects = Objects(event.inventory.cluster)
                objects.change(event.inventory)
                self._objects[event.inventory.cluster.id] = objects
            case happened.ClusterChanged():
                self._objects[event.inventory.cluster.id].change(event.inventory, event.gone)
            case happened.WatchChanged():
                self.watches[event.cluster, event.what] = event
            case happened.ClusterFailed():
                self.failed_clusters[event.context] = event
            case happened.ReadDenied():
                self.denied.append(event.denied)
            case happened.ExpectationsReviewed():
                self.expectations = event.lines
            case happened.SourceCollected():
                self.sources[event.source.vantage, event.source.item] = event.source
            case happened.Witnessed():
                self.witnesses[event.witness.key] = event.witness
            case happened.SelfTested():
                self.self_tests[event.test.cluster] = event.test
            case happened.OpinionHeard():
                self.opinions[event.opinion.key] = event.opinion
            case happened.Inspected():
                self.inspections[event.inspection.key] = event.inspection
            case happened.ObjectCreated():
                self.objects.append((event.cluster, event.object))
            case happened.ObjectRemoved():
                self._discard(event.cluster, event.object)
                self.removed.append((event.cluster, event.object))
            case happened.ObjectLeft():
                self._discard(event.cluster, event.object)
                self.left.append(event)
            case happened.PolicyApplied():
                self.applied[event.key] = event
            case happened.PolicyTakenBack():
                self.applied.pop(event.key, None)
            case happened.Progress():
                self.phase = event.phase
            case happened.Paused():
                self.paused = event.paused
            case happened.SessionEnded():
                self.ended, self.incomplete = True, event.incomplete
            case _:
                raise TypeError(f"an event that nothing folds: {type(event).__name__}")

    def _discard(self, cluster: str, object_: str) -> None:
        if (cluster, object_) in self.objects:
            self.objects.remove((cluster, object_))


def _past(cell: Cell) -> tuple[Past, ...]:
    """A cell's history with its last answer."""
    last = cell.observation
    if last is None:
        return cell.history
    return (*cell.history, Past(last.at, last.state, last.reason, cell.verdict))[-HISTORY_LENGTH:]
