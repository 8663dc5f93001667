"""The parts of an egress policy that closes some addresses and keeps all else: names, blocks, pods, ports kept.

An egress policy isolates: whatever it does not admit is denied. A block with exceptions does not deny either: whether
it covers pods and nodes at all is the network plugin's choice, so pods of the cluster are admitted by selectors.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import ip_address

from kubeshield_tui.evidence.netpol.party import Address, Party, PartyKind, addresses_of
from kubeshield_tui.evidence.netpol.services import resolve
from kubeshield_tui.evidence.netpol.world import World
from kubeshield_tui.judgement.admitting import host_range
from kubeshield_tui.judgement.draft import Part, Raw
from kubeshield_tui.judgement.draft_peers import EVERY_NAMESPACE, TELLING, namespace_selector
from kubeshield_tui.judgement.trial import KnownFlow
from kubeshield_tui.model.cluster import ServiceRecord
from kubeshield_tui.model.record import Record

DNS_PORT = 53
DNS_LABEL = ("k8s-app", "kube-dns")
DNS_NAMES = frozenset({"kube-dns", "coredns", "dns-default", "rke2-coredns-rke2-coredns"})
EVERYWHERE = {4: "0.0.0.0/0", 6: "::/0"}
API_LABEL = ("component", "kube-apiserver")
"""On the API server's own pods, where it runs in pods."""

KeptPorts = dict[str, set[tuple[str, int]]]
"""By address: protocol and port of what stays open there."""


class Closed(Record, frozen=True):
    """An address that is to be closed."""

    address: str
    says: str
    """What stands there."""
    port: int = 0
    """0: the whole address. Else what else is known to listen there stays open."""
    protocol: str = "TCP"


def cluster_dns(world: World) -> ServiceRecord | None:
    """The Service that names are asked of."""
    for service in sorted(world.services, key=lambda service: (service.namespace != "kube-system", service.name)):
        is_named = service.name in DNS_NAMES or DNS_LABEL in (*service.labels, *service.selector)
        if is_named and any(port.port == DNS_PORT for port in service.ports):
            return service
    return None


def dns_part(world: World) -> Part:
    """Names are still found: the cluster's DNS, by the ports before and after translation."""
    service = cluster_dns(world)
    peer: Raw = EVERY_NAMESPACE
    selector, ports = dict((DNS_LABEL,)), {("UDP", DNS_PORT), ("TCP", DNS_PORT)}
    if service is not None:
        selector = dict(service.selector) or selector
        peer = {"namespaceSelector": namespace_selector(world, service.namespace) or {}}
        ports.update(_behind(world, service))
    return Part(
        says="Names: the cluster's DNS.",
        peers=({**peer, "podSelector": {"matchLabels": selector}},),
        ports=tuple(port_item(protocol, number) for protocol, number in sorted(ports, key=_order)),
    )


def _behind(world: World, service: ServiceRecord) -> Iterator[tuple[str, int]]:
    """Ports of the pods behind a DNS Service: they differ from 53 where its pods run without rights."""
    names = {port.name for port in service.ports if port.port == DNS_PORT}
    for record in world.slices_of(service):
        yield from ((port.protocol, port.port) for port in record.ports if port.name in names)
    for port in service.ports:
        if port.port == DNS_PORT and port.target.isdecimal():
            yield port.protocol, int(port.target)


def port_item(protocol: str, port: int) -> Raw:
    """A port as a rule names it."""
    return {"protocol": protocol, "port": port}


def _order(port: tuple[str, int]) -> tuple[int, str]:
    return port[1], port[0]


def versions_of(world: World) -> tuple[int, ...]:
    """Address families that the cluster is known to use; both where no address is known."""
    parties = [world.pod(end.namespace, end.name) for end in world.pods]
    found = {version for party in parties if party for version in party.versions}
    for service in world.services:
        found |= {version for version, _ in addresses_of(service.addresses)}
    return tuple(sorted(found)) or (4, 6)


def block_parts(world: World, closed: Iterable[Closed]) -> Iterator[Part]:
    """All addresses but the closed ones, a rule for each family."""
    listed = {item.address: item for item in closed}
    for version in versions_of(world):
        ours = sorted((ip_address(address) for address in listed if ip_address(address).version == version), key=int)
        block: Raw = {"cidr": EVERYWHERE[version]}
        if ours:
            block["except"] = [host_range(str(address)) for address in ours]
        yield Part(
            says=f"All IPv{version} addresses" + (" but these." if ours else "."),
            peers=({"ipBlock": block},),
            names=tuple((host_range(str(address)), listed[str(address)].says) for address in ours),
        )


