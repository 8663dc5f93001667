"""Connections that could be made, one for each kind of pod: what a policy is tried against where nothing was probed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from kubeshield_tui.evidence.netpol.match import in_pod_set
from kubeshield_tui.evidence.netpol.party import Address, End, EndKind, Party, addresses_of
from kubeshield_tui.evidence.netpol.policy import Direction
from kubeshield_tui.evidence.netpol.world import World
from kubeshield_tui.judgement.draft import Draft
from kubeshield_tui.judgement.draft_peers import VOLATILE
from kubeshield_tui.judgement.leaving import Closed, versions_of
from kubeshield_tui.judgement.trial import KnownFlow
from kubeshield_tui.model.cluster import ServiceRecord
from kubeshield_tui.model.ids import CellKey, EndpointId, VantageId
from kubeshield_tui.model.record import Record

KUBELET_PORT = 10250
OUTSIDE = {4: "198.51.100.1", 6: "2001:db8::1"}
"""Addresses of no one (RFC 5737, RFC 3849): they stand for the world outside."""
OUTSIDE_PORT = 443
_NONE = {(0, "TCP"), (0, "UDP"), (0, "SCTP")}
_NO_CELL = CellKey(EndpointId(""), VantageId(""))


class Kind(Record, frozen=True):
    """Pods of a namespace that are alike."""

    end: End
    """One of them."""
    alike: int
    """How many others there are."""

    @property
    def text(self) -> str:
        """`shop/web-1 (and 3 alike)`."""
        return f"{self.end.text} (and {self.alike} alike)" if self.alike else self.end.text


def kinds_of(pods: Iterable[Party]) -> dict[str, Kind]:
    """Pods by kind, under the name of the one that stands for them."""
    grouped: dict[object, list[Party]] = {}
    for pod in pods:
        if not pod.is_finished:
            labels = tuple(sorted((key, value) for key, value in pod.labels.known.items() if key not in VOLATILE))
            grouped.setdefault((pod.namespace, labels, pod.host_network), []).append(pod)
    found = {}
    for alike in grouped.values():
        first = alike[0]
        end = End(kind=EndKind.POD, namespace=first.namespace, name=first.name)
        found[end.text] = Kind(end=end, alike=len(alike) - 1)
    return found


def possible_flows(world: World, draft: Draft, closed: Sequence[Closed] = ()) -> Iterator[KnownFlow]:
    """Connections in the direction of a draft, from or to the pods that it selects. `closed`: what it is to close."""
    subject = draft.policy.subject
    selected = [pod for pod in world.pods_in(draft.namespace) if in_pod_set(subject, pod) is not False]
    if draft.direction is Direction.EGRESS:
        for kind in kinds_of(selected).values():
            yield from _leaving(world, kind.end, closed)
    else:
        everybody = [world.pod(end.namespace, end.name) for end in world.pods]
        sources = [kind.end for kind in kinds_of(pod for pod in everybody if pod).values()]
        sources += [End(kind=EndKind.NODE, name=name) for name in world.nodes]
        sources += [End(kind=EndKind.ADDRESS, name=OUTSIDE[version]) for version in versions_of(world)]
        ports = {pod.text: pod.ports for pod in selected}
        for kind in kinds_of(selected).values():
            for port in ports[kind.end.text]:
                for source in sources:
                    yield _flow(source, kind.end, port.port, port.protocol)


def _leaving(world: World, source: End, closed: Sequence[Closed]) -> Iterator[KnownFlow]:
    places = {item.address for item in closed}
    for item in closed:
        if item.port or not world.holder(item.address):
            destination = End(kind=EndKind.ADDRESS, name=item.address)
            yield _flow(source, destination, item.port or 80, item.protocol, closing=True)
    services = list(_telling(world, places))
    for service in services:
        end = End(kind=EndKind.SERVICE, namespace=service.namespace, name=service.name)
        closing = not places.isdisjoint(service.addresses)
        for port in service.ports:
            yield _flow(source, end, port.port, port.protocol, closing=closing)
    node_ports = {(port.node_port, port.protocol) for service in services for port in service.ports} - _NONE
    for name in _telling_nodes(world, set(addresses_of(tuple(places)))):
        node = End(kind=EndKind.NODE, name=name)
        yield _flow(source, node, KUBELET_PORT)
        yield from (_flow(source, node, port, protocol) for port, protocol in sorted(node_ports))
    for version in versions_of(world):
        yield _flow(source, End(kind=EndKind.ADDRESS, name=OUTSIDE[version]), OUTSIDE_PORT)


def _telling(world: World, places: set[str]) -> Iterator[ServiceRecord]:
    """Services that stand apart: at a closed address, or with something else behind them than pods; of the others one a
    namespace.
    """
    seen: set[str] = set()
    for service in world.services:
        backends = [backend for record in world.slices_of(service) for backend in record.backends]
        is_apart = not places.isdisjoint((*service.addresses, *(backend.address for backend in backends)))
        if is_apart or not all(backend.pod for backend in backends) or service.namespace not in seen:
            seen.add(service.namespace)
            yield service


def _telling_nodes(world: World, closed: set[Address]) -> Iterator[str]:
    """Nodes at a closed address, and one other."""
    others = 0
    for name in world.nodes:
        node = world.node(name)
        is_closed = node is not None and not closed.isdisjoint(node.addresses)
        others += not is_closed
        if is_closed or others == 1:
            yield name


def _flow(source: End, destination: End, port: int, protocol: str = "TCP", *, closing: bool = False) -> KnownFlow:
    return KnownFlow(
        key=_NO_CELL, source=source, destination=destination, port=port, protocol=protocol, closing=closing
    )
