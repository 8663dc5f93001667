"""Whether selectors, address ranges and ports match an end of a connection: yes, no or unknown."""

from __future__ import annotations

from collections.abc import Iterable

from kubeshield_tui.evidence.netpol.party import LabelView, Party, PartyKind, Traffic
from kubeshield_tui.evidence.netpol.policy import (
    Block,
    BlockPeer,
    NodePeer,
    Operator,
    Peer,
    PodPeer,
    PodSet,
    PortMatch,
    Requirement,
    Rule,
    Selector,
)
from kubeshield_tui.evidence.netpol.profile import Profile, knob
from kubeshield_tui.evidence.netpol.tri import Assumption, Tri, both, either, unknown


def requirement_holds(requirement: Requirement, labels: LabelView) -> Tri:
    """Whether labels meet one requirement. A label that is missing meets NotIn too."""
    value = labels.known.get(requirement.key)
    if value is None and (labels.is_partial or requirement.key in labels.open_keys):
        return unknown(Assumption.LABEL_NOT_KNOWN, f"{requirement.key} of {labels.owner}")
    operator = requirement.operator
    if operator is Operator.IN:
        return value in requirement.values
    if operator is Operator.NOT_IN:
        return value not in requirement.values
    return (value is not None) is (operator is Operator.EXISTS)


def selects(selector: Selector, labels: LabelView) -> Tri:
    """Whether a selector matches labels."""
    found: Tri = True
    for requirement in selector.requirements:
        holds = requirement_holds(requirement, labels)
        if holds is False:
            return False
        found = both(found, holds)
    return found


def in_pod_set(pods: PodSet, party: Party) -> Tri:
    """Whether a pod is in a set of pods, by namespace and labels alone."""
    if pods.namespace is not None and pods.namespace != party.namespace:
        return False
    namespaces = selects(pods.namespaces, party.namespace_labels) if pods.namespaces else True
    return both(namespaces, selects(pods.pods, party.labels) if pods.pods else True)


def block_holds(block: Block, party: Party) -> Tri:
    """Whether an address range holds the address of an end; unknown where only some, or none, of them is known."""
    held = {
        version == block.version
        and block.first <= value <= block.last
        and not any(first <= value <= last for first, last in block.excepted)
        for version, value in party.addresses
    }
    if len(held) == 1:
        return held.pop()
    return unknown(Assumption.ADDRESS_NOT_KNOWN, f"{block.text} and {party.text}")


def peer_matches(peer: Peer, party: Party, profile: Profile) -> Tri:
    """Whether a rule's peer is this end."""
    if isinstance(peer, PodPeer):
        return _pod_peer(peer, party, profile)
    if isinstance(peer, BlockPeer):
        return _block_peer(peer, party, profile)
    if isinstance(peer, NodePeer):
        return selects(peer.nodes, party.node_labels) if party.is_node_like else False
    return unknown(Assumption.DOMAIN_NAME, f"{', '.join(peer.names)} and {party.text}")


def _pod_peer(peer: PodPeer, party: Party, profile: Profile) -> Tri:
    if party.kind is not PartyKind.POD or (peer.admin and party.host_network):
        return False
    found = in_pod_set(peer.pods, party)
    if found is False or not party.host_network:
        return found
    return both(found, knob(profile.hostnetwork_peer, Assumption.HOSTNETWORK_PEER, party.text))


def _block_peer(peer: BlockPeer, party: Party, profile: Profile) -> Tri:
    if peer.admin or party.kind is PartyKind.OUTSIDE:
        return block_holds(peer.block, party)
    # The choice comes first: a plugin that never compares pods with ranges needs no address of theirs.
    if party.is_node_like:
        choice = knob(profile.ipblock_matches_nodes, Assumption.IPBLOCK_NODES, f"{peer.block.text} and {party.text}")
    else:
        choice = knob(profile.ipblock_matches_pods, Assumption.IPBLOCK_PODS, f"{peer.block.text} and {party.text}")
    return both(choice, block_holds(peer.block, party))


def port_matches(port: PortMatch, destination: Party, traffic: Traffic) -> Tri:
    """Whether a rule's port is the one that is asked for. Names are looked up on the destination pod."""
    if port.protocol is not None and port.protocol != traffic.protocol:
        return False
    if not port.name:
        return port.first <= traffic.port <= port.last
    return _named_port(port, destination, traffic)


def _named_port(port: PortMatch, destination: Party, traffic: Traffic) -> Tri:
    # Nodes and addresses outside declare no ports: no name ever matches them.
    declared = [found for found in destination.ports if found.name == port.name]
    ours = [found for found in declared if found.protocol == traffic.protocol]
    plain = [found for found in ours if not found.sidecar]
    if plain and plain[0].port == traffic.port:
        if len({found.port for found in plain}) == 1:
            return True
        return unknown(Assumption.PORT_NAME_TWICE, f"'{port.name}' of {destination.text}")
    if any(found.port == traffic.port for found in plain):
        return unknown(Assumption.PORT_NAME_TWICE, f"'{port.name}' of {destination.text}")
    if any(found.port == traffic.port for found in ours):
        return unknown(Assumption.SIDECAR_PORT, f"'{port.name}' of {destination.text}")
    return False


def rule_matches(rule: Rule, peer: Party, destination: Party, traffic: Traffic, profile: Profile) -> Tri:
    """Whether a rule matches: one of its ports, and one of its peers."""
    ports = ports_match(rule.ports, destination, traffic)
    if ports is False or rule.peers is None:
        return ports
    return both(ports, peers_match(rule.peers, peer, profile))


def peers_match(peers: Iterable[Peer], party: Party, profile: Profile) -> Tri:
    """Whether one of a rule's peers is this end."""
    found: Tri = False
    for peer in peers:
        found = either(found, peer_matches(peer, party, profile))
        if found is True:
            break
    return found


def ports_match(ports: Iterable[PortMatch] | None, destination: Party, traffic: Traffic) -> Tri:
    """Whether one of a rule's ports is the one that is asked for."""
    if ports is None:
        return True
    found: Tri = False
    for port in ports:
        found = either(found, port_matches(port, destination, traffic))
        if found is True:
            break
    return found
