"""One cluster as policies see it: pods, namespaces, nodes, Services, policies, kept up to date object by object."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from kubeshield_tui.evidence.netpol.answers import Answers
from kubeshield_tui.evidence.netpol.lookup import FINISHED, Lookup, Name
from kubeshield_tui.evidence.netpol.party import (
    Address,
    BrokenPod,
    End,
    EndKind,
    ImpliedNamespace,
    LabelView,
    Party,
    PartyKind,
    TemplatePod,
    addresses_of,
)
from kubeshield_tui.evidence.netpol.policy import ObjectKey, OpaquePolicy, Policy
from kubeshield_tui.evidence.netpol.policy_index import PolicyIndex
from kubeshield_tui.evidence.netpol.profile import Profile
from kubeshield_tui.evidence.netpol.tiers import Enquiry, Selected
from kubeshield_tui.model.cluster import (
    BackendRecord,
    NamespaceRecord,
    NodeRecord,
    PodRecord,
    ServicePort,
    ServiceRecord,
)

NAME_LABEL = "kubernetes.io/metadata.name"
"""The label that the control plane gives every namespace, since 1.21."""
WorldRecord = (
    PodRecord
    | TemplatePod
    | BrokenPod
    | NamespaceRecord
    | ImpliedNamespace
    | NodeRecord
    | ServiceRecord
    | BackendRecord
    | Policy
    | OpaquePolicy
)


class World:
    """The objects of one cluster that an evaluation needs. Not thread-safe."""

    def __init__(self, profile: Profile = Profile()) -> None:  # noqa: B008 - frozen
        self._profile = profile
        self._pods: dict[Name, PodRecord | TemplatePod | BrokenPod] = {}
        self._namespaces: dict[str, NamespaceRecord | ImpliedNamespace] = {}
        self._nodes: dict[str, NodeRecord] = {}
        self._services: dict[Name, ServiceRecord] = {}
        self._slices: dict[Name, BackendRecord] = {}
        self._behind: dict[Name, dict[Name, BackendRecord]] = {}
        self.policies = PolicyIndex()
        self._parties: dict[Name, Party] = {}
        self._made_lookup: Lookup | None = None
        self.answers = Answers(self)

    def copy(self) -> World:
        """The same world apart: what is put into it, or dropped, leaves this one as it is."""
        made = World(self._profile)
        made._pods, made._namespaces, made._nodes = dict(self._pods), dict(self._namespaces), dict(self._nodes)
        made._services, made._slices = dict(self._services), dict(self._slices)
        made._behind = {service: dict(slices) for service, slices in self._behind.items()}
        for policy in self.policies:
            made.policies.put(policy)
        return made

    @property
    def profile(self) -> Profile:
        """What is known of the network plugin's choices."""
        return self._profile

    @profile.setter
    def profile(self, profile: Profile) -> None:
        self._profile = profile
        self.answers.forget(None)

    def put(self, record: WorldRecord) -> None:
        """Add an object, or replace the one of its name."""
        match record:
            case Policy() | OpaquePolicy():
                self._forget_answers(self.policies.put(record))
            case PodRecord() | BrokenPod():
                self._put_pod((record.namespace, record.name), record)
            case TemplatePod():
                self._put_pod((record.pod.namespace, record.pod.name), record)
            case NamespaceRecord() | ImpliedNamespace():
                if self._namespaces.get(record.name) != record:
                    self._namespaces[record.name] = record
                    self._forget_labels()
            case NodeRecord():
                if self._nodes.get(record.name) != record:
                    self._nodes[record.name] = record
                    self._forget_labels()
            case ServiceRecord():
                self._services[record.namespace, record.name] = record
                self._made_lookup = None
            case BackendRecord():
                self._put_slice((record.namespace, record.name), record)

    def drop(self, key: ObjectKey) -> None:
        """Remove an object; nothing happens where it is not here. Any kind but those below is a policy's."""
        name = (key.namespace, key.name)
        match key.kind:
            case "Pod":
                self._put_pod(name, None)
            case "Namespace":
                if self._namespaces.pop(key.name, None):
                    self._forget_labels()
            case "Node":
                if self._nodes.pop(key.name, None):
                    self._forget_labels()
            case "Service":
                self._services.pop(name, None)
                self._made_lookup = None
            case "EndpointSlice":
                self._put_slice(name, None)
            case _:
                self._forget_answers(self.policies.drop(key))

    def _put_pod(self, name: Name, record: PodRecord | TemplatePod | BrokenPod | None) -> None:
        if record is None:
            self._pods.pop(name, None)
        else:
            self._pods[name] = record
        self._parties.pop(name, None)
        self.answers.forget_pod(name)
        self._made_lookup = None

    def _put_slice(self, name: Name, record: BackendRecord | None) -> None:
        before = self._slices.pop(name, None)
        if before is not None:
            del self._behind[before.namespace, before.service][name]
        if record is not None:
            self._slices[name] = record
            self._behind.setdefault((record.namespace, record.service), {})[name] = record

    def _forget_labels(self) -> None:
        self._parties.clear()
        self._made_lookup = None
        self.policies.forget_classes()

    def _forget_answers(self, namespace: str | None) -> None:
        if namespace != "":
            self.answers.forget(namespace)

    @property
    def pods(self) -> Iterator[End]:
        """The pods that are here."""
        return (End(kind=EndKind.POD, namespace=namespace, name=name) for namespace, name in self._pods)

    @property
    def namespaces(self) -> Iterator[str]:
        """Names of the namespaces that are here."""
        return iter(self._namespaces)

    @property
    def nodes(self) -> Iterator[str]:
        """Names of the nodes that are here."""
        return iter(self._nodes)

    @property
    def services(self) -> Iterator[ServiceRecord]:
        """The Services that are here."""
        return iter(self._services.values())

    def service(self, namespace: str, name: str) -> ServiceRecord | None:
        """A Service."""
        return self._services.get((namespace, name))

    def slices_of(self, service: ServiceRecord) -> list[BackendRecord]:
        """What is known to be behind a Service."""
        return list(self._behind.get((service.namespace, service.name), {}).values())

    def pod(self, namespace: str, name: str) -> Party | None:
        """A pod as policies see it."""
        key = (namespace, name)
        found = self._parties.get(key)
        if found is None and key in self._pods:
            found = self._parties[key] = self._pod_party(self._pods[key])
        return found

    def _pod_party(self, record: PodRecord | TemplatePod | BrokenPod) -> Party:
        if isinstance(record, BrokenPod):
            text = f"{record.namespace}/{record.name}"
            return Party(kind=PartyKind.POD, text=text, namespace=record.namespace, name=record.name, broken=record.why)
        template = record if isinstance(record, TemplatePod) else None
        pod = record.pod if isinstance(record, TemplatePod) else record
        text = f"{pod.namespace}/{pod.name}"
        is_finished = pod.phase in FINISHED
        return Party(
            kind=PartyKind.POD,
            text=text,
            addresses=() if is_finished else self._addresses_of_pod(pod),
            namespace=pod.namespace,
            name=pod.name,
            labels=LabelView(f"pod {text}", dict(pod.labels), frozenset(template.open_labels if template else ())),
            namespace_labels=self.namespace_labels(pod.namespace),
            node=pod.node,
            node_labels=self._node_labels(pod.node),
            host_network=pod.host_network,
            ports=pod.ports,
            is_several=template is not None and template.is_several,
            is_finished=is_finished,
        )

    def _addresses_of_pod(self, pod: PodRecord) -> tuple[Address, ...]:
        found = addresses_of(pod.addresses)
        if not found and pod.host_network and pod.node in self._nodes:
            return addresses_of(self._nodes[pod.node].addresses)
        return found

    def namespace_labels(self, name: str) -> LabelView:
        """Labels of a namespace; one that is not here has labels that are not known."""
        record = self._namespaces.get(name)
        is_partial = not isinstance(record, NamespaceRecord)
        return LabelView(f"namespace {name}", dict(record.labels) if record else {}, is_partial=is_partial)

    def _node_labels(self, name: str) -> LabelView:
        record = self._nodes.get(name)
        return LabelView(f"node {name or '(not known)'}", dict(record.labels) if record else {}, is_partial=not record)

    def node(self, name: str) -> Party | None:
        """A node as policies see it."""
        record = self._nodes.get(name)
        if record is None:
            return None
        return Party(
            kind=PartyKind.NODE,
            text=f"node {name}",
            addresses=addresses_of(record.addresses),
            node=name,
            node_labels=self._node_labels(name),
        )

    def some_node(self, text: str) -> Party:
        """A node of which nothing is known, such as the one that an address was replaced on."""
        return Party(kind=PartyKind.NODE, text=text, node_labels=self._node_labels(""))

    def outside(self, address: str) -> Party:
        """An address that is no pod's and no node's; empty: not known which."""
        text = address or "an address outside"
        return Party(kind=PartyKind.OUTSIDE, text=text, addresses=addresses_of((address,)))

    def holder(self, address: str) -> End | None:
        """What holds an address: a pod, a node or a Service; None for what is outside."""
        return next((self._lookup.addresses.get(value) for value in addresses_of((address,))), None)

    def node_port(self, port: int, protocol: str) -> tuple[ServiceRecord, ServicePort] | None:
        """The Service, and its port, that a port of every node leads to."""
        return self._lookup.node_ports.get((port, protocol))

    def pods_on(self, node: str) -> list[Party]:
        """The pods of a node."""
        return self._parties_of(self._lookup.on_node.get(node, ()))

    def pods_in(self, namespace: str) -> list[Party]:
        """The pods of a namespace."""
        return self._parties_of(self._lookup.in_namespace.get(namespace, ()))

    def _parties_of(self, names: Iterable[Name]) -> list[Party]:
        return [party for name in names if (party := self.pod(*name)) is not None]

    @property
    def _lookup(self) -> Lookup:
        if self._made_lookup is None:
            pods = {name: _record_of(pod) for name, pod in self._pods.items()}
            self._made_lookup = Lookup(pods, self._nodes.values(), self._services.values())
        return self._made_lookup

    def selected(self, enquiry: Enquiry) -> Selected:
        """Policies that may speak in one direction of a connection."""
        return self.policies.selected(enquiry.subject, enquiry.peer, enquiry.direction)


def _record_of(pod: PodRecord | TemplatePod | BrokenPod) -> PodRecord | None:
    if isinstance(pod, TemplatePod):
        return pod.pod
    return pod if isinstance(pod, PodRecord) else None
