"""Services: their cluster addresses, node ports, load balancers, and the pods behind headless ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from kubeshield_tui.discovery import catalogue
from kubeshield_tui.model.cluster import BackendRecord, NodeRecord, ServicePort, ServiceRecord
from kubeshield_tui.model.endpoint import Conversation, Endpoint, PodRef, Protocol, Scope
from kubeshield_tui.model.ids import endpoint_id
from kubeshield_tui.probes.datagrams import DATAGRAMS, datagram_of

HEADLESS_PODS = 20
"""Pods asked behind one headless Service."""

Skipped = tuple[str, str]
"""(name, why)"""


def services(
    cluster: str,
    records: Iterable[ServiceRecord],
    backends: Iterable[BackendRecord],
    nodes: Iterable[NodeRecord],
    skipped: list[Skipped],
) -> Iterator[Endpoint]:
    """Endpoints of all Services; what is left out is added to `skipped`."""
    behind: dict[tuple[str, str], list[BackendRecord]] = {}
    for backend in backends:
        behind.setdefault((backend.namespace, backend.service), []).append(backend)
    first_addresses = [(node.name, node.addresses[0]) for node in nodes if node.addresses]
    for service in records:
        if (service.namespace, service.name) == ("default", "kubernetes"):
            continue  # the API server's own
        mine = behind.get((service.namespace, service.name), [])
        for port in service.ports:
            if port.protocol not in {"TCP", "UDP"}:
                skipped.append(
                    (f"Service {service.namespace}/{service.name}:{port.port}", f"{port.protocol} is not asked yet")
                )
                continue
            yield from _of_port(cluster, service, port, mine, first_addresses)


def _of_port(
    cluster: str,
    service: ServiceRecord,
    port: ServicePort,
    backends: list[BackendRecord],
    nodes: list[tuple[str, str]],
) -> Iterator[Endpoint]:
    ready = [each for record in backends for each in record.backends if each.ready]
    pods = tuple(dict.fromkeys(PodRef(namespace=each.namespace, name=each.pod) for each in ready if each.pod))
    for number, address in enumerate(service.addresses):
        yield _endpoint(cluster, service, port, address, port.port, Scope.CLUSTER, pods, address if number else "")
    if service.headless:
        yield from _headless(cluster, service, port, backends, pods)
    for address in (*service.external_ips, *service.balancers):
        yield _endpoint(cluster, service, port, address, port.port, Scope.GLOBAL, pods, address)
    if port.node_port:
        for node, address in nodes:
            yield _endpoint(cluster, service, port, address, port.node_port, Scope.GLOBAL, pods, address, node)


def _headless(
    cluster: str, service: ServiceRecord, port: ServicePort, backends: list[BackendRecord], pods: tuple[PodRef, ...]
) -> Iterator[Endpoint]:
    for backend in backends:
        number = next((listed.port for listed in backend.ports if listed.name == port.name), port.port)
        for each in [each for each in backend.backends if each.ready][:HEADLESS_PODS]:
            yield _endpoint(cluster, service, port, each.address, number, Scope.CLUSTER, pods, each.address)


def _endpoint(
    cluster: str,
    service: ServiceRecord,
    port: ServicePort,
    host: str,
    number: int,
    scope: Scope,
    pods: tuple[PodRef, ...],
    among_several: str,
    node: str = "",
) -> Endpoint:
    several = len(service.ports) > 1
    protocol = Protocol(port.protocol.lower())
    conversation = (
        catalogue.conversation_of_service(port.port, port.name, port.app_protocol, port.target)
        if protocol is Protocol.TCP
        else Conversation(datagram=_datagram(port))
    )
    return Endpoint(
        id=endpoint_id(cluster, service.namespace, f"Service/{service.name}", number, protocol, among_several),
        component=catalogue.SERVICE,
        name=service.name + (f" {port.name}" if several and port.name else "") + (f" via {node}" if node else ""),
        host=host,
        port=number,
        protocol=protocol,
        cluster=cluster,
        namespace=service.namespace,
        object=f"Service/{service.name}",
        group=service.namespace,
        scope=scope,
        conversation=conversation,
        backends=pods,
        backend_port=port.target,
        node=node,
        source=f"Service {service.namespace}/{service.name}",
    )


def _datagram(port: ServicePort) -> str:
    """The protocol of a UDP port: by its name (`dns`, `dns-tcp`), then by its number, then by the target's."""
    named = port.name.lower().partition("-")[0]
    if named in DATAGRAMS:
        return named
    return datagram_of(port.port) or (datagram_of(int(port.target)) if port.target.isdigit() else "")
