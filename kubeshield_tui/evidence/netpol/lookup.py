"""Where things are: addresses, node ports, the pods of a node and of a namespace. Made anew after a change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kubeshield_tui.evidence.netpol.party import Address, End, EndKind, addresses_of
from kubeshield_tui.model.cluster import NodeRecord, PodRecord, ServicePort, ServiceRecord

FINISHED = frozenset({"Succeeded", "Failed"})
"""Phases of a pod that has no address any more."""
Name = tuple[str, str]
"""Namespace and name."""


class Lookup:
    """An index over the pods, nodes and Services of one moment."""

    def __init__(
        self,
        pods: Mapping[Name, PodRecord | None],
        nodes: Iterable[NodeRecord],
        services: Iterable[ServiceRecord],
    ) -> None:
        self.addresses: dict[Address, End] = {}
        self.node_ports: dict[tuple[int, str], tuple[ServiceRecord, ServicePort]] = {}
        """By number and protocol."""
        self.on_node: dict[str, list[Name]] = {}
        self.in_namespace: dict[str, list[Name]] = {}
        listed = list(services)
        # The strongest claim to an address comes last: anybody may write an external address into a Service.
        for service in listed:
            self._hold((*service.external_ips, *service.balancers), _end_of(service))
        for name, pod in pods.items():
            self._pod(name, pod)
        for node in nodes:
            self._hold(node.addresses, End(kind=EndKind.NODE, name=node.name))
        for service in listed:
            self._hold(service.addresses, _end_of(service))
            for port in service.ports:
                if port.node_port:
                    self.node_ports[port.node_port, port.protocol] = (service, port)

    def _pod(self, name: Name, pod: PodRecord | None) -> None:
        self.in_namespace.setdefault(name[0], []).append(name)
        if pod is None or pod.phase in FINISHED:
            return
        if pod.node:
            self.on_node.setdefault(pod.node, []).append(name)
        if not pod.host_network:
            self._hold(pod.addresses, End(kind=EndKind.POD, namespace=name[0], name=name[1]))

    def _hold(self, texts: tuple[str, ...], end: End) -> None:
        for address in addresses_of(texts):
            self.addresses[address] = end


def _end_of(service: ServiceRecord) -> End:
    return End(kind=EndKind.SERVICE, namespace=service.namespace, name=service.name)
