"""API servers, etcd, kubelets and the metadata address of one cluster."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import ip_address
from urllib.parse import urlsplit

from kubeshield_tui.cluster.kubeconfig import ContextEntry
from kubeshield_tui.discovery import catalogue
from kubeshield_tui.model.cluster import BackendRecord, NodeRecord, PodRecord, ServiceRecord
from kubeshield_tui.model.endpoint import Endpoint, Scope
from kubeshield_tui.model.ids import endpoint_id

CONTROL_PLANE_ROLES = frozenset({"control-plane", "master"})


def api_servers(
    context: ContextEntry, services: Iterable[ServiceRecord], backends: Iterable[BackendRecord]
) -> Iterator[Endpoint]:
    """Every address of the API: the kubeconfig's, the `kubernetes` Service's, and those behind it."""
    host, port = shown_server(context)
    if host:
        yield _api(context.name, host, port, "kubeconfig")
    for service in services:
        if (service.namespace, service.name) == ("default", "kubernetes"):
            for address in service.addresses:
                for listed in service.ports:
                    yield _api(context.name, address, listed.port, "Service", several=service.addresses.index(address))
    for backend in backends:
        if (backend.namespace, backend.service) == ("default", "kubernetes"):
            for each in backend.backends:
                for behind in backend.ports:
                    if (each.address, behind.port) != (host, port):
                        yield _api(context.name, each.address, behind.port, "Endpoints", several=True)


def shown_server(context: ContextEntry) -> tuple[str, int]:
    """Host and port of the kubeconfig's server; the training range shows another than it listens on."""
    address = f"https://{context.shown_address}" if context.shown_address else context.server
    try:
        parts = urlsplit(address if "://" in address else f"https://{address}")
        return parts.hostname or "", parts.port or (80 if parts.scheme == "http" else 443)
    except ValueError:
        return "", 0


def _api(cluster: str, host: str, port: int, kind: str, *, several: int = 0) -> Endpoint:
    component = catalogue.API_SERVER
    known = kind != "kubeconfig"
    return Endpoint(
        id=endpoint_id(cluster, "", f"{component}/{kind}", port, "tcp", host if several else ""),
        component=component,
        name=component,
        host=host,
        port=port,
        cluster=cluster,
        namespace="default" if known else "",
        object=f"{kind}/kubernetes" if known else "",
        group=catalogue.CONTROL_PLANE_GROUP,
        scope=Scope.CLUSTER if kind == "Service" else _reach(host),
        conversation=catalogue.conversation_of(component, port),
        source=f"{kind} default/kubernetes" if known else kind,
    )


def _reach(host: str) -> Scope:
    """A kubeconfig of a local cluster names loopback, which is another target on every other machine."""
    try:
        return Scope.NODE if ip_address(host).is_loopback else Scope.GLOBAL
    except ValueError:
        return Scope.NODE if host == "localhost" else Scope.GLOBAL


def etcd_members(cluster: str, nodes: Iterable[NodeRecord], pods: Iterable[PodRecord]) -> Iterator[Endpoint]:
    """etcd's client port where it runs: on control-plane nodes, and where a pod says that it is etcd."""
    hosts: dict[str, str] = {}
    for node in nodes:
        if CONTROL_PLANE_ROLES & set(node.roles) and node.addresses:
            hosts[node.addresses[0]] = node.name
    for pod in pods:
        if pod.namespace == "kube-system" and dict(pod.labels).get("component") == "etcd" and pod.addresses:
            hosts.setdefault(pod.addresses[0], pod.node or pod.name)
    for host, name in hosts.items():
        yield _on_node(cluster, name, host, catalogue.ETCD, catalogue.ETCD_PORT, catalogue.CONTROL_PLANE_GROUP)


def kubelets(nodes: Iterable[NodeRecord]) -> Iterator[Endpoint]:
    """Each node's kubelet, and the read-only port that must not be there."""
    for node in nodes:
        for address in node.addresses[:1]:
            group = catalogue.NODES_GROUP
            yield _on_node(node.cluster, node.name, address, catalogue.KUBELET, node.kubelet_port, group)
            port = catalogue.READ_ONLY_PORT
            yield _on_node(node.cluster, node.name, address, catalogue.KUBELET_READ_ONLY, port, group)


def _on_node(cluster: str, node: str, host: str, component: str, port: int, group: str) -> Endpoint:
    return Endpoint(
        id=endpoint_id(cluster, "", f"Node/{node}", port, "tcp"),
        component=component,
        name=f"{component} {node}",
        host=host,
        port=port,
        cluster=cluster,
        object=f"Node/{node}",
        group=group,
        node=node,
        conversation=catalogue.conversation_of(component, port),
        source=f"Node {node}",
    )


def metadata(cluster: str) -> Endpoint:
    """The cloud's metadata address, asked from pods: it is another service on every node."""
    component = catalogue.METADATA
    return Endpoint(
        id=endpoint_id(cluster, "", component, 80, "tcp"),
        component=component,
        name=component,
        host=catalogue.METADATA_ADDRESS,
        port=80,
        cluster=cluster,
        group=catalogue.METADATA_GROUP,
        scope=Scope.NODE,
        conversation=catalogue.conversation_of(component, 80),
        source="every cloud",
    )
