"""What Services and their backends give away before anything is asked: addresses that are somebody else's.

Sources: the advisories of CVE-2020-8554, CVE-2021-25737 and CVE-2021-25740, which tell how to look for each.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address
from shlex import quote
from typing import NamedTuple

from kubeshield_tui.judgement.cluster_view import ClusterView, listed
from kubeshield_tui.judgement.holes import Affected, compare, shipped_holes
from kubeshield_tui.model.cluster import BackendRecord, Inventory, ServiceRecord
from kubeshield_tui.model.expectation import Severity
from kubeshield_tui.model.finding import Finding
from kubeshield_tui.model.ids import finding_id

ADVISORY = "https://github.com/kubernetes/kubernetes/issues/"
SLICE_HOLE = "CVE-2021-25737"
"""The hole that let such slices in: where the API server has it, one that exists is no remnant."""

CLAIM = (
    "whoever may write {} can claim any address so, and nodes then send its traffic to that Service's pods "
    f"(CVE-2020-8554: every version, no release fixes it); see {ADVISORY}97076"
)

Pods = dict[str, tuple[str, str]]
"""Address -> (namespace, name) of its pod."""
Owners = dict[str, str]
"""Address -> the object that it belongs to."""


def object_findings(view: ClusterView) -> Iterator[Finding]:
    """Findings of Services and backends, one an object."""
    inventory = view.inventory
    owners = _owners(inventory)
    for service in inventory.services:
        yield from _external_addresses(service, owners, view)
        yield from _balancer_addresses(service, owners, view)
    selecting = {(each.namespace, each.name) for each in inventory.services if each.selector}
    pods = _pods(inventory)
    for record in inventory.backends:
        yield from _to_the_host(record, view)
        # A slice that a controller keeps is put right by it; an address of another's pod there is a late reading.
        kept = (record.namespace, record.service) in selecting and (record.managed or record.name == record.service)
        if not kept:
            yield from _to_other_namespaces(record, pods, view)


def address_of(text: str) -> IPv4Address | IPv6Address | None:
    """The address that a text is, None for names."""
    try:
        return ip_address(text)
    except ValueError:
        return None


def _pods(inventory: Inventory) -> Pods:
    """Pods on the host's network share its address and are left out."""
    return {
        address: (pod.namespace, pod.name)
        for pod in inventory.pods
        if not pod.host_network
        for address in pod.addresses
    }


def _owners(inventory: Inventory) -> Owners:
    owners = {address: f"Pod {namespace}/{name}" for address, (namespace, name) in _pods(inventory).items()}
    for service in inventory.services:
        owners.update(dict.fromkeys(service.addresses, f"Service {service.namespace}/{service.name}"))
    return owners


def _taken(addresses: Iterable[str], service: ServiceRecord, owners: Owners) -> Iterator[str]:
    """Sentences on addresses that a Service has no business with."""
    own = f"Service {service.namespace}/{service.name}"
    for text in addresses:
        address = address_of(text)
        if owners.get(text, own) != own:
            yield f"{text} is the address of {owners[text]}"
        elif address is not None and (address.is_loopback or address.is_link_local or address.is_unspecified):
            yield f"{text} is {_kind(address)}"


def _kind(address: IPv4Address | IPv6Address) -> str:
    if address.is_loopback:
        return "a loopback address: every node's own"
    return "a link-local address: cloud metadata and nodes' own services stand there"


def _external_addresses(service: ServiceRecord, owners: Owners, view: ClusterView) -> Iterator[Finding]:
    if not service.external_ips:
        return
    taken = list(_taken(service.external_ips, service, owners))
    shown = listed(list(service.external_ips))
    yield _Object(view.name, service.namespace, "Service", service.name).finding(
        "external-ips",
        Severity.HIGH if taken else Severity.MEDIUM,
        f"claims {shown} for itself" + (f": {taken[0]}" if taken else ""),
        (f"spec.externalIPs: {shown}", *taken, CLAIM.format("a Service")),
        "Remove addresses that nobody needs, and turn on the admission plugin DenyServiceExternalIPs or an admission "
        "policy that lists the addresses allowed.",
    )


