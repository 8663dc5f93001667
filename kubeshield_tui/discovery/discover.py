"""Read one cluster: all lists at once, what may not be read is counted and said, never fatal."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from kubeshield_tui.cluster import resources
from kubeshield_tui.cluster.client import ClusterClient, NotReadable
from kubeshield_tui.discovery import control_plane, workloads
from kubeshield_tui.model.cluster import BackendRecord, ClusterFacts, Denied, Inventory
from kubeshield_tui.model.endpoint import Endpoint

T = TypeVar("T")


class Discovery(NamedTuple):
    """What one cluster said of itself."""

    inventory: Inventory
    endpoints: tuple[Endpoint, ...]
    denied: tuple[Denied, ...]
    skipped: tuple[workloads.Skipped, ...]


async def discover(client: ClusterClient) -> Discovery:
    """Read a cluster. Raises ClusterError only where the API does not answer any more."""
    cluster = client.context.name
    denied: list[Denied] = []

    async def read(what: str, path: str, make: Callable[[dict[str, Any]], T | None]) -> list[T]:
        try:
            return await client.collect(path, make)
        except NotReadable as error:
            denied.append(Denied(cluster=cluster, what=f"list {what}", why=error.why))
            return []

    nodes, namespaces, pods, services, policies, backends = await asyncio.gather(
        read("nodes", "/api/v1/nodes", lambda raw: resources.node_record(raw, cluster)),
        read("namespaces", "/api/v1/namespaces", lambda raw: resources.namespace_record(raw, cluster)),
        read("pods", "/api/v1/pods", lambda raw: resources.pod_record(raw, cluster)),
        read("services", "/api/v1/services", resources.service_record),
        read(
            "networkpolicies.networking.k8s.io",
            "/apis/networking.k8s.io/v1/networkpolicies",
            lambda raw: resources.policy_record(raw, cluster),
        ),
        _backends(client, denied),
    )
    skipped: list[workloads.Skipped] = []
    served = list(workloads.services(cluster, services, backends, nodes, skipped))
    served.sort(key=lambda each: (each.namespace, each.name))
    endpoints = [
        *control_plane.api_servers(client.context, services, backends),
        *control_plane.etcd_members(cluster, nodes, pods),
        *control_plane.kubelets(nodes),
        control_plane.metadata(cluster),
        *served,
    ]
    facts = ClusterFacts(
        id=cluster,
        server=client.context.server,
        version=client.version,
        user=client.context.user,
        simulated=bool(client.context.simulated),
    )
    inventory = Inventory(
        cluster=facts,
        nodes=tuple(nodes),
        namespaces=tuple(namespaces),
        pods=tuple(pods),
        policies=tuple(policies),
        services=tuple(services),
        backends=tuple(backends),
    )
    unique = {endpoint.id: endpoint for endpoint in reversed(endpoints)}
    return Discovery(inventory, tuple(reversed(unique.values())), tuple(denied), tuple(skipped))


async def _backends(client: ClusterClient, denied: list[Denied]) -> list[BackendRecord]:
    """EndpointSlices; on servers that have none (before 1.21) the Endpoints that they replaced."""
    try:
        return await client.collect("/apis/discovery.k8s.io/v1/endpointslices", resources.slice_record)
    except NotReadable as slices:
        try:
            return await client.collect("/api/v1/endpoints", resources.endpoints_record)
        except NotReadable as error:
            cluster = client.context.name
            denied.append(Denied(cluster=cluster, what="list endpointslices.discovery.k8s.io", why=slices.why))
            denied.append(Denied(cluster=cluster, what="list endpoints", why=error.why))
            return []
