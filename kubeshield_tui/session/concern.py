"""Which cells a change in a cluster concerns: those are asked again, and no others. Pure.

Heartbeats, annotations and all that has no bearing on who reaches whom concern nobody. For a NetworkPolicy it is the
whole namespace, both ways.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from msgspec.structs import replace

from kubeshield_tui.model.cluster import (
    BackendRecord,
    IngressRecord,
    NamespaceRecord,
    NodeRecord,
    PodRecord,
    PolicyRecord,
    ServiceRecord,
)
from kubeshield_tui.model.endpoint import Endpoint
from kubeshield_tui.model.ids import EndpointId, VantageId
from kubeshield_tui.model.record import Record
from kubeshield_tui.model.vantage import Vantage, VantageKind

API_SERVICE = ("default", "Service/kubernetes")
"""The API server's own Service: what stands behind it are hosts, which no policy selects."""


class Change(NamedTuple):
    """An object before and after: None where it was not there, or is gone."""

    before: Record | None
    after: Record | None


class Concerned(NamedTuple):
    """Rows and columns to ask again."""

    endpoints: frozenset[EndpointId]
    vantages: frozenset[VantageId]


def same_target(one: Endpoint, other: Endpoint) -> bool:
    """Whether an answer of one is an answer of the other too."""
    return (one.host, one.port, one.protocol, one.scope, one.node) == (
        (other.host, other.port, other.protocol, other.scope, other.node)
    )


def asks_alike(one: Endpoint, other: Endpoint) -> bool:
    """Whether nothing differs that an answer may follow from. The order of backends means nothing."""
    behind = set(one.backends) == set(other.backends) and one.backend_port == other.backend_port
    return behind and same_target(one, other) and one.conversation == other.conversation


def looks_alike(one: Endpoint, other: Endpoint) -> bool:
    """Whether both are the same row on a screen."""
    return (one.name, one.host, one.port, one.protocol, one.group, one.component, one.namespace) == (
        (other.name, other.host, other.port, other.protocol, other.group, other.component, other.namespace)
    )


class Concerns:
    """Endpoints of one cluster by what they depend on: a change costs what it concerns, not the size of the estate."""

    def __init__(self, cluster: str) -> None:
        self._cluster = cluster
        self._endpoints: dict[EndpointId, Endpoint] = {}
        self._by: dict[tuple[str, ...], set[EndpointId]] = defaultdict(set)

    def put(self, endpoint: Endpoint) -> None:
        """Know an endpoint as it is now."""
        self.drop(endpoint.id)
        self._endpoints[endpoint.id] = endpoint
        for dependence in _dependences(endpoint):
            self._by[dependence].add(endpoint.id)

    def drop(self, endpoint: EndpointId) -> None:
        """Know an endpoint no more."""
        known = self._endpoints.pop(endpoint, None)
        for dependence in _dependences(known) if known else ():
            held = self._by[dependence]
            held.discard(endpoint)
            if not held:
                del self._by[dependence]

    def of(self, changes: Iterable[Change], vantages: Mapping[VantageId, Vantage]) -> Concerned:
        """Tell which rows and columns these changes concern."""
        endpoints: set[EndpointId] = set()
        columns: set[VantageId] = set()
        for change in changes:
            if change.before is not None and change.after is not None:
                if _essence(change.before) == _essence(change.after):
                    continue
            for dependence in _touched(change):
                endpoints |= self._by.get(dependence, set())
            columns.update(
                vantage.id
                for vantage in vantages.values()
                if vantage.cluster == self._cluster and _stands_in(vantage, change)
            )
        return Concerned(frozenset(endpoints), frozenset(columns))


def _dependences(endpoint: Endpoint) -> Iterator[tuple[str, ...]]:
    """Everything whose change may change an answer of this endpoint."""
    yield "object", endpoint.namespace, endpoint.object
    yield "address", endpoint.host
    if endpoint.node:
        yield "node", endpoint.node
    for pod in endpoint.backends:
        yield "pod", pod.namespace, pod.name
    # Where backends may not be read, a Service's own namespace is where they are.
    behind = {pod.namespace for pod in endpoint.backends} or {endpoint.namespace}
    if (endpoint.namespace, endpoint.object) != API_SERVICE:
        for namespace in behind:
            yield "namespace", namespace


def _touched(change: Change) -> Iterator[tuple[str, ...]]:
    """What depends on an object, in the words of `_dependences`."""
    for record in (change.before, change.after):
        match record:
            case ServiceRecord():
                yield "object", record.namespace, f"Service/{record.name}"
            case IngressRecord():
                yield "object", record.namespace, f"Ingress/{record.name}"
            case BackendRecord():
                for kind in ("Service", "Endpoints", "EndpointSlice"):
                    yield "object", record.namespace, f"{kind}/{record.service}"
            case PodRecord():
                yield "pod", record.namespace, record.name
                yield "object", record.namespace, f"Pod/{record.name}"
                if not record.host_network:
                    yield from (("address", address) for address in record.addresses)
            case NodeRecord():
                yield "node", record.name
                yield "object", "", f"Node/{record.name}"
            case PolicyRecord():
                yield "namespace", record.namespace
            case NamespaceRecord() if change.before is not None and change.after is not None:
                yield "namespace", record.name


def _stands_in(vantage: Vantage, change: Change) -> bool:
    """Whether what a vantage sends may meet another fate after a change."""
    if vantage.spec.kind is not VantageKind.POD:
        return False
    match change.before or change.after:
        case PolicyRecord(namespace=namespace):
            return vantage.spec.namespace == namespace
        case NamespaceRecord(name=name):
            return change.before is not None and change.after is not None and vantage.spec.namespace == name
        case PodRecord(namespace=namespace, name=name, addresses=addresses):
            # Before it had an address nobody asked from it; one that is gone is asked no more.
            ran = change.before is not None and change.after is not None and bool(addresses)
            return ran and (namespace, name) == (vantage.spec.namespace, _pod_of(vantage))
    return False


def _pod_of(vantage: Vantage) -> str:
    created = vantage.facts.created if vantage.facts else ""
    return vantage.spec.pod or created.rpartition("/")[2]


def _essence(record: Record) -> object:
    """A record without what has no bearing on who reaches whom."""
    match record:
        case PodRecord():
            return replace(record, images=(), service_account="", owner=None)
        case ServiceRecord():
            return replace(record, labels=())
        case NodeRecord():
            return record.addresses, record.kubelet_port
        case BackendRecord():
            return record.service, record.ports, {backend for backend in record.backends if backend.ready}
    return record