def _balancer_addresses(service: ServiceRecord, owners: Owners, view: ClusterView) -> Iterator[Finding]:
    taken = list(_taken(service.balancers, service, owners))
    strange = bool(service.balancers) and service.type != "LoadBalancer"
    if not taken and not strange:
        return
    shown = listed(list(service.balancers))
    because = [f"status.loadBalancer: {shown}", *taken]
    if strange:
        because.append(f"the Service is of type {service.type}: no load balancer serves it")
    yield _Object(view.name, service.namespace, "Service", service.name).finding(
        "unexpected-balancer",
        Severity.HIGH if taken else Severity.MEDIUM,
        f"has the load balancer address {shown} in its status" + (f": {taken[0]}" if taken else ""),
        (*because, CLAIM.format("the status of a Service")),
        "Find out who wrote that status (the audit log of services/status names them), remove it, and give the right "
        "to write services/status to controllers only.",
    )


def _to_the_host(record: BackendRecord, view: ClusterView) -> Iterator[Finding]:
    addresses = [(each.address, address_of(each.address)) for each in record.backends]
    wrong = {text: _kind(found) for text, found in addresses if found and (found.is_loopback or found.is_link_local)}
    if not wrong:
        return
    hole = next(hole for hole in shipped_holes() if hole.id == SLICE_HOLE)
    compared = compare(hole, view.inventory.cluster.version)
    yield _backends(record, view).finding(
        "backend-on-host",
        Severity.HIGH if compared.affected is Affected.YES else Severity.MEDIUM,
        f"sends traffic to {listed(list(wrong))}",
        (
            *(f"{text} is {kind}" for text, kind in wrong.items()),
            f"the API server: {compared.sentence} ({SLICE_HOLE}); versions without that hole refuse new ones",
            f"see {hole.reference}",
        ),
        f"Remove the object and find out who wrote it. {hole.remedy}",
    )


def _to_other_namespaces(record: BackendRecord, pods: Pods, view: ClusterView) -> Iterator[Finding]:
    foreign = {
        each.address: pods[each.address]
        for each in record.backends
        if each.address in pods and pods[each.address][0] != record.namespace
    }
    if not foreign:
        return
    names = [f"{namespace}/{name} ({address})" for address, (namespace, name) in foreign.items()]
    trusted = (
        "load balancers and ingress controllers follow it, and NetworkPolicies that trust those do not stop it "
        "(CVE-2021-25740: every version, no release fixes it)"
    )
    yield _backends(record, view).finding(
        "cross-namespace-backend",
        Severity.MEDIUM,
        f"sends traffic to pods of another namespace: {listed(names)}",
        (f"no selector of a Service in {record.namespace} put them there", trusted, f"see {ADVISORY}103675"),
        "Remove the object if nobody meant it, and take the right to write Endpoints and EndpointSlices from the roles "
        "edit and admin (clusters that began before 1.22 still have it).",
    )


def _backends(record: BackendRecord, view: ClusterView) -> _Object:
    # An Endpoints object bears its Service's name; slices are named after it with something added.
    kind = "Endpoints" if record.name == record.service else "EndpointSlice"
    return _Object(view.name, record.namespace, kind, record.name)


class _Object(NamedTuple):
    cluster: str
    namespace: str
    kind: str
    name: str

    def finding(self, code: str, severity: Severity, what: str, because: tuple[str, ...], remedy: str) -> Finding:
        """A finding about this object."""
        name = f"{self.kind}/{self.name}"
        kubectl = f"kubectl --context {quote(self.cluster)} -n {quote(self.namespace)} get {self.kind.lower()}"
        return Finding(
            id=finding_id(code, self.cluster, self.namespace, name),
            code=code,
            severity=severity,
            title=f"{self.kind} {self.namespace}/{self.name} {what}",
            cluster=self.cluster,
            namespace=self.namespace,
            object=name,
            component="service",
            because=because,
            verify=(f"{kubectl} {quote(self.name)} -o yaml",),
            remedy=remedy,
        )
