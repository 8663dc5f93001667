"""Findings of known holes: a version that has one, weighted by who can reach the component now."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from shlex import quote
from typing import NamedTuple

from kubeshield_tui.judgement.cluster_view import LISTED, ClusterView, listed, lower
from kubeshield_tui.judgement.components import (
    API_SERVER,
    CONTROL_PLANE_NAMESPACE,
    INGRESS_NGINX,
    KUBELET,
    ComponentVersion,
)
from kubeshield_tui.judgement.findings import verify_commands
from kubeshield_tui.judgement.holes import Affected, Compared, Hole, Requirement, Weights, compare, extent
from kubeshield_tui.judgement.reach import Reach, reach_of
from kubeshield_tui.judgement.requirements import Met, is_windows, met
from kubeshield_tui.judgement.version import read_version
from kubeshield_tui.model.endpoint import Endpoint
from kubeshield_tui.model.expectation import Severity
from kubeshield_tui.model.finding import Finding
from kubeshield_tui.model.ids import EndpointId, VantageId, finding_id
from kubeshield_tui.model.vantage import Zone

INGRESS_ADMISSION = "ingress-nginx-admission"
UNSURE_STEPS = 2
"""Steps of severity that "indeterminate" costs: a finding to look into, not an alarm."""


class Suspect(NamedTuple):
    """A component whose version has a hole, or may have."""

    version: ComponentVersion
    compared: Compared


def known_holes(holes: Iterable[Hole], versions: Iterable[ComponentVersion], view: ClusterView) -> Iterator[Finding]:
    """Findings of all holes of a cluster; versions that were not told are one finding a component.

    `versions` are what discovery read, or what a server told on the wire: it makes no difference here.
    """
    versions = tuple(versions)
    readable = [each for each in versions if read_version(each.version)]
    reaches: dict[tuple[EndpointId, ...], Reach] = {}
    for hole in holes:
        suspects = _suspects(hole, readable, view)
        needs = [met(requirement, view) for requirement in hole.required]
        if not suspects or any(need.holds is False for need in needs):
            continue
        certain = [each for each in suspects if each.compared.affected is Affected.YES]
        endpoints = _endpoints(hole, certain or suspects, view)
        key = tuple(endpoint.id for endpoint in endpoints)
        if key not in reaches:  # several holes ask for the same endpoints, and there may be thousands
            reaches[key] = reach_of(view, endpoints)
        needs.extend(met(requirement, view) for requirement in hole.raised_by)
        yield _finding(hole, suspects, certain, needs, reaches[key], view)
    yield from _not_told(versions, view)


def _suspects(hole: Hole, versions: Iterable[ComponentVersion], view: ClusterView) -> list[Suspect]:
    found = [Suspect(each, compare(hole, each.version)) for each in versions if each.component == hole.component]
    if Requirement.WINDOWS in hole.required:
        others = {node.name for node in view.inventory.nodes if is_windows(node) is False}
        found = [each for each in found if each.version.node not in others]
    return [each for each in found if each.compared.affected is not Affected.NO]


def _endpoints(hole: Hole, suspects: Iterable[Suspect], view: ClusterView) -> tuple[Endpoint, ...]:
    if INGRESS_ADMISSION in hole.reach:
        return _admission(suspects, view)
    nodes = {each.version.node for each in suspects} if hole.component == KUBELET else None
    return tuple(
        endpoint
        for endpoint in view.endpoints
        if endpoint.component in hole.reach and (nodes is None or endpoint.node in nodes)
    )


def _admission(suspects: Iterable[Suspect], view: ClusterView) -> tuple[Endpoint, ...]:
    """The admission webhook of ingress-nginx: the Service that a webhook of its namespace names, else by its name."""
    namespaces = {each.version.namespace for each in suspects}
    services = {(each.namespace, f"Service/{each.service}") for each in view.inventory.webhooks}
    named = {service for service in services if service[0] in namespaces}
    return tuple(
        endpoint
        for endpoint in view.endpoints
        if endpoint.component == INGRESS_ADMISSION
        or (endpoint.namespace, endpoint.object) in named
        or (not named and endpoint.namespace in namespaces and endpoint.object.endswith("-admission"))
    )


def _finding(
    hole: Hole, suspects: list[Suspect], certain: list[Suspect], needs: list[Met], reach: Reach, view: ClusterView
) -> Finding:
    severity, weight = weighed(hole, reach.zone, certain=bool(certain), needs=needs)
    endpoint, vantage = reach.worst or (None, None)
    because = [*_subjects(suspects), extent(hole), f"needed: {hole.needs}", *(need.sentence for need in needs)]
    if hole.reach:
        because.extend(reach.sentences(" or ".join(hole.reach)))
    because.append(f"severity {severity}: {weight}")
    because.append(f"see {hole.reference}" + (f", and {', '.join(hole.also)}" if hole.also else ""))
    return Finding(
        id=finding_id(hole.id, view.name, hole.component),
        code=hole.id,
        severity=severity,
        title=_title(hole, certain or suspects, bool(certain), reach, view),
        endpoint=endpoint.id if endpoint else EndpointId(""),
        vantage=vantage.id if vantage else VantageId(""),
        cluster=view.name,
        component=hole.component,
        reached_from=reach.ids if hole.reach else (),
        because=tuple(because),
        verify=_verify(hole.component, [each.version for each in suspects], needs, view)
        + (verify_commands(endpoint, vantage) if endpoint and vantage else ()),
        remedy=hole.remedy,
    )


def weighed(hole: Hole, zone: Zone | None, *, certain: bool, needs: Iterable[Met]) -> tuple[Severity, str]:
    """Severity of a hole that a zone reaches (None: nowhere known), and the sentence that says why."""
    severity = _by_zone(hole.severity, zone)
    reasons = []
    if hole.reach:
        reasons.append(f"reached from zone {zone}" if zone else "reached from nowhere, as far as was measured")
    else:
        reasons.append("no cell shows the way to it, so reach does not weigh")
    if lacking := [need.sentence for need in needs if need.holds is False]:
        severity = lower(severity, 1)
        reasons.append(f"one step lower because {' and '.join(lacking)}")
    if not certain:
        severity = lower(severity, UNSURE_STEPS)
        reasons.append("two steps lower because it is not certain that this version has it")
    return severity, "; ".join(reasons)


def _by_zone(weights: Weights, zone: Zone | None) -> Severity:
    match zone:
        case Zone.OUTSIDE:
            return weights.outside or weights.nowhere
        case Zone.POD:
            return weights.pod or weights.nowhere
        case Zone.NODE | Zone.ADMIN:
            return weights.inside or weights.nowhere
    return weights.nowhere


def _title(hole: Hole, named: list[Suspect], certain: bool, reach: Reach, view: ClusterView) -> str:
    versions = ", ".join(sorted({each.version.version for each in named}))
    where = f" on {len(named)} of {len(view.inventory.nodes)} nodes" if hole.component == KUBELET else ""
    verb = "in" if certain else "may be in"
    who = f"; {reach.summary()}" if hole.reach else ""
    return f"{hole.id} {verb} {hole.component} {versions}{where}: {hole.title}{who}"


def _subjects(suspects: Iterable[Suspect]) -> Iterator[str]:
    """One sentence for all that run the same version."""
    groups: dict[tuple[str, str], list[str]] = {}
    for version, compared in suspects:
        groups.setdefault((compared.sentence, version.source), []).append(version.subject)
    for (sentence, source), subjects in groups.items():
        yield f"{listed(subjects)}: {sentence} ({source})"


def _not_told(versions: Iterable[ComponentVersion], view: ClusterView) -> Iterator[Finding]:
    silent: dict[str, list[ComponentVersion]] = {}
    for each in versions:
        # Where the controller manager tells nothing of itself, the API server's silence is said once.
        if read_version(each.version) is None and (each.component in {API_SERVER, KUBELET} or each.pod):
            silent.setdefault(each.component, []).append(each)
    for component, group in silent.items():
        because = [
            f"{each.subject}: " + (f"{each.version!r} is no version" if each.version else "no version was told")
            for each in group
        ]
        yield Finding(
            id=finding_id("version-unknown", view.name, component),
            code="version-unknown",
            severity=Severity.INFO,
            title=f"the version of {component} is not known: its known holes can't be judged",
            cluster=view.name,
            component=component,
            because=(*because[:LISTED], *([f"and {len(because) - LISTED} more"] if len(because) > LISTED else ())),
            verify=_verify(component, group, (), view),
            remedy="Check which version runs there, and whether the account of this audit may read it.",
        )


def _verify(
    component: str, versions: list[ComponentVersion], needs: Iterable[Met], view: ClusterView
) -> tuple[str, ...]:
    context = f"kubectl --context {quote(view.name)}"
    images = "-o 'custom-columns=POD:.metadata.name,IMAGE:.spec.containers[*].image'"
    if component == KUBELET:
        columns = "-o custom-columns=NODE:.metadata.name,KUBELET:.status.nodeInfo.kubeletVersion"
        commands = [f"{context} get nodes {columns}"]
    elif component == INGRESS_NGINX:
        namespaces = sorted({each.namespace for each in versions})
        commands = [f"{context} -n {quote(namespace)} get pods {images}" for namespace in namespaces]
    else:
        commands = [f"{context} get --raw /version"]
        if any(each.pod for each in versions):
            commands.append(f"{context} -n {CONTROL_PLANE_NAMESPACE} get pods {images}")
    return (*commands, *(f"{context} {need.verify}" for need in needs if need.verify))
