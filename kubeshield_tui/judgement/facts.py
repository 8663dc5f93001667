"""What inventories say of the two ends of a cell; what they do not say is `Unknown`, with why, never a no."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from kubeshield_tui.discovery.roles import control_plane_nodes, nodes_of
from kubeshield_tui.model.cluster import Inventory, Labels, NodeRecord, PodRecord, ServiceRecord
from kubeshield_tui.model.endpoint import Endpoint
from kubeshield_tui.model.vantage import Vantage, VantageKind, Zone
from kubeshield_tui.vantages.pod_objects import LABELS

OWN_POD_ACCOUNT = "default"
"""Service account of pods that we make: they name none, and the API server fills this one in. They hold no token of it,
but what selects by account (some CNIs, service meshes) sees it all the same."""


Clusters = Callable[[], Mapping[str, Inventory]]
"""What is known of each cluster now, by context."""


CONTROL_PLANE_ROLE = "control-plane"


class Unknown(NamedTuple):
    """A fact that would decide and is not known."""

    why: str


class _Cluster(NamedTuple):
    """An inventory, indexed."""

    pods: dict[tuple[str, str], PodRecord]
    by_namespace: dict[str, list[PodRecord]]
    services: dict[tuple[str, str], ServiceRecord]
    nodes: dict[str, NodeRecord]
    """Those that were listed."""
    known_nodes: tuple[NodeRecord, ...]
    """All, also where only pods tell of them."""
    control_plane: frozenset[str]


class Facts:
    """Looks facts up in the inventories of all clusters as they were at the last `refresh`."""

    def __init__(self, clusters: Clusters) -> None:
        self._clusters = clusters
        self._indexes: dict[str, _Cluster] = {}
        self._known = dict(clusters())

    def refresh(self) -> bool:
        """Take the inventories as they are now; returns whether any is another."""
        before, self._known = self._known, dict(self._clusters())
        changed = [name for name in before.keys() | self._known.keys() if before.get(name) is not self._known.get(name)]
        for name in changed:
            self._indexes.pop(name, None)
        return bool(changed)

    def _index(self, cluster: str) -> _Cluster | None:
        found = self._indexes.get(cluster)
        if found is None and (inventory := self._known.get(cluster)) is not None:
            by_namespace: dict[str, list[PodRecord]] = defaultdict(list)
            for pod in inventory.pods:
                by_namespace[pod.namespace].append(pod)
            found = self._indexes[cluster] = _Cluster(
                {(pod.namespace, pod.name): pod for pod in inventory.pods},
                dict(by_namespace),
                {(service.namespace, service.name): service for service in inventory.services},
                {node.name: node for node in inventory.nodes},
                nodes_of(inventory),
                control_plane_nodes(inventory),
            )
        return found

    # --- endpoints

    def labels_of_endpoint(self, endpoint: Endpoint) -> tuple[tuple[Labels, ...], Unknown | None]:
        """Label sets of the object and of the pods behind it, and what could add to them but is not known."""
        if not endpoint.object:
            return (), None
        index = self._index(endpoint.cluster)
        if index is None:
            return (), Unknown(f"cluster {endpoint.cluster} was not read")
        kind, _, name = endpoint.object.partition("/")
        match kind:
            case "Node":
                node = index.nodes.get(name)
                return ((node.labels,), None) if node else ((), Unknown(f"node {name} was not read"))
            case "Pod":
                pod = index.pods.get((endpoint.namespace, name))
                return ((pod.labels,), None) if pod else ((), Unknown(f"pod {endpoint.namespace}/{name} was not read"))
            case "Service":
                return self._behind_service(index, endpoint, name)
        return (), None

    @staticmethod
    def _behind_service(index: _Cluster, endpoint: Endpoint, name: str) -> tuple[tuple[Labels, ...], Unknown | None]:
        service = index.services.get((endpoint.namespace, name))
        if service is None:
            return (), Unknown(f"Service {endpoint.namespace}/{name} was not read")
        if not service.selector:
            known = [index.pods.get((pod.namespace, pod.name)) for pod in endpoint.backends]
            lacking = Unknown(f"pods behind Service {endpoint.namespace}/{name} were not read")
            return (service.labels, *(pod.labels for pod in known if pod)), (lacking if None in known else None)
        # Any pod behind it has the selector's labels at least, so much is known without a single pod.
        labels = [service.labels, service.selector]
        if endpoint.namespace not in index.by_namespace:
            return tuple(labels), Unknown(f"no pod of namespace {endpoint.namespace} was read")
        wanted = set(service.selector)
        labels.extend(pod.labels for pod in index.by_namespace[endpoint.namespace] if wanted <= set(pod.labels))
        return tuple(labels), None

    # --- vantages

    def namespace_of(self, vantage: Vantage) -> str:
        """Namespace of the pod that asks; empty for what is no pod, nodes among them."""
        return vantage.spec.namespace if vantage.spec.kind is VantageKind.POD else ""

    def labels_of_vantage(self, vantage: Vantage) -> Labels | Unknown:
        """Labels of the pod that asks; none for what is no pod."""
        if vantage.spec.kind is not VantageKind.POD:
            return ()
        if vantage.spec.creates_pod:
            return tuple(LABELS.items())
        if pod := self._pod(vantage):
            return pod.labels
        told = vantage.facts.labels if vantage.facts else ()
        return told or Unknown(f"labels of {vantage.id} are not known")

    def account_of(self, vantage: Vantage) -> str | Unknown:
        """Service account of the pod that asks, empty for what is no pod."""
        if vantage.spec.kind is not VantageKind.POD:
            return ""
        if vantage.spec.creates_pod:
            return OWN_POD_ACCOUNT
        pod = self._pod(vantage)
        return (pod.service_account if pod else "") or Unknown(f"service account of {vantage.id} is not known")

    def node_of(self, vantage: Vantage) -> str | Unknown:
        """Node that a vantage stands on; empty for one that stands on none."""
        if vantage.node:
            return vantage.node
        if vantage.spec.kind is VantageKind.POD:
            pod = self._pod(vantage)
            return (pod.node if pod else "") or Unknown(f"node of {vantage.id} is not known")
        if vantage.zone is not Zone.NODE:
            return ""
        found = self._by_address(vantage)
        return found.name if found else Unknown(f"which node {vantage.id} is, is not known")

    def roles_of(self, vantage: Vantage) -> tuple[tuple[str, ...], Unknown | None]:
        """Roles of the node that a vantage stands on, and what could add to them but is not known.

        A node that holds the control plane has that role, whether it is labelled so or not.
        """
        node, cluster = self.node_of(vantage), self.cluster_of(vantage)
        if isinstance(node, Unknown):
            return (), node
        if not node:
            return (), None
        if isinstance(cluster, Unknown):
            return (), cluster
        index = self._index(cluster)
        record = index.nodes.get(node) if index else None
        held = (CONTROL_PLANE_ROLE,) if index and node in index.control_plane else ()
        return (*held, *(record.roles if record else ())), None if record else Unknown(f"node {node} was not read")

    def cluster_of(self, vantage: Vantage) -> str | Unknown:
        """Cluster that a vantage stands in; empty for what stands in none."""
        if vantage.cluster or vantage.zone is not Zone.NODE:
            return vantage.cluster
        found = self._by_address(vantage)
        return found.cluster if found else Unknown(f"which node {vantage.id} is, is not known")

    def _pod(self, vantage: Vantage) -> PodRecord | None:
        index = self._index(vantage.cluster)
        return index.pods.get((vantage.spec.namespace, vantage.spec.pod)) if index else None

    def _by_address(self, vantage: Vantage) -> NodeRecord | None:
        """The node that has this vantage's address: for hosts of which the user says that they are nodes."""
        own = set(vantage.facts.addresses) if vantage.facts else set()
        found = [node for node in self._nodes() if own & set(node.addresses)]
        return found[0] if len(found) == 1 else None

    def _nodes(self) -> Iterator[NodeRecord]:
        for cluster in self._known:
            if index := self._index(cluster):
                yield from index.known_nodes
