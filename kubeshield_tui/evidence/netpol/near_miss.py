"""Why a rule does not match: field by field, in words; and whether it was only one field that failed."""

from __future__ import annotations

from ipaddress import ip_address
from typing import NamedTuple

from kubeshield_tui.evidence.netpol.match import (
    block_holds,
    peer_matches,
    peers_match,
    port_matches,
    ports_match,
    requirement_holds,
    selects,
)
from kubeshield_tui.evidence.netpol.party import LabelView, Party, PartyKind, Traffic
from kubeshield_tui.evidence.netpol.policy import (
    BlockPeer,
    DomainPeer,
    NodePeer,
    Peer,
    PodPeer,
    PortMatch,
    Rule,
    Selector,
)
from kubeshield_tui.evidence.netpol.tiers import Enquiry

LISTED = 5
"""Ports, or requirements, that one text names at most."""


class Miss(NamedTuple):
    """Why something does not match."""

    fields: int
    """How many fields failed."""
    text: str
    place: str = ""
    """Where one that failed stands: `from[1].podSelector`; of a whole rule `ingress[0].from[1].podSelector`."""


def rule_text(enquiry: Enquiry, rule: Rule) -> str:
    """`ingress[0]`, with the rule's name where it has one."""
    index = f"{enquiry.direction}[{rule.index}]"
    return f"{index} {rule.name}" if rule.name else index


def hit_text(enquiry: Enquiry, rule: Rule) -> str:
    """What a matching rule matches by."""
    parts = [_port_hit(rule, enquiry.destination, enquiry.traffic)]
    if rule.peers is None:
        parts.append("from anywhere" if enquiry.direction == "ingress" else "to anywhere")
    else:
        for peer in rule.peers:
            if peer_matches(peer, enquiry.peer, enquiry.profile) is True:
                parts.append(f"{peer.path} {peer_text(peer)}")
                break
    if rule.note:
        parts.append(rule.note)
    return ", ".join(parts)


def miss_of(enquiry: Enquiry, rule: Rule) -> Miss:
    """Why a rule does not match."""
    ports = ports_match(rule.ports, enquiry.destination, enquiry.traffic)
    fields, place, parts = 0, "", []
    if ports is False:
        fields, place = 1, "ports"
        parts.append(_port_miss(rule.ports or (), enquiry.destination, enquiry.traffic))
    else:
        parts.append(_port_hit(rule, enquiry.destination, enquiry.traffic))
    if rule.note:
        return Miss(fields + 2, f"{rule_text(enquiry, rule)}: {rule.note}")
    if rule.peers is not None and peers_match(rule.peers, enquiry.peer, enquiry.profile) is False:
        closest = min(
            (_peer_miss(peer, enquiry.peer) for peer in rule.peers), key=lambda miss: miss.fields, default=None
        )
        fields += closest.fields if closest else 2
        place = closest.place if closest else place
        others = f" (and {len(rule.peers) - 1} more)" if len(rule.peers) > 1 else ""
        parts.append(f"{closest.text}{others}" if closest else "it names no peer")
    elif fields:
        parts.append("the peer matches")
    where = f"{enquiry.direction}[{rule.index}].{place}" if place else ""
    return Miss(fields, f"{rule_text(enquiry, rule)}: {'; '.join(parts)}", where)


def _port_hit(rule: Rule, destination: Party, traffic: Traffic) -> str:
    if rule.ports is None:
        return "any port"
    for port in rule.ports:
        if port_matches(port, destination, traffic) is True:
            return f"port {traffic.port} ok" if not port.name else f"port '{port.name}' is {traffic.port}, ok"
    return f"port {traffic.port} may match"


def _port_miss(ports: tuple[PortMatch, ...], destination: Party, traffic: Traffic) -> str:
    if not ports:
        return "it names no port"
    listed = [_one_port(port, destination) for port in ports[:LISTED]]
    more = f" and {len(ports) - LISTED} more" if len(ports) > LISTED else ""
    return f"{', '.join(listed)}{more}: asked {traffic.port}/{traffic.protocol}"


