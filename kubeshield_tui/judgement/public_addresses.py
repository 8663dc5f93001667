"""Addresses of a cluster that the whole internet can route to: a finding before anything is asked."""

from __future__ import annotations

from collections.abc import Iterator
from shlex import quote

from kubeshield_tui.judgement.components import API_SERVER
from kubeshield_tui.judgement.estate import Estate, listed
from kubeshield_tui.judgement.objects import address_of
from kubeshield_tui.judgement.reach import Reach, reach_of
from kubeshield_tui.model.cluster import NodeRecord, ServiceRecord
from kubeshield_tui.model.expectation import SEVERITIES, Severity
from kubeshield_tui.model.finding import NO_ENDPOINT, NO_VANTAGE, Finding
from kubeshield_tui.model.ids import finding_id
from kubeshield_tui.model.vantage import Zone

CONTROL_PLANE_ROLES = frozenset({"control-plane", "master"})
ANYBODY = frozenset({"0.0.0.0/0", "::/0"})
STOPPED_STEPS = 2
"""Steps of severity that a proven block from outside takes off."""
MAY_BE_HIDDEN = (
    "a firewall, a cloud's security group or address translation may still hide it: only probes from outside tell"
)


def public_addresses(estate: Estate) -> Iterator[Finding]:
    """One finding for the control plane, one for the nodes, one for load balancers, where any address is global."""
    control_plane: dict[str, str] = {
        endpoint.host: f"API server ({endpoint.source})"
        for endpoint in estate.endpoints
        if endpoint.component == API_SERVER and is_global(endpoint.host)
    }
    nodes: dict[str, str] = {}
    for node in estate.inventory.nodes:
        for address in filter(is_global, node.addresses):
            (control_plane if _is_control_plane(node) else nodes).setdefault(address, f"node {node.name}")
    balancers = {
        address: f"Service {service.namespace}/{service.name}{_ranges(service)}"
        for service in estate.inventory.services
        for address in filter(is_global, service.balancers)
    }
    context = f"kubectl --context {quote(estate.name)}"
    if control_plane:
        commands = (f"{context} get endpoints kubernetes", f"{context} get nodes -o wide")
        remedy = (
            "Give the control plane private addresses, or admit only known networks to them on a firewall in front."
        )
        yield _finding("control-plane", "the control plane", Severity.HIGH, control_plane, commands, remedy, estate)
    if nodes:
        remedy = (
            "Give nodes private addresses, or admit nothing but what must be public on a firewall in front of them."
        )
        yield _finding("nodes", "nodes", Severity.MEDIUM, nodes, (f"{context} get nodes -o wide",), remedy, estate)
    if balancers:
        commands = (f"{context} get services -A -o wide",)
        remedy = "Check that each of these is meant for everybody; use internal load balancers or source ranges for the rest."
        yield _finding("load-balancers", "load balancers", Severity.LOW, balancers, commands, remedy, estate)


def is_global(text: str) -> bool:
    """Whether an address is routed everywhere; names are not looked up."""
    address = address_of(text)
    return address is not None and address.is_global


def _is_control_plane(node: NodeRecord) -> bool:
    return bool(CONTROL_PLANE_ROLES & set(node.roles))


def _ranges(service: ServiceRecord) -> str:
    if not service.source_ranges or ANYBODY & set(service.source_ranges):
        return ""
    return f" (source ranges {', '.join(service.source_ranges)}, where the load balancer honours them)"


def _finding(
    which: str,
    whose: str,
    severity: Severity,
    addresses: dict[str, str],
    verify: tuple[str, ...],
    remedy: str,
    estate: Estate,
) -> Finding:
    outside = tuple(vantage for vantage in estate.vantages if vantage.zone is Zone.OUTSIDE)
    endpoints = tuple(endpoint for endpoint in estate.endpoints if endpoint.host in addresses)
    reach = reach_of(estate._replace(vantages=outside), endpoints)
    stopped = reach.measured == len(reach.stopped) > 0 == len(reach.unmeasured)
    if stopped:
        severity = SEVERITIES[max(SEVERITIES.index(severity) - STOPPED_STEPS, 0)]
    owners = [f"{address}: {owner}" for address, owner in addresses.items()]
    count = f"{len(addresses)} global address" + ("es" if len(addresses) > 1 else "")
    return Finding(
        id=finding_id("public-address", estate.name, which),
        code="public-address",
        severity=severity,
        title=f"{whose} of {estate.name}: {count}: {listed(list(addresses))}",
        endpoint=NO_ENDPOINT,
        vantage=NO_VANTAGE,
        cluster=estate.name,
        component=which,
        reached_from=reach.ids,
        because=(listed(owners), _outside(reach), *(() if reach.measured else (MAY_BE_HIDDEN,))),
        verify=verify,
        remedy=remedy,
    )


def _outside(reach: Reach) -> str:
    if reach.reached:
        return f"answers from outside: {listed([*reach.ids])}"
    if not reach.measured:
        return "nothing was measured from outside"
    stopped = listed([vantage.id for vantage in reach.stopped])
    unsure = listed([vantage.id for vantage in (*reach.not_proven, *reach.unmeasured)])
    said = [f"the ports that were asked do not answer {stopped}"] if stopped else []
    return "; ".join([*said, *([f"not proven to be blocked from {unsure}"] if unsure else [])])
