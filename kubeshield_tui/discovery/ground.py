"""What endpoints are made from: one cluster's records, the catalogue, and how workloads are named."""

from __future__ import annotations

import re
from functools import cached_property

from kubeshield_tui.cluster.kubeconfig import ContextEntry
from kubeshield_tui.discovery.catalogue import Catalogue, Row, Where
from kubeshield_tui.discovery.hosts import host_of
from kubeshield_tui.discovery.known import component_of_pod
from kubeshield_tui.discovery.recognise import PROVIDER, named
from kubeshield_tui.discovery.roles import nodes_of
from kubeshield_tui.model.cluster import BackendRecord, Inventory, NodeRecord, PodRecord, Skipped
from kubeshield_tui.model.endpoint import PodRef, Protocol

NODE_ADDRESSES = 16
"""Addresses of nodes at which one port is asked that is the same on every node."""
PROTOCOLS = {"TCP": Protocol.TCP, "UDP": Protocol.UDP}
"""Transports that are asked."""
_VERSION = re.compile(r"v?(\d+)\.(\d+)")


class Ground:
    """One cluster as it was read. `skipped` collects what is found and not asked."""

    def __init__(self, context: ContextEntry, inventory: Inventory, catalogue: Catalogue) -> None:
        self.context = context
        self.cluster = context.name
        self.inventory = inventory
        self.catalogue = catalogue
        self.skipped: list[Skipped] = []

    def skip(self, name: str, why: str) -> None:
        """Say what is not asked, and why."""
        self.skipped.append(Skipped(name=name, why=why))

    @cached_property
    def version(self) -> tuple[int, int] | None:
        """Version of the cluster, None where it is not known."""
        told = _VERSION.match(self.inventory.cluster.version)
        return (int(told[1]), int(told[2])) if told else None

    @cached_property
    def providers(self) -> frozenset[str]:
        """Clouds that the cluster was recognised to be in."""
        return named(self.inventory.cluster.recognised, PROVIDER)

    @cached_property
    def nodes(self) -> tuple[NodeRecord, ...]:
        """Nodes by name, as far as nodes or pods may be listed."""
        return nodes_of(self.inventory)

    @cached_property
    def pods(self) -> tuple[PodRecord, ...]:
        """Pods by namespace and name."""
        return tuple(sorted(self.inventory.pods, key=lambda pod: (pod.namespace, pod.name)))

    @cached_property
    def node_hosts(self) -> tuple[tuple[str, str], ...]:
        """(node, host) of all addresses of nodes."""
        return tuple(
            (node.name, host) for node in self.nodes for address in node.addresses if (host := host_of(address))
        )

    @cached_property
    def node_of(self) -> dict[str, str]:
        """Node by each of its hosts."""
        return {host: node for node, host in reversed(self.node_hosts)}

    @cached_property
    def component_of(self) -> dict[PodRef, str]:
        """What each known add-on's pods are."""
        told = ((PodRef(namespace=pod.namespace, name=pod.name), component_of_pod(pod)) for pod in self.inventory.pods)
        return {pod: component for pod, component in told if component}

    @cached_property
    def workloads(self) -> dict[PodRef, str]:
        """What each pod belongs to."""
        return {PodRef(namespace=pod.namespace, name=pod.name): workload_of(pod) for pod in self.inventory.pods}

    @cached_property
    def behind(self) -> dict[tuple[str, str], list[BackendRecord]]:
        """Slices by the Service that they belong to, in one order whatever order they were listed in."""
        found: dict[tuple[str, str], list[BackendRecord]] = {}
        for record in sorted(self.inventory.backends, key=lambda each: (each.namespace, each.service, each.name)):
            found.setdefault((record.namespace, record.service), []).append(record)
        return found

    def rows(self, where: Where) -> tuple[Row, ...]:
        """Rows of the catalogue for a kind of place: without those of clouds and networks that this cluster has not."""
        known = {each.name for each in self.inventory.cluster.recognised}
        return tuple(row for row in self.catalogue.at(where) if not row.provider or row.provider in known)


def workload_of(pod: PodRecord) -> str:
    """`Kind/name` of what a pod belongs to: its name stays when pods are replaced. A pod of its own is itself."""
    owner = pod.owner
    if owner is None or owner.kind in {"Node", "StatefulSet"}:
        return f"Pod/{pod.name}"  # a static pod and a member of a StatefulSet keep their names
    suffix = dict(pod.labels).get("pod-template-hash", "")
    if owner.kind == "ReplicaSet" and suffix and owner.name.endswith(f"-{suffix}"):
        return f"Deployment/{owner.name.removesuffix(f'-{suffix}')}"
    return f"{owner.kind}/{owner.name}"
