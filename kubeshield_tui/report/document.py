"""The JSON report, schema `kubeshield/audit/v1`. Other programs rely on it: fields are added, never changed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Literal

import msgspec

from kubeshield_tui.model.cause import Cause, Reach
from kubeshield_tui.model.cluster import ClusterFacts, Denied, Skipped
from kubeshield_tui.model.endpoint import Endpoint, Protocol
from kubeshield_tui.model.evidence import SelfTest
from kubeshield_tui.model.expectation import DeclaredLine, Must, Severity
from kubeshield_tui.model.ids import CellKey, EndpointId, FindingId, VantageId
from kubeshield_tui.model.observation import Posture, Reason, State
from kubeshield_tui.model.prediction import Predicted
from kubeshield_tui.model.vantage import Vantage, VantageKind, VantageStatus, Zone
from kubeshield_tui.model.verdict import Comparison, Judgement, Verdict
from kubeshield_tui.session.coverage import untested
from kubeshield_tui.session.query import causes_of, endpoint_depth
from kubeshield_tui.session.store import Cell, Store


class ReportVantage(msgspec.Struct, frozen=True):
    """A place that was asked from."""

    id: VantageId
    kind: VantageKind
    zone: Zone
    status: VantageStatus
    detail: str


class ReportEndpoint(msgspec.Struct, frozen=True):
    """Something that was asked for."""

    id: EndpointId
    component: str
    name: str
    host: str
    port: int
    protocol: Protocol
    cluster: str
    namespace: str
    object: str
    depth: int | None
    """The least depth of its measured cells; null where none was measured."""


class ReportProof(msgspec.Struct, frozen=True):
    """Why a negative may be believed."""

    vantage_alive: bool
    vantage_basis: str
    target_alive: bool
    missing: str


class ReportLayer(msgspec.Struct, frozen=True):
    """One layer of defence on the way, and what it would do if it stood alone."""

    layer: str
    verdict: Predicted
    decider: str
    """What decides; why it is not known where it is not."""
    domain: str
    """What it fails together with: layers of one domain count once."""
    enforced: bool | None
    """False: known not to be in force; null: nothing tells."""
    defends: bool
    """False: it refuses only as long as nothing is behind it, and does not count."""
    refs: tuple[str, ...]
    """What bears on its answer: `policy:CLUSTER/KIND/NAMESPACE/NAME`, `host:NAME`, `rule:HOST/...`."""


class ReportCell(msgspec.Struct, frozen=True):
    """One endpoint from one vantage."""

    endpoint: EndpointId
    vantage: VantageId
    state: State
    reason: Reason
    posture: Posture
    latency_ms: float | None
    attempts: int
    expected: Must
    expected_by: str
    """The line that decides: `baseline "..."`, `targets.txt:3`, `expect.toml:12 "..."`."""
    undecided: tuple[str, ...]
    """Lines that might have decided otherwise, each with the fact that is missing."""
    predicted: Predicted
    predicted_because: str
    next_decider: str
    """What would decide if the first layer that denies were not there; empty where none denies."""
    comparison: Comparison
    """Whether rules and answer agree."""
    depth: int | None
    depth_max: int | None
    verdict: Verdict
    layers: tuple[ReportLayer, ...]
    """In the order of the visitor's way."""
    listener: str
    """What is known to listen there; empty where nothing tells."""
    proof: ReportProof
    simulated: bool
    """The training range put this answer in; always false on a real estate."""


class ReportRef(msgspec.Struct, frozen=True):
    """A cell by its two ends."""

    endpoint: EndpointId
    vantage: VantageId


class ReportFinding(msgspec.Struct, frozen=True):
    """Something to act on: all that one change would put right."""

    id: FindingId
    code: str
    severity: Severity
    title: str
    endpoint: EndpointId
    """With `vantage` the worst cell; empty where it is about a cluster or an object."""
    vantage: VantageId
    because: tuple[str, ...]
    verify: tuple[str, ...]
    remedy: str
    cluster: str
    namespace: str
    object: str
    component: str
    reached_from: tuple[VantageId, ...]
    """Of a known hole: every vantage that reaches the component, the worst zone first."""
    cells: tuple[ReportRef, ...]
    """All cells that it is about, the worst first; of a known hole the worst alone."""
    objects: tuple[str, ...]
    """Objects of the API that it is about, `namespace/Kind/name`, where there is no cell."""
    reach: Reach
    since: datetime
    """When this session first saw it."""


class ReportUntested(msgspec.Struct, frozen=True):
    """A cell without an answer from the network."""

    endpoint: EndpointId
    vantage: VantageId
    why: Reason
    detail: str


class Coverage(msgspec.Struct, frozen=True):
    """How much of the grid was measured."""

    tested: int
    untested: tuple[ReportUntested, ...]


class Report(msgspec.Struct, frozen=True):
    """An audit."""

    schema: Literal["kubeshield/audit/v1"]
    title: str
    version: str
    simulated: str
    """What is simulated, in one sentence; empty on a real estate."""
    clusters: tuple[ClusterFacts, ...]
    """What was read, and what each was recognised as."""
    self_tests: tuple[SelfTest, ...]
    """Whether policies are enforced, where that was tried."""
    vantages: tuple[ReportVantage, ...]
    endpoints: tuple[ReportEndpoint, ...]
    cells: tuple[ReportCell, ...]
    findings: tuple[ReportFinding, ...]
    coverage: Coverage
    expectations: tuple[DeclaredLine, ...]
    """Every line of the expectations with what it came to; `notes` say what someone should look at."""
    denied: tuple[Denied, ...]
    """What the cluster did not let us read."""
    skipped: tuple[Skipped, ...]
    """What discovery found and does not ask."""
    incomplete: tuple[str, ...]
    """Contexts, vantages and cells that were asked for and could not be measured."""


