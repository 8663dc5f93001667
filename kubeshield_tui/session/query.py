"""Questions to the store that several front ends ask. Pure reads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from kubeshield_tui.judgement.causes import causes
from kubeshield_tui.model.cause import Cause
from kubeshield_tui.model.cluster import Labels, PodRecord, PolicyRecord
from kubeshield_tui.model.endpoint import Endpoint
from kubeshield_tui.model.event import WatchChanged, WatchStatus
from kubeshield_tui.model.ids import CellKey, EndpointId
from kubeshield_tui.model.vantage import Vantage, VantageKind
from kubeshield_tui.session.store import Store

RATE_SECONDS = 5.0
"""Window of the shown rate."""


class Selected(NamedTuple):
    """A NetworkPolicy that selects one end of a cell."""

    end: str
    """`source` (the vantage's pod) or `target` (a pod behind the endpoint)."""
    pod: str
    """`namespace/name` of the pod."""
    direction: str
    """`Egress` for the source, `Ingress` for the target."""
    policy: PolicyRecord


class Pace(NamedTuple):
    """How fast answers come."""

    per_second: float
    remaining: int
    """Cells not answered yet."""
    seconds_left: float | None
    """None while the rate is not known."""


def selects(policy: PolicyRecord, labels: Labels) -> bool | None:
    """Tell whether a policy's podSelector matches; None for an operator that we don't know.

    Semantics: LabelSelector of the Kubernetes API: all of matchLabels and matchExpressions; NotIn also matches where
    the key is missing.
    """
    have = dict(labels)
    if any(have.get(key) != value for key, value in policy.match_labels):
        return False
    answers = [_expression(have, *expression) for expression in policy.match_expressions]
    if False in answers:
        return False
    return None if None in answers else True


def _expression(have: dict[str, str], key: str, operator: str, values: tuple[str, ...]) -> bool | None:
    match operator:
        case "In":
            return key in have and have[key] in values
        case "NotIn":
            return key not in have or have[key] not in values
        case "Exists":
            return key in have
        case "DoesNotExist":
            return key not in have
    return None


def cluster_of(store: Store, key: CellKey) -> str:
    """The cluster (by context) that a cell is about: its endpoint's, else its vantage's; empty: about none."""
    endpoint, vantage = store.endpoints.get(key.endpoint), store.vantages.get(key.vantage)
    return (endpoint.cluster if endpoint else "") or (vantage.cluster if vantage else "")


def policies_of(store: Store, endpoint: Endpoint, vantage: Vantage) -> tuple[Selected, ...]:
    """NetworkPolicies that select the vantage's pod (egress) or the pods behind the endpoint (ingress)."""
    found = [*_source_policies(store, vantage), *_target_policies(store, endpoint)]
    return tuple(dict.fromkeys(found))


def _source_policies(store: Store, vantage: Vantage) -> Iterator[Selected]:
    if vantage.spec.kind is not VantageKind.POD or vantage.facts is None:
        return
    inventory = store.clusters.get(vantage.spec.cluster) or next(iter(store.clusters.values()), None)
    if inventory is None:
        return
    pod = f"{vantage.spec.namespace}/{vantage.spec.pod or vantage.facts.created.rpartition('/')[2] or 'own pod'}"
    for policy in inventory.policies:
        if policy.namespace == vantage.spec.namespace and "Egress" in policy.directions:
            if selects(policy, vantage.facts.labels) is not False:
                yield Selected("source", pod, "Egress", policy)


def _target_policies(store: Store, endpoint: Endpoint) -> Iterator[Selected]:
    inventory = store.clusters.get(endpoint.cluster)
    if inventory is None:
        return
    for pod in _pods_behind(inventory.pods, endpoint):
        for policy in inventory.policies:
            if policy.namespace == pod.namespace and "Ingress" in policy.directions:
                if selects(policy, pod.labels) is not False:
                    yield Selected("target", f"{pod.namespace}/{pod.name}", "Ingress", policy)


def _pods_behind(pods: Iterable[PodRecord], endpoint: Endpoint) -> Iterator[PodRecord]:
    behind = {(pod.namespace, pod.name) for pod in endpoint.backends}
    for pod in pods:
        if pod.host_network:
            continue
        if (pod.namespace, pod.name) in behind or endpoint.host in pod.addresses:
            yield pod


def pace(store: Store, now: float) -> Pace:
    """Rate over the last seconds and what is left of the first sweep."""
    recent = [at for at in store.answer_times if at > now - RATE_SECONDS]
    rate = len(recent) / RATE_SECONDS
    remaining = max(store.total - store.answered, 0)
    return Pace(rate, remaining, remaining / rate if rate and remaining else None)


GROUPS_FIRST = ("control plane", "nodes", "cloud metadata", "targets")


def grouped(store: Store) -> dict[str, list[Endpoint]]:
    """Endpoints by group, in the order of the grid: what matters most first, then namespaces as they were found."""
    groups: dict[str, list[Endpoint]] = {group: [] for group in GROUPS_FIRST}
    for endpoint in store.endpoints.values():
        groups.setdefault(endpoint.group or "targets", []).append(endpoint)
    return {group: endpoints for group, endpoints in groups.items() if endpoints}


def endpoint_depth(store: Store, endpoint: EndpointId) -> int | None:
    """How many layers hold an endpoint where the fewest do; None where it was measured from nowhere."""
    judged = (store.cell(CellKey(endpoint, vantage)).judgement for vantage in store.vantages)
    return min((each.depth for each in judged if each is not None and each.depth is not None), default=None)


def keys_of_row(store: Store, key: CellKey) -> tuple[CellKey, ...]:
    """All cells of an endpoint."""
    return tuple(CellKey(key.endpoint, vantage) for vantage in store.vantages)


def keys_of_column(store: Store, key: CellKey) -> tuple[CellKey, ...]:
    """All cells of a vantage."""
    return tuple(CellKey(endpoint, key.vantage) for endpoint in store.endpoints)


def causes_of(store: Store) -> tuple[Cause, ...]:
    """Findings of a store by what one change would put right, the worst first."""

    def depth_of(key: CellKey) -> int | None:
        judgement = store.cell(key).judgement
        return judgement.depth if judgement is not None else None

    return causes(
        store.findings.values(), store.endpoints, store.vantages, raised_at=store.raised_at, depth_of=depth_of
    )


def lost_clusters(store: Store) -> dict[str, float]:
    """Clusters of which nothing is followed any more, and since when: their rows stand as they were then."""
    watches: dict[str, list[WatchChanged]] = {}
    for (cluster, _), watch in store.watches.items():
        watches.setdefault(cluster, []).append(watch)
    return {
        cluster: min(watch.at for watch in followed)
        for cluster, followed in watches.items()
        if all(watch.status is WatchStatus.FAILED for watch in followed)
    }
