"""From a question to the connections that policies see: Services resolved to backends, sources that may be replaced.

Policies speak of pod addresses and pod ports, that is of what is left after a Service was translated.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from kubeshield_tui.evidence.netpol.match import selects
from kubeshield_tui.evidence.netpol.party import End, EndKind, Party, PartyKind, Question, Traffic, same_node, same_pod
from kubeshield_tui.evidence.netpol.policy import Operator, Requirement, Selector
from kubeshield_tui.evidence.netpol.tri import Assumption, Reason
from kubeshield_tui.evidence.netpol.world import World
from kubeshield_tui.model.cluster import Backend, BackendPort, ServicePort, ServiceRecord

REWRITTEN = "a node's address, in place of the source's"


class Flow(NamedTuple):
    """A connection as it is where policies are applied."""

    source: Party
    destination: Party
    traffic: Traffic


class Path(NamedTuple):
    """One way that the connection may take: what the source's policies see of it, and what the destination's do."""

    egress: Flow
    ingress: Flow
    is_hairpin: bool = False
    """A pod may meet itself through a Service."""


class Resolved(NamedTuple):
    """All ways that a connection may take."""

    paths: tuple[Path, ...] = ()
    """Empty: `notes` say why there is none."""
    notes: tuple[Reason, ...] = ()


class _Entry(NamedTuple):
    """Where a connection to a Service arrives."""

    service: ServiceRecord
    port: ServicePort
    address: Party
    """What the source connects to, before translation."""
    traffic: Traffic
    is_external: bool
    """By way of a node or a balancer, which may replace the source's address."""


def resolve(world: World, question: Question) -> Resolved:
    """All ways that a connection may take. Never raises: what is not here gives no path, and a reason."""
    source = _party(world, _held_by(world, question.source))
    if isinstance(source, Reason):
        return Resolved(notes=(source,))
    destination = _held_by(world, question.destination)
    traffic = Traffic(question.protocol, question.port)
    if destination.kind is EndKind.SERVICE:
        return _to_service(world, source, destination, question, traffic)
    target = _party(world, destination)
    if isinstance(target, Reason):
        return Resolved(notes=(target,))
    if target.kind is PartyKind.NODE:
        return _to_node(world, source, target, question, traffic)
    return Resolved(paths=tuple(_paths(source, target, traffic)))


def _held_by(world: World, end: End) -> End:
    """What holds an address, the end itself where it is no address or is outside."""
    return (world.holder(end.name) or end) if end.kind is EndKind.ADDRESS else end


def _party(world: World, end: End) -> Party | Reason:
    found: Party | None = None
    match end.kind:
        case EndKind.POD:
            found = world.pod(end.namespace, end.name)
        case EndKind.NODE:
            found = world.node(end.name)
        case EndKind.ADDRESS:
            return world.outside(end.name)
        case EndKind.SERVICE:
            return _not_there(f"{end.text} is a Service, and no source")
    if found is None:
        return _not_there(f"{end.text} is not among what was read")
    if found.is_finished:
        return _not_there(f"pod {found.text} has finished, its address may be another's")
    return found


def _not_there(about: str) -> Reason:
    return Reason(assumption=Assumption.NOT_THERE, about=about)


def _paths(source: Party, destination: Party, traffic: Traffic) -> Iterator[Path]:
    """The plain connection, once for each address family that both ends have."""
    for one, other in _by_family(source, destination):
        flow = Flow(one, other, traffic)
        yield Path(flow, flow)


def _by_family(source: Party, destination: Party) -> Iterator[tuple[Party, Party]]:
    common = source.versions & destination.versions
    if not common or len(source.versions | destination.versions) == 1:
        yield source, destination
        return
    for family in sorted(common):
        yield source.narrowed(family), destination.narrowed(family)


def _to_service(world: World, source: Party, end: End, question: Question, traffic: Traffic) -> Resolved:
    service = world.service(end.namespace, end.name)
    if service is None:
        return Resolved(notes=(_not_there(f"{end.text} is not among what was read"),))
    what = f"Service {service.namespace}/{service.name}"
    if service.type == "ExternalName":
        return Resolved(notes=(_not_there(f"{what} is a name for {service.external_name or 'another name'}"),))
    port = next(
        (port for port in service.ports if (port.port, port.protocol) == (traffic.port, traffic.protocol)), None
    )
    if port is None and not service.headless:
        listed = ", ".join(f"{port.port}/{port.protocol}" for port in service.ports) or "none"
        return Resolved(
            notes=(_not_there(f"{what} has no port {traffic.port}/{traffic.protocol}, there are: {listed}"),)
        )
    asked = question.destination.name if question.destination.kind is EndKind.ADDRESS else ""
    is_outside = source.kind is PartyKind.OUTSIDE and not service.headless
    is_external = asked not in service.addresses if asked else is_outside
    address = world.outside(asked or next(iter(service.addresses), ""))
    entry = _Entry(service, port or ServicePort(port=traffic.port), address, traffic, is_external)
    return _through(world, source, entry, what)


def _to_node(world: World, source: Party, node: Party, question: Question, traffic: Traffic) -> Resolved:
    """A node's own port, a node port of a Service, a host port of a pod, or a hostNetwork pod's port."""
    found = world.node_port(traffic.port, traffic.protocol)
    if found is not None:
        service, port = found
        what = f"Service {service.namespace}/{service.name} by its node port {port.node_port}"
        return _through(world, source, _Entry(service, port, node, traffic, is_external=True), what)
    for pod in world.pods_on(node.node):
        for declared in pod.ports:
            if declared.protocol != traffic.protocol:
                continue
            if pod.host_network and declared.port == traffic.port:
                return Resolved(paths=tuple(_paths(source, pod, traffic)))
            if declared.host_port == traffic.port and not pod.host_network:
                behind = Traffic(traffic.protocol, declared.port)
                note = Reason(assumption=Assumption.SOURCE_REWRITTEN, about=f"host port {traffic.port} of {node.text}")
                return Resolved(
                    paths=tuple(_external_paths(world, source, node, traffic, pod, behind, True)), notes=(note,)
                )
    return Resolved(paths=tuple(_paths(source, node, traffic)))


