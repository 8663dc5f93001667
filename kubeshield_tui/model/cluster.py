"""Slim records of what a cluster says of itself. All text printable. Secrets have no record: they are never read."""

from __future__ import annotations

from kubeshield_tui.model.record import Record

Labels = tuple[tuple[str, str], ...]


class ClusterFacts(Record, frozen=True):
    """A cluster that was reached."""

    id: str
    """Context name of the kubeconfig."""
    server: str
    """URL of the API server as the kubeconfig has it."""
    version: str = ""
    """gitVersion of /version."""
    user: str = ""
    source: str = ""
    """Path of the kubeconfig."""
    simulated: bool = False
    """The embedded training range, not a real cluster."""


class Denied(Record, frozen=True):
    """Something that could not be read: counted and said, never fatal."""

    cluster: str
    what: str
    """`list networkpolicies.networking.k8s.io`, `get /version`, ..."""
    why: str
    """`forbidden`, `not found`, or what the server said."""


class NodeRecord(Record, frozen=True):
    """A node."""

    cluster: str
    name: str
    addresses: tuple[str, ...] = ()
    kubelet_port: int = 10250
    labels: Labels = ()
    roles: tuple[str, ...] = ()


class ContainerPort(Record, frozen=True):
    """A port that a container declares."""

    port: int
    name: str = ""
    protocol: str = "TCP"


class PodRecord(Record, frozen=True):
    """A pod: what policies and services need to know of it."""

    cluster: str
    namespace: str
    name: str
    labels: Labels = ()
    addresses: tuple[str, ...] = ()
    node: str = ""
    phase: str = ""
    host_network: bool = False
    ports: tuple[ContainerPort, ...] = ()


class NamespaceRecord(Record, frozen=True):
    """A namespace and its labels."""

    cluster: str
    name: str
    labels: Labels = ()


class PolicyRecord(Record, frozen=True):
    """A NetworkPolicy: enough to say which pods it selects, and its text."""

    cluster: str
    namespace: str
    name: str
    directions: tuple[str, ...] = ()
    """`Ingress`, `Egress`, as the API server defaulted them."""
    match_labels: Labels = ()
    match_expressions: tuple[tuple[str, str, tuple[str, ...]], ...] = ()
    """(key, operator, values) of podSelector."""
    spec: str = ""
    """The spec as YAML, printable, lines kept."""


class Inventory(Record, frozen=True):
    """What discovery read of one cluster."""

    cluster: ClusterFacts
    nodes: tuple[NodeRecord, ...] = ()
    namespaces: tuple[NamespaceRecord, ...] = ()
    pods: tuple[PodRecord, ...] = ()
    policies: tuple[PolicyRecord, ...] = ()
