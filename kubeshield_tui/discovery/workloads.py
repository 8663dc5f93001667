"""Services: their cluster addresses, node ports, load balancers, and the pods behind headless ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from kubeshield_tui.discovery import catalogue
from kubeshield_tui.discovery.catalogue import Row
from kubeshield_tui.discovery.ground import NODE_ADDRESSES, PROTOCOLS, Ground
from kubeshield_tui.discovery.hosts import host_of, reach_of, unaskable
from kubeshield_tui.discovery.known import component_of_labels, row_of, rows_of
from kubeshield_tui.discovery.roles import API_SERVICE
from kubeshield_tui.model.cluster import Backend, BackendRecord, ServicePort, ServiceRecord
from kubeshield_tui.model.endpoint import Conversation, Endpoint, PodRef, Protocol, Scope, TlsMode
from kubeshield_tui.model.ids import endpoint_id
from kubeshield_tui.probes.datagrams import DATAGRAMS, datagram_of

HEADLESS_PODS = 20
"""Pods asked behind one port of a headless Service."""
NODE_PORT_ROWS = 2_000
"""Rows that node ports may take in all: beyond it each is asked at fewer nodes."""
ADMISSION = "admission-webhook"
AGGREGATED = "aggregated-api"
HANDSHAKE = Conversation(tls=TlsMode.ON)
"""For webhooks: an AdmissionReview is never sent."""


class Called(NamedTuple):
    """A Service's port that the API server calls."""

    namespace: str
    service: str
    port: int


class _Served(NamedTuple):
    """One port of a Service with all that is known of it."""

    service: ServiceRecord
    port: ServicePort
    protocol: Protocol
    backends: tuple[BackendRecord, ...]
    pods: tuple[PodRef, ...]
    component: str
    conversation: Conversation


