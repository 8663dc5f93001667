"""What Services and their backends give away before anything is asked: addresses that are somebody else's.

Sources: the advisories of CVE-2020-8554, CVE-2021-25737 and CVE-2021-25740, which tell how to look for each.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address
from shlex import quote

from kubeshield_tui.judgement.estate import Estate, listed
from kubeshield_tui.judgement.holes import Affected, compare, shipped_holes
from kubeshield_tui.model.cluster import BackendRecord, Inventory, ServiceRecord
from kubeshield_tui.model.expectation import Severity
from kubeshield_tui.model.finding import NO_ENDPOINT, NO_VANTAGE, Finding
from kubeshield_tui.model.ids import finding_id

ADVISORY = "https://github.com/kubernetes/kubernetes/issues/"
SLICE_HOLE = "CVE-2021-25737"
"""The hole that let such slices in: where the API server has it, one that exists is no remnant."""

Owners = dict[str, str]
"""Address -> the object that it belongs to."""


def object_findings(estate: Estate) -> Iterator[Finding]:
    """Findings of Services and backends, one an object."""
    inventory = estate.inventory
    owners = _owners(inventory)
    for service in inventory.services:
        yield from _external_addresses(service, owners, estate)
        yield from _balancer_addresses(service, owners, estate)
    selecting = {(each.namespace, each.name) for each in inventory.services if each.selector}
    pods = _pods(inventory)
    for record in inventory.backends:
        yield from _to_the_host(record, estate)
        # A slice that a controller keeps is put right by it; an address of another's pod there is a late reading.
        kept = (record.namespace, record.service) in selecting and (record.managed or record.name == record.service)
        if not kept:
            yield from _to_other_namespaces(record, pods, estate)


def address_of(text: str) -> IPv4Address | IPv6Address | None:
    """The address that a text is, None for names."""
    try:
        return ip_address(text)
    except ValueError:
        return None


def _pods(inventory: Inventory) -> dict[str, tuple[str, str]]:
    """Address -> (namespace, name) of its pod; pods on the host's network share its address and are left out."""
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


def _external_addresses(service: ServiceRecord, owners: Owners, estate: Estate) -> Iterator[Finding]:
    if not service.external_ips:
        return
    taken = list(_taken(service.external_ips, service, owners))
    shown = listed(list(service.external_ips))
    yield _of_service(
        "external-ips",
        Severity.HIGH if taken else Severity.MEDIUM,
        f"claims {shown} for itself" + (f": {taken[0]}" if taken else ""),
        (
            f"spec.externalIPs: {shown}",
            *taken,
            "whoever may write a Service can claim any address so, and nodes then send its traffic to that Service's "
            "pods (CVE-2020-8554: every version, no release fixes it)",
            f"see {ADVISORY}97076",
        ),
        service,
        "Remove addresses that nobody needs, and turn on the admission plugin DenyServiceExternalIPs or an admission "
        "policy that lists the addresses allowed.",
        estate,
    )


def _balancer_addresses(service: ServiceRecord, owners: Owners, estate: Estate) -> Iterator[Finding]:
    taken = list(_taken(service.balancers, service, owners))
    strange = bool(service.balancers) and service.type != "LoadBalancer"
    if not taken and not strange:
        return
    shown = listed(list(service.balancers))
    yield _of_service(
        "unexpected-balancer",
        Severity.HIGH if taken else Severity.MEDIUM,
        f"has the load balancer address {shown} in its status" + (f": {taken[0]}" if taken else ""),
        (
            f"status.loadBalancer: {shown}",
            *taken,
            *([f"the Service is of type {service.type}: no load balancer serves it"] if strange else ()),
            "whoever may write the status of a Service can claim any address so (CVE-2020-8554: every version, no "
            "release fixes it)",
            f"see {ADVISORY}97076",
        ),
        service,
        "Find out who wrote that status (the audit log of services/status names them), remove it, and give the right "
        "to write services/status to controllers only.",
        estate,
    )


