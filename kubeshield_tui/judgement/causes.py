"""Groups findings by what one change would put right: four hundred open cells for want of one policy are one cause.

A finding's cause follows from that finding, its endpoint and its vantage alone, never from what else was found: a cell
that comes or goes changes no other cell's cause, so alerts and comparisons of two runs can rely on the ids.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from kubeshield_tui.discovery.catalogue import METADATA, METADATA_GROUP, SERVICE, TARGET
from kubeshield_tui.discovery.entrances import INGRESS
from kubeshield_tui.discovery.pods import HOST_PORT
from kubeshield_tui.discovery.workloads import ADMISSION, AGGREGATED
from kubeshield_tui.judgement.cause_words import Member, because_of, count_of, is_workload, what_of
from kubeshield_tui.judgement.comparison import DISAGREEMENTS
from kubeshield_tui.judgement.reach import WORST_FIRST
from kubeshield_tui.model.cause import Cause, Reach
from kubeshield_tui.model.endpoint import Endpoint
from kubeshield_tui.model.expectation import SEVERITIES
from kubeshield_tui.model.finding import Finding
from kubeshield_tui.model.ids import CellKey, EndpointId, FindingId, VantageId, finding_id
from kubeshield_tui.model.vantage import Vantage, Zone

EXPOSED = "exposed"
CELL_CODES = frozenset({EXPOSED, "broken", "different-target", *DISAGREEMENTS})
"""Codes of findings that are about one cell; those of known holes name a cell too, but are about a version."""
ONE_REMEDY = frozenset({"external-ips", "cross-namespace-backend"})
"""Codes about objects that one change stops for all: an admission plugin, a right taken away. Other objects are
incidents of their own, each to be looked into."""
NAMELESS = frozenset({SERVICE, TARGET, HOST_PORT, INGRESS, ADMISSION, AGGREGATED})
"""Components that say nothing of what it is."""
OUTSIDE, INSIDE = "outside", "inside"
UNKNOWN_DEPTH = 99

Endpoints = Mapping[EndpointId, Endpoint]
Vantages = Mapping[VantageId, Vantage]


def causes(
    findings: Iterable[Finding],
    endpoints: Endpoints,
    vantages: Vantages,
    *,
    raised_at: Mapping[FindingId, float] | None = None,
    depth_of: Callable[[CellKey], int | None] = lambda _: None,
) -> tuple[Cause, ...]:
    """Group findings, the worst cause first: by severity, by who reaches it and how many, by how little would hold.

    Each finding is in exactly one cause. `raised_at` tells since when each stands, `depth_of` how many layers would
    still hold in a cell, None where that is not known.
    """
    groups: dict[FindingId, list[Member]] = {}
    for finding in findings:
        endpoint, vantage = endpoints.get(finding.endpoint), vantages.get(finding.vantage)
        depth = depth_of(CellKey(finding.endpoint, finding.vantage)) if finding.endpoint else None
        member = Member(finding, endpoint, vantage, UNKNOWN_DEPTH if depth is None else depth)
        groups.setdefault(cause_id(finding, endpoint, vantage), []).append(member)
    ranked = []
    for known, members in groups.items():
        members.sort(key=_rank)
        cause = _cause(known, members, raised_at or {})
        severity, zone, depth, *_ = _rank(members[0])
        ranked.append(((severity, zone, -cause.reach.vantages, depth, known), cause))
    return tuple(cause for _, cause in sorted(ranked, key=lambda each: each[0]))


def cause_id(finding: Finding, endpoint: Endpoint | None, vantage: Vantage | None) -> FindingId:
    """Name the cause of a finding. What is gone from the grid by now is told by the finding itself."""
    if finding.cause:
        key: tuple[str, ...] = (finding.cause,)
    elif finding.code == EXPOSED:
        side = OUTSIDE if vantage is not None and vantage.zone is Zone.OUTSIDE else INSIDE
        key = (_open(finding, endpoint, side), side)
    elif finding.code in CELL_CODES:
        key = (_one(finding),)
    elif finding.code in ONE_REMEDY:
        key = ()
    else:
        return finding.id
    return finding_id(finding.code, *filter(None, (finding.cluster, *key)))


def _open(finding: Finding, endpoint: Endpoint | None, side: str) -> str:
    """What has to be closed.

    A component of the nodes, the control plane or the cloud is closed once for all its addresses, ports and dialects.
    Towards the inside a namespace is closed by its ingress policies; towards the outside each Service by itself.
    """
    if endpoint is not None and endpoint.group == METADATA_GROUP:
        return METADATA
    component = "" if finding.component in NAMELESS else finding.component
    if is_workload(endpoint) if endpoint is not None else finding.namespace:
        if side == INSIDE or component:
            return "/".join(filter(None, (finding.namespace, component)))
        return _one(finding)
    if component:
        return component
    return endpoint.host if endpoint is not None and finding.component == TARGET else _one(finding)


def _one(finding: Finding) -> str:
    """One thing by itself: an object's component with all its ports and addresses, or an address."""
    if not finding.object:
        return finding.endpoint
    component = "" if finding.component in NAMELESS else finding.component
    return "/".join(filter(None, (finding.namespace, finding.object, component)))


def _rank(member: Member) -> tuple[int, int, int, str, str, str]:
    """The worst first: severity, zone, depth; then whatever is always the same."""
    finding, vantage = member.finding, member.vantage
    zone = WORST_FIRST.index(vantage.zone) if vantage is not None else len(WORST_FIRST)
    severity = -SEVERITIES.index(finding.severity)
    return severity, zone, member.depth, finding.endpoint, finding.vantage, finding.id


def _cause(known: FindingId, members: list[Member], raised_at: Mapping[FindingId, float]) -> Cause:
    worst = members[0].finding
    reach, findings = _reach(members), [each.finding for each in members]
    objects = [f"{each.namespace}/{each.object}".strip("/") for each in findings if not each.endpoint]
    times = [raised_at[each.id] for each in findings if each.id in raised_at]
    return Cause(
        id=known,
        code=worst.code,
        severity=worst.severity,
        what=what_of(members),
        count=count_of(members, reach),
        because=because_of(members),
        verify=worst.verify,
        remedy=worst.remedy,
        endpoint=worst.endpoint,
        vantage=worst.vantage,
        cluster=worst.cluster,
        namespace=worst.namespace if len({each.namespace for each in findings}) == 1 else "",
        object=worst.object if len({each.object for each in findings}) == 1 else "",
        component=worst.component,
        reached_from=worst.reached_from,
        cells=tuple(CellKey(each.endpoint, each.vantage) for each in findings if each.endpoint),
        objects=tuple(filter(None, objects)),
        reach=reach,
        since=min(times, default=0.0),
    )


def _reach(members: list[Member]) -> Reach:
    cells = [each for each in members if each.finding.endpoint]
    visitors = {each.vantage.spec.namespace for each in cells if each.vantage is not None}
    owners = {each.finding.namespace for each in members if not each.finding.endpoint}
    return Reach(
        cells=len(cells),
        endpoints=len({each.finding.endpoint for each in cells}),
        vantages=max(len({each.finding.vantage for each in cells}), len(members[0].finding.reached_from)),
        namespaces=len((visitors | owners) - {""}),
    )
