"""Which nodes a cluster has and which hold its control plane, as far as nodes, pods and the API's slices tell."""

from __future__ import annotations

from collections.abc import Iterable

from kubeshield_tui.discovery.hosts import host_of
from kubeshield_tui.model.cluster import Inventory, NodeRecord, PodRecord

CONTROL_PLANE_ROLES = frozenset({"control-plane", "controlplane", "master", "etcd"})
API_SERVICE = ("default", "kubernetes")


def nodes_of(inventory: Inventory) -> tuple[NodeRecord, ...]:
    """Nodes by name; where these may not be listed, those that pods run on, as far as pods tell. Their roles lack."""
    listed: Iterable[NodeRecord] = inventory.nodes
    if not inventory.nodes:
        pods = sorted(inventory.pods, key=lambda pod: (pod.namespace, pod.name))
        told = {pod.node: pod.node_addresses for pod in pods if pod.node and pod.node_addresses}
        cluster = inventory.cluster.id
        listed = (NodeRecord(cluster=cluster, name=name, addresses=each) for name, each in told.items())
    return tuple(sorted(listed, key=lambda node: node.name))


def control_plane_nodes(inventory: Inventory) -> frozenset[str]:
    """Names of the nodes that hold it: by their roles, by its pods in their network, by the API servers' addresses."""
    nodes = nodes_of(inventory)
    node_of = {host_of(address): node.name for node in nodes for address in node.addresses}
    slices = [record for record in inventory.backends if (record.namespace, record.service) == API_SERVICE]
    behind = (host_of(each.address) for record in slices for each in record.backends)
    return frozenset(
        {node.name for node in nodes if CONTROL_PLANE_ROLES & set(node.roles)}
        | {pod.node for pod in inventory.pods if pod.host_network and pod.node and control_plane_role(pod)}
        | {node_of[host] for host in behind if host and host in node_of}
    )


def control_plane_role(pod: PodRecord) -> str:
    """What a pod of the control plane is (`etcd`, `kube-scheduler`, ...); empty for all others."""
    labels = dict(pod.labels)
    is_one = pod.namespace == "kube-system" and labels.get("tier") == "control-plane"
    return labels.get("component", "") if is_one else ""