def make_report(store: Store) -> Report:
    """Take the report of a store."""
    left_out = tuple(
        ReportUntested(item.key.endpoint, item.key.vantage, item.reason, item.why) for item in untested(store)
    )
    return Report(
        schema="kubeshield/audit/v1",
        title=store.title,
        version=store.version,
        simulated=store.simulated,
        clusters=tuple(inventory.cluster for inventory in store.clusters.values()),
        self_tests=tuple(store.self_tests.values()),
        vantages=tuple(_vantage(vantage) for vantage in store.vantages.values()),
        endpoints=tuple(_endpoint(store, endpoint) for endpoint in store.endpoints.values()),
        cells=tuple(_cells(store)),
        findings=tuple(_finding(cause) for cause in causes_of(store)),
        coverage=Coverage(tested=store.total - len(left_out), untested=left_out),
        expectations=store.expectations,
        denied=tuple(store.denied),
        skipped=tuple(skipped for inventory in store.clusters.values() for skipped in inventory.skipped),
        incomplete=store.incomplete,
    )


def _vantage(vantage: Vantage) -> ReportVantage:
    # That we closed it at the end says nothing: what counts is that it was there.
    was_well = vantage.status is VantageStatus.CLOSED and vantage.facts is not None
    status = VantageStatus.READY if was_well else vantage.status
    return ReportVantage(vantage.id, vantage.spec.kind, vantage.zone, status, vantage.detail)


def _endpoint(store: Store, endpoint: Endpoint) -> ReportEndpoint:
    return ReportEndpoint(
        id=endpoint.id,
        component=endpoint.component,
        name=endpoint.name,
        host=endpoint.host,
        port=endpoint.port,
        protocol=endpoint.protocol,
        cluster=endpoint.cluster,
        namespace=endpoint.namespace,
        object=endpoint.object,
        depth=endpoint_depth(store, endpoint.id),
    )


def _cells(store: Store) -> Iterator[ReportCell]:
    for endpoint in store.endpoints:
        for vantage in store.vantages:
            key = CellKey(endpoint, vantage)
            yield _cell(key, store.cell(key))


def _cell(key: CellKey, cell: Cell) -> ReportCell:
    observation = cell.observation
    judgement = cell.judgement if observation else None
    judgement = judgement or Judgement(endpoint=key.endpoint, vantage=key.vantage, verdict=Verdict.UNTESTED)
    return ReportCell(
        endpoint=key.endpoint,
        vantage=key.vantage,
        state=observation.state if observation else State.UNTESTED,
        reason=observation.reason if observation else cell.untested or Reason.TIME_LIMIT,
        posture=observation.posture if observation else Posture.UNKNOWN,
        latency_ms=observation.latency_ms if observation else None,
        attempts=len(observation.attempts) if observation else 0,
        expected=judgement.expectation.must,
        expected_by=judgement.expectation.source,
        undecided=judgement.expectation.undecided,
        predicted=judgement.prediction.verdict,
        predicted_because=judgement.prediction.because,
        next_decider=judgement.next_decider,
        comparison=judgement.comparison,
        depth=judgement.depth,
        depth_max=judgement.depth_max,
        verdict=judgement.verdict,
        layers=tuple(
            ReportLayer(each.layer, each.verdict, each.decider, each.domain, each.enforced, each.defends, each.refs)
            for each in judgement.layers
        ),
        listener=judgement.listener,
        proof=ReportProof(
            judgement.proof.vantage_alive,
            judgement.proof.vantage_basis,
            judgement.proof.target_alive,
            judgement.proof.missing,
        ),
        simulated=observation.simulated if observation else False,
    )


def _finding(cause: Cause) -> ReportFinding:
    return ReportFinding(
        id=cause.id,
        code=cause.code,
        severity=cause.severity,
        title=cause.title,
        endpoint=cause.endpoint,
        vantage=cause.vantage,
        because=cause.because,
        verify=cause.verify,
        remedy=cause.remedy,
        cluster=cause.cluster,
        namespace=cause.namespace,
        object=cause.object,
        component=cause.component,
        reached_from=cause.reached_from,
        cells=tuple(ReportRef(key.endpoint, key.vantage) for key in cause.cells),
        objects=cause.objects,
        reach=cause.reach,
        since=datetime.fromtimestamp(int(cause.since), UTC),
    )


def report_json(store: Store) -> bytes:
    """The report as indented JSON."""
    return msgspec.json.format(msgspec.json.encode(make_report(store)), indent=2) + b"\n"


def report_schema() -> dict[str, object]:
    """The report's JSON Schema (2020-12), its `properties` at the top level."""
    (reference,), definitions = msgspec.json.schema_components([Report], ref_template="#/$defs/{name}")
    name = str(reference["$ref"]).rpartition("/")[2]
    top = definitions.pop(name)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "kubeshield/audit/v1",
        **top,
        "$defs": definitions,
    }