def pods_part(world: World, closed: Iterable[Closed]) -> tuple[Part, tuple[str, ...]]:
    """All pods of the cluster but those that stand at a closed address; and what could not be told apart."""
    left_out: dict[str, set[str]] = {}
    notes = []
    for pod in _holders(world, closed):
        labels = pod.labels.known
        key = next((key for key in TELLING if key in labels), next(iter(sorted(labels)), None))
        if key is None:
            notes.append(f"pod {pod.text} stands at a closed address and has no label by which it could be left out")
        else:
            left_out.setdefault(key, set()).add(labels[key])
    says = "All pods of the cluster: whether a range covers them is the network plugin's choice."
    if not left_out:
        return Part(says=says, peers=(EVERY_NAMESPACE,)), tuple(notes)
    names = ", ".join(f"{key}={value}" for key, values in sorted(left_out.items()) for value in sorted(values))
    expressions = [
        {"key": key, "operator": "NotIn", "values": sorted(values)} for key, values in sorted(left_out.items())
    ]
    peer = {**EVERY_NAMESPACE, "podSelector": {"matchExpressions": expressions}}
    return Part(says=f"{says} Those at a closed address ({names}) are left out.", peers=(peer,)), tuple(notes)


def _holders(world: World, closed: Iterable[Closed]) -> Iterator[Party]:
    """Pods that stand at a closed address, those on a node's network too."""
    listed = list(closed)
    values = set(addresses_of(tuple(item.address for item in listed)))
    ports = {item.port for item in listed if item.port}
    for end in world.pods:
        pod = world.pod(end.namespace, end.name)
        if pod is None or pod.is_finished or values.isdisjoint(pod.addresses):
            continue
        declares = any(port.port in ports for port in pod.ports)
        if not pod.host_network or declares or API_LABEL in pod.labels.known.items():
            yield pod


def kept_ports(world: World, namespace: str, closed: Iterable[Closed], flows: Iterable[KnownFlow]) -> KeptPorts:
    """What else is known to listen at an address of which one port alone is to be closed, and may stay open."""
    by_port = {addresses_of((item.address,)): item for item in closed if item.port}
    found: KeptPorts = {}
    for name in world.nodes:
        node = world.node(name)
        for value in node.addresses if node else ():
            if item := by_port.get((value,)):
                found.setdefault(item.address, set()).update(_of_node(world, name))
    for flow in flows:
        if flow.is_legitimate and flow.source.namespace == namespace:
            for _, value, place in places_of(world, flow):
                if item := by_port.get((value,)):
                    found.setdefault(item.address, set()).add(place)
    return found


def places_of(world: World, flow: KnownFlow) -> Iterator[tuple[str, Address, tuple[str, int]]]:
    """Where a pod's connection leads, after translation: the pod, an address, protocol and port."""
    for path in resolve(world, flow.question).paths:
        leaving = path.egress
        if leaving.source.kind is PartyKind.POD:
            for value in leaving.destination.addresses:
                yield leaving.source.text, value, (leaving.traffic.protocol, leaving.traffic.port)


def _of_node(world: World, node: str) -> Iterator[tuple[str, int]]:
    """Ports of a node that lead to Services and pods."""
    for service in world.services:
        yield from ((port.protocol, port.node_port) for port in service.ports if port.node_port)
    for pod in world.pods_on(node):
        yield from ((port.protocol, port.host_port) for port in pod.ports if port.host_port and not pod.host_network)
    dns = cluster_dns(world)
    for record in world.slices_of(dns) if dns else ():
        held = {pod.name for pod in world.pods_on(node) if pod.host_network}
        if any(backend.pod in held for backend in record.backends):
            yield from ((port.protocol, port.port) for port in record.ports)


def kept_parts(kept: KeptPorts, closed: Iterable[Closed]) -> Iterator[Part]:
    """What stays open at closed addresses."""
    places = {(item.address, item.protocol, item.port) for item in closed}
    for address, listed in sorted(kept.items()):
        ports = [(protocol, port) for protocol, port in listed if (address, protocol, port) not in places]
        if not ports:
            continue
        yield Part(
            says=f"What else is known to listen at {address}: node ports, host ports, what was seen open.",
            peers=({"ipBlock": {"cidr": host_range(address)}},),
            ports=tuple(port_item(protocol, number) for protocol, number in sorted(ports, key=_order)),
        )