def _one_port(port: PortMatch, destination: Party) -> str:
    if not port.name:
        return f"{port.path} {port.text}"
    if destination.kind is not PartyKind.POD:
        return f"{port.path} {port.text} is a pod's port, {destination.text} is none"
    found = [declared for declared in destination.ports if declared.name == port.name]
    if not found:
        return f"{port.path} {port.text} is not declared by {destination.text}"
    numbers = ", ".join(f"{declared.port}/{declared.protocol}" for declared in found)
    return f"{port.path} {port.text} is {numbers} on {destination.text}"


def peer_text(peer: Peer) -> str:
    """What a peer asks for."""
    match peer:
        case PodPeer():
            parts = []
            if peer.pods.namespaces is not None:
                parts.append(f"namespaceSelector {peer.pods.namespaces.text}")
            if peer.pods.pods is not None:
                parts.append(f"podSelector {peer.pods.pods.text}")
            return " and ".join(parts) or "every pod"
        case BlockPeer():
            return f"{'networks' if peer.admin else 'ipBlock'} {peer.block.text}"
        case NodePeer():
            return f"nodes {peer.nodes.text}"
        case DomainPeer():
            return f"domainNames {', '.join(peer.names[:LISTED])}"


def _peer_miss(peer: Peer, party: Party) -> Miss:
    match peer:
        case PodPeer():
            return _pods_miss(peer, party)
        case BlockPeer():
            return Miss(1, f"{peer.path} {peer_text(peer)}: {_block_miss(peer, party)}", peer.path)
        case NodePeer() if party.is_node_like:
            return Miss(1, f"{peer.path} nodes {_selector_miss(peer.nodes, party.node_labels)}", peer.path)
        case _:
            return Miss(1, f"{peer.path} {peer_text(peer)}: {party.text} is none of them", peer.path)


def _pods_miss(peer: PodPeer, party: Party) -> Miss:
    if party.kind is not PartyKind.POD:
        return Miss(1, f"{peer.path} {peer_text(peer)}: selectors match pods, {party.text} is none", peer.path)
    if party.host_network:
        why = f"{party.text} has its node's network, selectors do not match it"
        return Miss(1, f"{peer.path} {peer_text(peer)}: {why}", peer.path)
    fields, failed, parts = 0, "", []
    if peer.pods.namespace is not None and peer.pods.namespace != party.namespace:
        fields += 1
        parts.append(
            f"without namespaceSelector it means pods of {peer.pods.namespace}, {party.text} is in {party.namespace}"
        )
    if peer.pods.namespaces is not None and selects(peer.pods.namespaces, party.namespace_labels) is False:
        fields, failed = fields + 1, ".namespaceSelector"
        parts.append(f"namespaceSelector {_selector_miss(peer.pods.namespaces, party.namespace_labels)}")
    elif peer.pods.namespaces is not None:
        parts.append("namespaceSelector ok")
    if peer.pods.pods is not None and selects(peer.pods.pods, party.labels) is False:
        fields, failed = fields + 1, ".podSelector"
        parts.append(f"podSelector {_selector_miss(peer.pods.pods, party.labels)}")
    elif peer.pods.pods is not None:
        parts.append("podSelector ok")
    return Miss(fields, f"{peer.path} {', '.join(parts)}", peer.path + ("" if peer.admin else failed))


def _selector_miss(selector: Selector, labels: LabelView) -> str:
    """`app=api: pod shop/web has app=web`."""
    failed = [item for item in selector.requirements if requirement_holds(item, labels) is False]
    asked = ",".join(item.text for item in failed[:LISTED])
    keys = dict.fromkeys(item.key for item in failed[:LISTED])
    has = ",".join(f"{key}={labels.known[key]}" if key in labels.known else f"no {key}" for key in keys)
    return f"{asked}: {labels.owner} has {has}"


def _block_miss(peer: BlockPeer, party: Party) -> str:
    if block_holds(peer.block, party) is not False:
        return f"ranges are not compared with {party.text}"
    shown = ", ".join(str(ip_address(_bytes(version, value))) for version, value in party.addresses)
    for version, value in party.addresses:
        if version == peer.block.version and peer.block.first <= value <= peer.block.last:
            return f"{shown} is in its exceptions"
    families = {version for version, _ in party.addresses}
    family = f", and no IPv{peer.block.version} address" if peer.block.version not in families else ""
    return f"{shown} is not in it{family}"


def _bytes(version: int, value: int) -> bytes:
    return value.to_bytes(4 if version == 4 else 16, "big")
