"""API servers, the components beside them on control-plane nodes, and cloud metadata."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from kubeshield_tui.cluster.kubeconfig import ContextEntry
from kubeshield_tui.discovery import catalogue
from kubeshield_tui.discovery.catalogue import Row, Where
from kubeshield_tui.discovery.ground import Ground, workload_of
from kubeshield_tui.discovery.hosts import host_of, reach_of
from kubeshield_tui.discovery.roles import API_SERVICE, control_plane_nodes, control_plane_role
from kubeshield_tui.model.cluster import NodeRecord, PodRecord
from kubeshield_tui.model.endpoint import Endpoint, Scope
from kubeshield_tui.model.ids import endpoint_id

GONE_SINCE = {
    "kube-scheduler-insecure": (1, 23),
    "kube-controller-manager-insecure": (1, 24),
    "kube-apiserver-insecure": (1, 24),
    "cadvisor": (1, 12),
}
"""Versions without these ports. Source: changelogs of Kubernetes (flags --port, --insecure-port, --cadvisor-port)."""
CLOUD_CONTROLLER = "cloud-controller-manager"
LIKELY_PROVIDERS = frozenset({"", "aws", "azure", "gcp"})
"""Whose words a metadata address is asked in where the cloud is not known; the others' are asked in theirs."""


def api_servers(ground: Ground) -> Iterator[Endpoint]:
    """Every address of the API: the kubeconfig's, the `kubernetes` Service's, and those behind it."""
    host, port = shown_server(ground.context)
    if host:
        yield _api(ground, host, port, "kubeconfig")
    for service in ground.inventory.services:
        if (service.namespace, service.name) == API_SERVICE:
            for number, address in enumerate(filter(None, map(host_of, service.addresses))):
                for listed in service.ports:
                    yield _api(ground, address, listed.port, "Service", several=bool(number))
    for backend in ground.behind.get(API_SERVICE, ()):
        for each in filter(None, (host_of(each.address) for each in backend.backends)):
            for behind in backend.ports:
                yield _api(ground, each, behind.port, "Endpoints", several=True)


def shown_server(context: ContextEntry) -> tuple[str, int]:
    """Host and port of the kubeconfig's server; the training range shows another than it listens on."""
    address = f"https://{context.shown_address}" if context.shown_address else context.server
    try:
        parts = urlsplit(address if "://" in address else f"https://{address}")
        return host_of(parts.hostname or ""), parts.port or (80 if parts.scheme == "http" else 443)
    except ValueError:
        return "", 0


def _api(ground: Ground, host: str, port: int, kind: str, *, several: bool = False) -> Endpoint:
    component = catalogue.API_SERVER
    known = kind != "kubeconfig"
    return Endpoint(
        id=endpoint_id(ground.cluster, "", f"{component}/{kind}", port, "tcp", host if several else ""),
        component=component,
        name=component,
        host=host,
        port=port,
        cluster=ground.cluster,
        namespace="default" if known else "",
        object=f"{kind}/kubernetes" if known else "",
        group=catalogue.CONTROL_PLANE_GROUP,
        scope=Scope.CLUSTER if kind == "Service" else reach_of(host),
        conversation=ground.catalogue.conversation_of(component, port),
        node=ground.node_of.get(host, ""),
        source=f"{kind} default/kubernetes" if known else kind,
    )


def can_be_in(row: Row, ground: Ground) -> bool:
    """Whether a component can be there in this cluster at all."""
    since = GONE_SINCE.get(row.component)
    if since is not None and ground.version is not None and ground.version >= since:
        return False
    return row.asked and (not row.component.startswith(CLOUD_CONTROLLER) or bool(ground.providers))


def components(ground: Ground) -> Iterator[Endpoint]:
    """etcd, scheduler and controllers: on control-plane nodes, and in pods of the control plane elsewhere."""
    rows = [row for row in ground.rows(Where.CONTROL_PLANE) if can_be_in(row, ground)]
    hosts = control_plane_nodes(ground.inventory)
    pods = [pod for pod in ground.pods if control_plane_role(pod)]
    for node in ground.nodes:
        if node.name in hosts:
            for row in rows:
                for port in row.ports:
                    yield from on_node(ground, node, row, port)
    names = {node.name for node in ground.nodes}
    for pod in pods:
        if not (pod.host_network and pod.node in names):
            yield from _in_pod(ground, pod)


def _in_pod(ground: Ground, pod: PodRecord) -> Iterator[Endpoint]:
    """A control plane that runs as ordinary pods, or on nodes that may not be listed."""
    owner, role = workload_of(pod), control_plane_role(pod)
    for row in ground.rows(Where.CONTROL_PLANE):
        if row.component != role and not (row.component.startswith(f"{role}-") and can_be_in(row, ground)):
            continue
        for host in filter(None, map(host_of, pod.addresses[:1])):
            for port in row.ports:
                yield Endpoint(
                    id=endpoint_id(ground.cluster, pod.namespace, owner, port, row.protocol),
                    component=row.component,
                    name=f"{row.component} {pod.name}",
                    host=host,
                    port=port,
                    protocol=row.protocol,
                    cluster=ground.cluster,
                    namespace=pod.namespace,
                    object=owner,
                    group=row.group,
                    scope=reach_of(host) if pod.host_network else Scope.CLUSTER,
                    conversation=row.conversation,
                    node=pod.node,
                    source=f"Pod {pod.namespace}/{pod.name}",
                )


def on_node(ground: Ground, node: NodeRecord, row: Row, port: int) -> Iterator[Endpoint]:
    """A component of the catalogue at every address of a node."""
    for number, host in enumerate(filter(None, map(host_of, node.addresses))):
        yield Endpoint(
            id=endpoint_id(ground.cluster, "", f"Node/{node.name}", port, row.protocol, host if number else ""),
            component=row.component,
            name=f"{row.component} {node.name}",
            host=host,
            port=port,
            protocol=row.protocol,
            cluster=ground.cluster,
            object=f"Node/{node.name}",
            group=row.group,
            scope=reach_of(host),
            conversation=row.conversation,
            node=node.name,
            source=f"Node {node.name}",
        )


def metadata(ground: Ground) -> Iterator[Endpoint]:
    """Metadata addresses of the cluster's cloud: on every node another."""
    for row in ground.catalogue.at(Where.METADATA):
        for port in row.ports if row.asked and _has(ground, row) else ():
            yield Endpoint(
                id=endpoint_id(ground.cluster, "", row.component, port, row.protocol),
                component=row.component,
                name=row.component,
                host=row.address,
                port=port,
                protocol=row.protocol,
                cluster=ground.cluster,
                group=row.group,
                scope=Scope.NODE,
                conversation=row.conversation,
                source="every cloud" if not row.provider else f"metadata of {row.provider}",
            )


def _has(ground: Ground, row: Row) -> bool:
    """Whether a metadata address may be there.

    In a cloud that is not known it is the one that most clouds use, asked in the words of the largest three: one open
    address must not look like eight. Where not even nodes may be read it may be any. An IPv6 address is none for nodes
    without IPv6.
    """
    if ":" in row.address and ground.inventory.nodes and not any(":" in address for address in ground.node_of):
        return False
    if ground.providers:
        return row.provider in {"", *ground.providers}
    if not ground.inventory.nodes:
        return True
    return row.address == catalogue.METADATA_ADDRESS and row.provider in LIKELY_PROVIDERS
