"""Ports of pods that nothing hides: host ports, ports of pods on the host's network, and add-ons' further ports."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from kubeshield_tui.discovery import catalogue
from kubeshield_tui.discovery.ground import NODE_ADDRESSES, PROTOCOLS, Ground, workload_of
from kubeshield_tui.discovery.hosts import address_of, host_of, reach_of, unaskable
from kubeshield_tui.discovery.known import row_of
from kubeshield_tui.model.cluster import ContainerPort, PodRecord
from kubeshield_tui.model.endpoint import Conversation, Endpoint, PodRef, Protocol, Scope
from kubeshield_tui.model.ids import endpoint_id
from kubeshield_tui.probes.datagrams import datagram_of

HOST_PORT = "host-port"
_GONE = frozenset({"Succeeded", "Failed"})


def host_ports(ground: Ground) -> Iterator[Endpoint]:
    """Ports of nodes that pods take: hostPort, and what pods on the host's network declare."""
    addresses = {node.name: node.addresses for node in ground.nodes}
    asked: Counter[tuple[str, str, int]] = Counter()
    for pod in ground.pods:
        if pod.phase in _GONE or not (pod.host_network or any(port.host_port for port in pod.ports)):
            continue
        for port in pod.ports:
            number = port.port if pod.host_network else port.host_port
            if not number or port.protocol not in PROTOCOLS:
                continue
            given = pod.addresses if pod.host_network else _bound_to(port, addresses.get(pod.node, ()))
            for index, host in enumerate(filter(None, map(host_of, given))):
                if why := unaskable(host):
                    ground.skip(f"Pod {pod.namespace}/{pod.name}:{number} at {host}", why)
                    continue
                key = (pod.namespace, workload_of(pod), number)
                asked[key] += 1
                if asked[key] <= NODE_ADDRESSES:
                    yield _on_host(ground, pod, port, number, host, first=not index)
    for (namespace, workload, number), count in asked.items():
        if count > NODE_ADDRESSES:
            ground.skip(
                f"{workload} of {namespace}:{number}", f"asked at {NODE_ADDRESSES} of {count} addresses of nodes"
            )


def _bound_to(port: ContainerPort, addresses: tuple[str, ...]) -> tuple[str, ...]:
    bound = address_of(port.host_ip)
    return addresses if bound is None or bound.is_unspecified else (port.host_ip,)


def _on_host(ground: Ground, pod: PodRecord, port: ContainerPort, number: int, host: str, *, first: bool) -> Endpoint:
    workload = workload_of(pod)
    known = ground.component_of.get(PodRef(namespace=pod.namespace, name=pod.name), "")
    protocol = PROTOCOLS[port.protocol]
    row = row_of(ground.catalogue, known, port.port, protocol)
    among = "" if first and workload == f"Pod/{pod.name}" else (pod.node if first and pod.node else host)
    return Endpoint(
        id=endpoint_id(ground.cluster, pod.namespace, workload, number, protocol, among),
        component=row.component if row else HOST_PORT,
        name=f"{workload.partition('/')[2]} {port.name}".rstrip() + (f" via {pod.node}" if pod.node else ""),
        host=host,
        port=number,
        protocol=protocol,
        cluster=ground.cluster,
        namespace=pod.namespace,
        object=workload,
        group=pod.namespace,
        scope=reach_of(host),
        conversation=row.conversation if row else _conversation(port, protocol),
        backends=() if pod.host_network else (PodRef(namespace=pod.namespace, name=pod.name),),
        backend_port="" if pod.host_network else str(port.port),
        node=pod.node,
        source=f"Pod {pod.namespace}/{pod.name}",
    )


def _conversation(port: ContainerPort, protocol: Protocol) -> Conversation:
    if protocol is Protocol.UDP:
        return Conversation(datagram=datagram_of(port.port))
    return catalogue.conversation_of_service(port.port, port.name)


def add_ons(ground: Ground) -> Iterator[Endpoint]:
    """Further ports of known add-ons that no Service leads to: one pod stands for its workload."""
    served = _served(ground)
    seen: set[tuple[str, str, int, str]] = set()
    for pod in ground.pods:
        reference = PodRef(namespace=pod.namespace, name=pod.name)
        known = ground.component_of.get(reference, "")
        if not known or pod.host_network or not pod.addresses:
            continue
        workload, host = workload_of(pod), host_of(pod.addresses[0])
        for port in pod.ports:
            protocol = PROTOCOLS.get(port.protocol)
            row = row_of(ground.catalogue, known, port.port, protocol) if protocol else None
            key = (pod.namespace, workload, port.port, port.protocol)
            if protocol is None or row is None or not host or key in seen or (reference, port.port) in served:
                continue
            seen.add(key)
            yield Endpoint(
                id=endpoint_id(ground.cluster, pod.namespace, workload, port.port, protocol),
                component=row.component,
                name=f"{workload.partition('/')[2]} {port.name}".rstrip(),
                host=host,
                port=port.port,
                protocol=protocol,
                cluster=ground.cluster,
                namespace=pod.namespace,
                object=workload,
                group=pod.namespace,
                scope=Scope.CLUSTER,
                conversation=row.conversation,
                backends=(reference,),
                backend_port=str(port.port),
                source=f"Pod {pod.namespace}/{pod.name}",
            )


def _served(ground: Ground) -> set[tuple[PodRef, int]]:
    """Ports of known add-ons that Services lead to."""
    return {
        (pod, port.port)
        for records in ground.behind.values()
        for record in records
        for each in record.backends
        if each.pod and (pod := PodRef(namespace=each.namespace, name=each.pod)) in ground.component_of
        for port in record.ports
    }
