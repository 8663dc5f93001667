"""Addresses of a cluster that the whole internet can route to: a finding before anything is asked."""

from __future__ import annotations

from collections.abc import Iterator
from shlex import quote
from typing import NamedTuple

from kubeshield_tui.judgement.cluster_view import ClusterView, listed, lower
from kubeshield_tui.judgement.components import API_SERVER
from kubeshield_tui.judgement.objects import address_of
from kubeshield_tui.judgement.reach import Reach, reach_of
from kubeshield_tui.model.cluster import ServiceRecord
from kubeshield_tui.model.expectation import Severity
from kubeshield_tui.model.finding import Finding
from kubeshield_tui.model.ids import CellKey, finding_id
from kubeshield_tui.model.vantage import Zone
from kubeshield_tui.model.verdict import Verdict

CONTROL_PLANE_ROLES = frozenset({"control-plane", "master"})
ANYBODY = frozenset({"0.0.0.0/0", "::/0"})
STOPPED_STEPS = 2
"""Steps of severity that a proven block from outside takes off."""
MAY_BE_HIDDEN = (
    "a firewall, a cloud's security group or address translation may still hide it: only probes from outside tell"
)


class Group(NamedTuple):
    """Addresses that are looked at together: hundreds of nodes are one finding."""

    name: str
    severity: Severity
    verify: str
    """kubectl's arguments that show the addresses."""
    remedy: str


CONTROL_PLANE = Group(
    "control plane",
    Severity.HIGH,
    "get nodes,endpoints -n default -o wide",
    "Give the control plane private addresses, or admit only known networks to it on a firewall in front.",
)
NODES = Group(
    "nodes",
    Severity.MEDIUM,
    "get nodes -o wide",
    "Give nodes private addresses, or admit nothing but what must be public on a firewall in front of them.",
)
BALANCERS = Group(
    "load balancers",
    Severity.LOW,
    "get services -A -o wide",
    "Check that each is meant for everybody; use internal load balancers or source ranges for the rest.",
)


def public_addresses(view: ClusterView) -> Iterator[Finding]:
    """One finding for the control plane, one for the nodes, one for load balancers, where any address is global."""
    found: dict[Group, dict[str, str]] = {CONTROL_PLANE: {}, NODES: {}, BALANCERS: {}}
    for endpoint in view.endpoints:
        if endpoint.component == API_SERVER and is_global(endpoint.host):
            found[CONTROL_PLANE][endpoint.host] = f"API server ({endpoint.source})"
    for node in view.inventory.nodes:
        group = CONTROL_PLANE if CONTROL_PLANE_ROLES & set(node.roles) else NODES
        for address in filter(is_global, node.addresses):
            found[group].setdefault(address, f"node {node.name}")
    for service in view.inventory.services:
        for address in filter(is_global, service.balancers):
            found[BALANCERS][address] = f"Service {service.namespace}/{service.name}{_ranges(service)}"
    for group, addresses in found.items():
        if addresses:
            yield _finding(group, addresses, view)


def is_global(text: str) -> bool:
    """Whether an address is routed everywhere; names are not looked up."""
    address = address_of(text)
    return address is not None and address.is_global


def _ranges(service: ServiceRecord) -> str:
    if not service.source_ranges or ANYBODY & set(service.source_ranges):
        return ""
    return f" (source ranges {', '.join(service.source_ranges)}, where the load balancer honours them)"


def _finding(group: Group, addresses: dict[str, str], view: ClusterView) -> Finding:
    outside = tuple(vantage for vantage in view.vantages if vantage.zone is Zone.OUTSIDE)
    endpoints = tuple(endpoint for endpoint in view.endpoints if endpoint.host in addresses)
    reach = reach_of(view._replace(vantages=outside), endpoints)
    is_blocked = _is_blocked(reach, view)
    count = "a global address" if len(addresses) == 1 else f"{len(addresses)} global addresses"
    return Finding(
        id=finding_id("public-address", view.name, group.name.replace(" ", "-")),
        code="public-address",
        severity=lower(group.severity, STOPPED_STEPS if is_blocked else 0),
        title=f"{group.name} of {view.name}: {count} ({listed(list(addresses))})",
        cluster=view.name,
        reached_from=reach.ids,
        because=(
            listed([f"{address}: {owner}" for address, owner in addresses.items()]),
            _outside(reach),
            *(() if reach.reached or is_blocked else (MAY_BE_HIDDEN,)),
        ),
        verify=(f"kubectl --context {quote(view.name)} {group.verify}",),
        remedy=group.remedy,
    )


def _is_blocked(reach: Reach, view: ClusterView) -> bool:
    """Whether every vantage outside is proven to be stopped; that nothing listens on a port proves no wall."""
    if not reach.stopped or len(reach.stopped) < reach.measured + len(reach.unmeasured):
        return False
    return all(
        any(view.look(CellKey(each.id, vantage.id)).verdict is Verdict.BLOCKED for each in reach.endpoints)
        for vantage in reach.stopped
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