def _through(world: World, source: Party, entry: _Entry, what: str) -> Resolved:
    backends = list(_backends(world, entry))
    kept = [(party, port) for party, port in backends if not _is_elsewhere(source, party, entry)]
    if not kept:
        why = "no ready backend on this node" if backends else "no ready backend that was read"
        return Resolved(notes=(_not_there(f"{what} has {why}"),))
    notes = []
    paths: list[Path] = []
    for party, port in kept:
        behind = Traffic(entry.traffic.protocol, port)
        if entry.is_external:
            keeps = entry.service.external_traffic_policy == "Local"
            paths += _external_paths(world, source, entry.address, entry.traffic, party, behind, keeps)
        else:
            paths += _cluster_paths(source, entry, party, behind)
    if entry.is_external and any(path.ingress.source.text == REWRITTEN for path in paths):
        notes.append(Reason(assumption=Assumption.SOURCE_REWRITTEN, about=what))
    return Resolved(tuple(paths), tuple(notes))


def _is_elsewhere(source: Party, backend: Party, entry: _Entry) -> bool:
    """Whether a traffic policy of the Service surely keeps this source from this backend."""
    if entry.is_external:
        is_local = entry.service.external_traffic_policy == "Local" and source.kind is PartyKind.OUTSIDE
        return is_local and entry.address.kind is PartyKind.NODE and same_node(entry.address, backend) is False
    is_local = entry.service.internal_traffic_policy == "Local" and source.kind is not PartyKind.OUTSIDE
    return is_local and same_node(source, backend) is False


def _cluster_paths(source: Party, entry: _Entry, backend: Party, behind: Traffic) -> Iterator[Path]:
    """By the Service's own address: the source stays what it is."""
    is_hairpin = same_pod(source, backend) is not False
    for one, other in _by_family(source, backend):
        flow = Flow(one, other, behind)
        yield Path(flow, flow, is_hairpin)
        if backend.kind is PartyKind.OUTSIDE and source.kind is PartyKind.POD:
            # Whether a range is compared with the Service's address or with the backend's is not specified.
            yield Path(Flow(one, entry.address, entry.traffic), flow, is_hairpin)


def _external_paths(
    world: World,
    source: Party,
    address: Party,
    traffic: Traffic,
    backend: Party,
    behind: Traffic,
    keeps_source: bool,
) -> Iterator[Path]:
    """By way of a node or a balancer: either end's policies may see the connection before or after translation."""
    is_hairpin = same_pod(source, backend) is not False
    rewritten = world.some_node(REWRITTEN)
    # A pod's connection to such an address may be cut short on its own node, whatever the traffic policy says.
    sources = [source] if keeps_source and source.kind is not PartyKind.POD else [source, rewritten]
    for one, other in _by_family(source, backend):
        leaving = [Flow(one, other, behind)]
        if source.kind is PartyKind.POD:
            leaving.append(Flow(one, address, traffic))
        for egress in leaving:
            for seen in sources:
                yield Path(egress, Flow(one if seen is source else seen, other, behind), is_hairpin)


def _backends(world: World, entry: _Entry) -> Iterator[tuple[Party, int]]:
    """What is behind a port of a Service, with the port there."""
    service, port = entry.service, entry.port
    slices = world.slices_of(service)
    if slices:
        for record in slices:
            for number in _numbers(record.ports, port, service.headless):
                for backend in record.backends:
                    if backend.ready or service.publish_not_ready:
                        yield from _backend(world, backend, number)
    elif service.selector:
        for party in _selected(world, service):
            number = port.port if service.headless else _target(port, party)
            if number:
                yield party, number


def _numbers(ports: Iterable[BackendPort], port: ServicePort, is_headless: bool) -> list[int]:
    if is_headless:
        return [port.port]  # names lead straight to pods: nothing is translated
    return [found.port for found in ports if found.name == port.name and found.protocol == port.protocol]


def _backend(world: World, backend: Backend, port: int) -> Iterator[tuple[Party, int]]:
    pod = world.pod(backend.namespace, backend.pod) if backend.pod else None
    if pod is None:
        holder = world.holder(backend.address)
        found = _party(world, holder) if holder and holder.kind is not EndKind.SERVICE else None
        pod = found if isinstance(found, Party) else world.outside(backend.address)
    if not pod.is_finished:
        yield pod, port


def _selected(world: World, service: ServiceRecord) -> Iterator[Party]:
    selector = Selector(
        requirements=tuple(
            Requirement(key=key, operator=Operator.IN, values=(value,)) for key, value in service.selector
        )
    )
    for party in world.pods_in(service.namespace):
        if not party.is_finished and not party.broken and selects(selector, party.labels) is not False:
            yield party


def _target(port: ServicePort, party: Party) -> int:
    """The port of a pod that a Service's port leads to; 0 where the pod has none of that name."""
    if not port.target:
        return port.port
    if port.target.isdecimal():
        return int(port.target)
    named = (found.port for found in party.ports if found.name == port.target and found.protocol == port.protocol)
    return next(named, 0)
