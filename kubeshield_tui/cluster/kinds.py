"""The kinds of objects that discovery reads: where each is listed, what is made of it, what it is needed for.

One list or watch a kind. Where a server does not know a kind, or does not let us read it, its `fallback` is tried: the
records are the same, so whoever holds them keeps them under the first kind's name.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple, Protocol

from kubeshield_tui.cluster import extensions, resources, services
from kubeshield_tui.cluster.raw import Raw
from kubeshield_tui.model.cluster import AggregatedApiRecord
from kubeshield_tui.model.record import Record

Key = tuple[str, str]
"""Namespace (empty for what is cluster-scoped) and name."""


class Maker(Protocol):
    """Makes a record of a raw object; None for an object without a name. Never raises."""

    def __call__(self, raw: Raw, cluster: str) -> Record | None:
        """`cluster` is the name of the context."""


class Kind(NamedTuple):
    """A kind of object in one version of its API."""

    name: str
    """Plural, as rules of a Role have it: `pods`."""
    group: str
    """API group, empty for the core one."""
    path: str
    """Where the objects of all namespaces are listed."""
    make: Maker
    needed_for: str
    """What can't be seen without it, in one sentence."""
    fallback: Kind | None = None
    """The same in an older API."""
    shelf: str = ""
    """Name that its records are kept under where that is not `name`: two groups may name a kind alike."""

    @property
    def resource(self) -> str:
        """How messages name it: `networkpolicies.networking.k8s.io`."""
        return f"{self.name}.{self.group}" if self.group else self.name

    @property
    def kept_as(self) -> str:
        """What its records are kept under."""
        return self.shelf or self.name

    @property
    def versions(self) -> Iterator[Kind]:
        """This kind and its fallbacks, the newest first."""
        version: Kind | None = self
        while version is not None:
            yield version
            version = version.fallback


def key_of(record: Record) -> Key:
    """The identity of a record within its kind. `record` is one that a Kind made."""
    if isinstance(record, AggregatedApiRecord):
        return "", record.name  # its namespace is its Service's
    return getattr(record, "namespace", ""), getattr(record, "name", "")


_WEBHOOKS = "Admission webhooks and the Services that the API server calls for them."


def _core(name: str, make: Maker, needed_for: str) -> Kind:
    return Kind(name, "", f"/api/v1/{name}", make, needed_for)


def _grouped(
    name: str,
    group: str,
    make: Maker,
    needed_for: str,
    *,
    versions: tuple[str, ...] = ("v1",),
    then: Kind | None = None,
) -> Kind:
    """A kind in its versions, the newest first; `then` is what comes after them."""
    kind = then
    for version in reversed(versions):
        kind = Kind(name, group, f"/apis/{group}/{version}/{name}", make, needed_for, kind)
    assert kind is not None
    return kind


_BEHIND = "Pods and addresses behind Services, API servers behind `kubernetes`, and hand-written addresses."
KINDS: tuple[Kind, ...] = (
    _core("nodes", resources.node_record, "Nodes, their kubelets and node ports, the provider and the CNI."),
    _core("namespaces", resources.namespace_record, "Labels of namespaces, by which policies select peers."),
    _core("pods", resources.pod_record, "Pods, their host ports, the add-ons that run, and whom a policy selects."),
    _core(
        "services", services.service_record, "Services with their cluster, node-port, external and balancer addresses."
    ),
    _grouped(
        "endpointslices",
        "discovery.k8s.io",
        services.slice_record,
        _BEHIND,
        versions=("v1", "v1beta1"),
        then=_core("endpoints", services.endpoints_record, _BEHIND),
    ),
    _grouped(
        "networkpolicies",
        "networking.k8s.io",
        resources.policy_record,
        "What policies say of a connection, and whether they are enforced.",
    ),
    _grouped(
        "ingresses",
        "networking.k8s.io",
        services.ingress_record,
        "Addresses and names that Ingresses lead in by.",
        versions=("v1", "v1beta1"),
    ),
    _grouped(
        "validatingwebhookconfigurations",
        "admissionregistration.k8s.io",
        extensions.validating_configuration,
        _WEBHOOKS,
        versions=("v1", "v1beta1"),
    ),
    _grouped(
        "mutatingwebhookconfigurations",
        "admissionregistration.k8s.io",
        extensions.mutating_configuration,
        _WEBHOOKS,
        versions=("v1", "v1beta1"),
    ),
    _grouped(
        "apiservices",
        "apiregistration.k8s.io",
        extensions.aggregated_record,
        "Aggregated APIs: servers that the API server passes requests on to.",
        versions=("v1", "v1beta1"),
    ),
)
"""Everything that is read, in the order of its worth."""


class PolicyKind(NamedTuple):
    """A kind of policy beside NetworkPolicy: of the admin API, or a network plugin's own."""

    api_version: str
    kind: str
    name: str
    """Plural."""


POLICY_KINDS = (
    PolicyKind("policy.networking.k8s.io/v1alpha1", "AdminNetworkPolicy", "adminnetworkpolicies"),
    PolicyKind("policy.networking.k8s.io/v1alpha1", "BaselineAdminNetworkPolicy", "baselineadminnetworkpolicies"),
    PolicyKind("policy.networking.k8s.io/v1alpha2", "ClusterNetworkPolicy", "clusternetworkpolicies"),
    PolicyKind("cilium.io/v2", "CiliumNetworkPolicy", "ciliumnetworkpolicies"),
    PolicyKind("cilium.io/v2", "CiliumClusterwideNetworkPolicy", "ciliumclusterwidenetworkpolicies"),
    PolicyKind("crd.projectcalico.org/v1", "NetworkPolicy", "networkpolicies"),
    PolicyKind("crd.projectcalico.org/v1", "GlobalNetworkPolicy", "globalnetworkpolicies"),
)


def _other_policy(api_version: str, kind: str, name: str) -> Kind:
    group, _, version = api_version.partition("/")
    return Kind(
        name,
        group,
        f"/apis/{group}/{version}/{name}",
        partial(resources.policy_record, api_version=api_version, kind=kind),
        f"What policies of {group} say of a connection.",
        shelf=f"{name}.{api_version}",
    )


OTHER_POLICIES = tuple(_other_policy(*each) for each in POLICY_KINDS)
"""Kinds that few servers have: read where they have them."""
GROUPS_PATH = "/apis"
"""Where a server tells which APIs it has. Everybody who is let in may read it, unless that was taken away."""