class Services:
    """Endpoints of all Services of a cluster."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        inventory = ground.inventory
        self._webhooks = {Called(each.namespace, each.service, each.port) for each in inventory.webhooks}
        self._aggregated = {Called(each.namespace, each.service, each.port) for each in inventory.aggregated}
        self._records = sorted(inventory.services, key=lambda service: (service.namespace, service.name))
        ports = sum(bool(port.node_port) for service in self._records for port in service.ports)
        self._per_port = max(1, min(NODE_ADDRESSES, NODE_PORT_ROWS // max(ports, 1)))
        self._short: set[str] = set()

    def __iter__(self) -> Iterator[Endpoint]:
        for service in self._records:
            if (service.namespace, service.name) == API_SERVICE:
                continue  # the API server's own
            if service.type == "ExternalName":
                name = service.external_name
                why = f"a name in DNS for {name}, no address of its own; name {name} as a target to have it asked"
                self._ground.skip(f"Service {service.namespace}/{service.name}", why)
                continue
            for port in service.ports:
                yield from self._of_port(service, port)
        unseen = (
            0 if self._ground.node_hosts else sum(bool(port.node_port) for each in self._records for port in each.ports)
        )
        if unseen:
            self._ground.skip(f"node ports of {unseen} Service ports", "no address of a node is known")
        if self._short:
            of = f"at {self._per_port} of {len(self._ground.node_hosts)} addresses of nodes each"
            self._ground.skip(f"node ports of {len(self._short)} Service ports", f"asked {of}")

    def _of_port(self, service: ServiceRecord, port: ServicePort) -> Iterator[Endpoint]:
        shown = f"Service {service.namespace}/{service.name}:{port.port}"
        protocol = PROTOCOLS.get(port.protocol)
        if protocol is None:
            self._ground.skip(shown, f"{port.protocol} is not asked yet")
            return
        backends = tuple(self._ground.behind.get((service.namespace, service.name), ()))
        ready = [each for record in backends for each in record.backends if each.ready and each.pod]
        pods = tuple(dict.fromkeys(PodRef(namespace=each.namespace, name=each.pod) for each in ready))
        component, conversation = self._what(service, port, protocol, backends, pods)
        served = _Served(service, port, protocol, backends, pods, component, conversation)
        for number, address in enumerate(service.addresses):
            if host := host_of(address):
                yield self._endpoint(served, host, port.port, Scope.CLUSTER, address if number else "")
        if service.headless:
            yield from self._headless(served, shown)
        for address in (*service.external_ips, *service.balancers):
            if why := unaskable(address):
                self._ground.skip(f"{shown} at {address}", why)
            else:
                yield self._endpoint(served, host_of(address), port.port, Scope.GLOBAL, host_of(address))
        if port.node_port:
            yield from self._node_ports(served)

    def _node_ports(self, served: _Served) -> Iterator[Endpoint]:
        nodes: Sequence[tuple[str, str]] = self._ground.node_hosts
        if len(nodes) > self._per_port:
            self._short.add(f"{served.service.namespace}/{served.service.name}:{served.port.node_port}")
            if served.service.external_traffic_policy == "Local":
                # Only nodes with a pod of it answer: they come first where not all are asked.
                near = {each.node for record in served.backends for each in record.backends}
                nodes = sorted(nodes, key=lambda node: node[0] not in near)
        for node, host in nodes[: self._per_port]:
            number = served.port.node_port
            yield self._endpoint(served, host, number, Scope.GLOBAL, host, via=node, node=node)

    def _headless(self, served: _Served, shown: str) -> Iterator[Endpoint]:
        """Each member of a StatefulSet, which is one of its kind; of equal pods one stands for all."""
        found: dict[str, Endpoint] = {}
        equal = 0
        for each, port in sorted(_ready(served), key=lambda pair: (not pair[0].pod, pair[0].pod, pair[0].address)):
            if why := unaskable(each.address):
                self._ground.skip(f"{shown} at {each.address}", why)
                continue
            endpoint = self._behind(served, each, port)
            equal += endpoint.id in found
            found.setdefault(endpoint.id, endpoint)
        if equal:
            self._ground.skip(
                shown, f"of pods of one workload behind this headless Service one is asked, not {equal} more"
            )
        if len(found) > HEADLESS_PODS:
            why = f"{HEADLESS_PODS} of {len(found)} pods behind this headless Service are asked"
            self._ground.skip(shown, why)
        yield from list(found.values())[:HEADLESS_PODS]

    def _behind(self, served: _Served, each: Backend, port: int) -> Endpoint:
        """A pod, or a hand-written address, behind a headless Service."""
        host = host_of(each.address)
        node = self._ground.node_of.get(host, "")
        if not each.pod:
            return self._endpoint(served._replace(pods=()), host, port, reach_of(host), host, node=node)
        pod = PodRef(namespace=each.namespace, name=each.pod)
        served = served._replace(pods=(pod,))
        workload = self._ground.workloads.get(pod, each.pod)
        name = workload.rpartition("/")[2]
        among = name + ("/ipv6" if ":" in host else "")
        if node:  # on the host's network: on every node another
            return self._endpoint(served, host, port, reach_of(host), f"{among}/{node}", via=node, node=node)
        via = name if name != served.service.name else ""
        return self._endpoint(served, host, port, Scope.CLUSTER, among, via=via)

    def _endpoint(
        self,
        served: _Served,
        host: str,
        number: int,
        scope: Scope,
        among_several: str,
        *,
        via: str = "",
        node: str = "",
    ) -> Endpoint:
        service, port = served.service, served.port
        named = f" {port.name}" if len(service.ports) > 1 and port.name else ""
        object_ = f"Service/{service.name}"
        return Endpoint(
            id=endpoint_id(self._ground.cluster, service.namespace, object_, number, served.protocol, among_several),
            component=served.component,
            name=service.name + named + (f" via {via}" if via else ""),
            host=host,
            port=number,
            protocol=served.protocol,
            cluster=self._ground.cluster,
            namespace=service.namespace,
            object=object_,
            group=service.namespace,
            scope=scope,
            conversation=served.conversation,
            backends=served.pods,
            backend_port=port.target,
            node=node,
            source=f"Service {service.namespace}/{service.name}",
        )

    def _what(
        self,
        service: ServiceRecord,
        port: ServicePort,
        protocol: Protocol,
        backends: tuple[BackendRecord, ...],
        pods: tuple[PodRef, ...],
    ) -> tuple[str, Conversation]:
        """What a Service's port is, and how it is asked."""
        ground = self._ground
        called = Called(service.namespace, service.name, port.port)
        told = next((ground.component_of[pod] for pod in pods if pod in ground.component_of), "")
        known = told or component_of_labels(service.labels, service.name)
        row = self._row(known, port, protocol, backends, is_webhook=called in self._webhooks)
        guess = _guess(port, protocol)
        if row is not None:
            return row.component, row.conversation
        if called in self._webhooks:
            return ADMISSION, HANDSHAKE
        main = ground.catalogue.row(known) if known and len(service.ports) == 1 else None
        if main is not None and main.protocol == protocol and main in rows_of(ground.catalogue, known):
            return main.component, main.conversation if main.conversation.tls == guess.tls else guess
        return (AGGREGATED if called in self._aggregated else catalogue.SERVICE), guess

    def _row(
        self,
        known: str,
        port: ServicePort,
        protocol: Protocol,
        backends: tuple[BackendRecord, ...],
        *,
        is_webhook: bool,
    ) -> Row | None:
        """The catalogue's row by the port of the container, which stays what it is, then by the Service's."""
        behind = [each.port for record in backends for each in record.ports if each.name == port.name]
        numbers = [*([int(port.target)] if port.target.isdecimal() else behind[:1]), port.port]
        for number in numbers:
            row = row_of(self._ground.catalogue, known, number, protocol)
            if row is not None and row.component.endswith("-admission") == is_webhook:
                return row
        return None


def _ready(served: _Served) -> Iterator[tuple[Backend, int]]:
    """What is behind a Service's port and ready, with the number that the port has there."""
    for record in served.backends:
        numbers = [port.port for port in record.ports if port.name == served.port.name]
        for each in record.backends:
            if each.ready:
                yield each, numbers[0] if numbers else served.port.port


def _guess(port: ServicePort, protocol: Protocol) -> Conversation:
    if protocol is Protocol.TCP:
        return catalogue.conversation_of_service(port.port, port.name, port.app_protocol, port.target)
    return Conversation(datagram=_datagram(port))


def _datagram(port: ServicePort) -> str:
    """The protocol of a UDP port: by its name (`dns`, `dns-tcp`), then by its number, then by the target's."""
    named = port.name.lower().partition("-")[0]
    if named in DATAGRAMS:
        return named
    return datagram_of(port.port) or (datagram_of(int(port.target)) if port.target.isdecimal() else "")