def _of_service(
    code: str,
    severity: Severity,
    what: str,
    because: tuple[str, ...],
    service: ServiceRecord,
    remedy: str,
    estate: Estate,
) -> Finding:
    kubectl = f"kubectl --context {quote(estate.name)} -n {quote(service.namespace)}"
    fields = "{.spec.type} {.spec.externalIPs} {.status.loadBalancer}"
    return Finding(
        id=finding_id(code, estate.name, service.namespace, f"Service/{service.name}"),
        code=code,
        severity=severity,
        title=f"Service {service.namespace}/{service.name} {what}",
        endpoint=NO_ENDPOINT,
        vantage=NO_VANTAGE,
        cluster=estate.name,
        namespace=service.namespace,
        object=f"Service/{service.name}",
        component="service",
        because=because,
        verify=(f"{kubectl} get service {quote(service.name)} -o jsonpath='{fields}'",),
        remedy=remedy,
    )


def _to_the_host(record: BackendRecord, estate: Estate) -> Iterator[Finding]:
    addresses = [(each.address, address_of(each.address)) for each in record.backends]
    wrong = {text: _kind(found) for text, found in addresses if found and (found.is_loopback or found.is_link_local)}
    if not wrong:
        return
    hole = next(hole for hole in shipped_holes() if hole.id == SLICE_HOLE)
    compared = compare(hole, estate.inventory.cluster.version)
    yield _of_backends(
        "backend-on-host",
        Severity.HIGH if compared.affected is Affected.YES else Severity.MEDIUM,
        f"sends traffic to {listed(list(wrong))}",
        (
            *(f"{text} is {kind}" for text, kind in wrong.items()),
            f"the API server: {compared.sentence} ({SLICE_HOLE}); versions without that hole refuse new ones",
            f"see {hole.reference}",
        ),
        record,
        f"Remove the object and find out who wrote it. {hole.remedy}",
        estate,
    )


def _to_other_namespaces(record: BackendRecord, pods: dict[str, tuple[str, str]], estate: Estate) -> Iterator[Finding]:
    foreign = {
        each.address: pods[each.address]
        for each in record.backends
        if each.address in pods and pods[each.address][0] != record.namespace
    }
    if not foreign:
        return
    names = [f"{namespace}/{name}" for namespace, name in foreign.values()]
    yield _of_backends(
        "cross-namespace-backend",
        Severity.MEDIUM,
        f"sends traffic to pods of another namespace: {listed(names)}",
        (
            *(f"{text} is Pod {namespace}/{name}" for text, (namespace, name) in list(foreign.items())[:5]),
            f"no selector of a Service in {record.namespace} keeps it",
            "load balancers and ingress controllers follow it, and NetworkPolicies that trust those do not stop it "
            "(CVE-2021-25740: every version, no release fixes it)",
            f"see {ADVISORY}103675",
        ),
        record,
        "Remove the object if nobody meant it, and take the right to write Endpoints and EndpointSlices from the roles "
        "edit and admin (clusters that began before 1.22 still have it).",
        estate,
    )


def _of_backends(
    code: str,
    severity: Severity,
    what: str,
    because: tuple[str, ...],
    record: BackendRecord,
    remedy: str,
    estate: Estate,
) -> Finding:
    kind = "Endpoints" if record.name == record.service else "EndpointSlice"
    kubectl = f"kubectl --context {quote(estate.name)} -n {quote(record.namespace)}"
    return Finding(
        id=finding_id(code, estate.name, record.namespace, f"{kind}/{record.name}"),
        code=code,
        severity=severity,
        title=f"{kind} {record.namespace}/{record.name} {what}",
        endpoint=NO_ENDPOINT,
        vantage=NO_VANTAGE,
        cluster=estate.name,
        namespace=record.namespace,
        object=f"{kind}/{record.name}",
        component="service",
        because=because,
        verify=(f"{kubectl} get endpointslices,endpoints -o wide", f"{kubectl} get services -o wide"),
        remedy=remedy,
    )
