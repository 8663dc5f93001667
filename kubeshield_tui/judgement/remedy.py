"""The smallest NetworkPolicy that closes an unwanted connection, and where none can: which rule is to be changed.

Policies are a union. A new one isolates pods that none isolated, and there it decides; where another policy isolates
them already a new one could only allow more, so the rule that admits is named instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from ipaddress import ip_address

from kubeshield_tui.evidence.netpol.match import in_pod_set, requirement_holds
from kubeshield_tui.evidence.netpol.party import End, EndKind, Party, Question, addresses_of
from kubeshield_tui.evidence.netpol.policy import (
    BlockPeer,
    Direction,
    ObjectKey,
    OpaquePolicy,
    Operator,
    Policy,
    Requirement,
    Tier,
)
from kubeshield_tui.evidence.netpol.world import World
from kubeshield_tui.judgement.admitting import Admitting, admission
from kubeshield_tui.judgement.draft import KIND, Draft, Raw
from kubeshield_tui.judgement.draft_peers import VOLATILE
from kubeshield_tui.judgement.leaving import (
    Closed,
    KeptPorts,
    block_parts,
    dns_part,
    kept_parts,
    kept_ports,
    places_of,
    pods_part,
    versions_of,
)
from kubeshield_tui.judgement.trial import KnownFlow
from kubeshield_tui.model.record import Record

EGRESS_NAME = "kubeshield-egress"
"""One a namespace: two policies that each close one address would admit each other's."""
_OPPOSITE = {
    Operator.IN: Operator.NOT_IN,
    Operator.NOT_IN: Operator.IN,
    Operator.EXISTS: Operator.DOES_NOT_EXIST,
    Operator.DOES_NOT_EXIST: Operator.EXISTS,
}
NAMES_SHOWN = 5


class Remedy(Record, frozen=True):
    """How to close something."""

    draft: Draft | None = None
    """None: no new policy can close it."""
    admitting: tuple[Admitting, ...] = ()
    """Rules of other policies that admit it, and would go on doing so."""
    notes: tuple[str, ...] = ()


def close_leaving(world: World, namespace: str, closed: Sequence[Closed], flows: Iterable[KnownFlow] = ()) -> Remedy:
    """Close addresses to the pods of a namespace and keep all else that they may reach. `flows`: what is known of
    their connections; legitimate ones are kept.
    """
    own = ObjectKey(kind=KIND, namespace=namespace, name=EGRESS_NAME)
    earlier, earlier_ports, left_out = _closed_before(world.policies.get(own))
    listed = list({item.address: item for item in (*earlier, *closed)}.values())
    pods = [pod for pod in world.pods_in(namespace) if not (pod.is_finished or pod.host_network)]
    isolating = [policy for policy in world.policies if _isolates(policy, namespace) and policy.key != own]
    bound = [pod for pod in pods if any(in_pod_set(policy.subject, pod) is not False for policy in isolating)]
    free = [pod for pod in pods if pod not in bound]
    known = list(flows)
    needing = _needing(world, free, closed, known)
    admitting = tuple(_admitting(world, bound, closed, own))
    notes = [*_notes(world, namespace), *_unread(world, pods)]
    is_everybody = any(not (policy.subject.pods and policy.subject.pods.requirements) for policy in isolating)
    if is_everybody or (pods and not free):
        return Remedy(admitting=admitting, notes=tuple(notes))
    subject, missed = _subject(free, isolating, needing, left_out)
    if missed:
        notes.append(f"not covered, no label tells them from those left out: {_listed(missed)}")
    kept = kept_ports(world, namespace, listed, known)
    for address, ports in earlier_ports.items():
        kept.setdefault(address, set()).update(ports)
    pods_rule, unlabelled = pods_part(world, listed)
    draft = Draft(
        namespace=namespace,
        name=EGRESS_NAME,
        direction=Direction.EGRESS,
        subject=subject,
        parts=(dns_part(world), *block_parts(world, listed), pods_rule, *kept_parts(kept, (*listed, *closed))),
        says=(
            f"Pods of {namespace} may no longer reach {_what(world, listed)}.",
            "All else stays as it was: an egress policy denies what it does not admit, so the rules admit the rest.",
            *([f"Pods that other egress policies select are left out: {_listed(bound)}."] if bound else []),
            *([f"Pods that need it are left out: {_listed(needing)}."] if needing else []),
        ),
    )
    return Remedy(draft=draft, admitting=admitting, notes=(*notes, *unlabelled))


def _what(world: World, closed: Iterable[Closed]) -> str:
    shown = [
        f"{item.address} ({item.says})" for item in closed if ip_address(item.address).version in versions_of(world)
    ]
    return shown[0] if len(shown) == 1 else f"the {len(shown)} addresses that are excepted below"


def _closed_before(
    policy: Policy | OpaquePolicy | None,
) -> tuple[list[Closed], KeptPorts, tuple[Requirement, ...]]:
    """What our policy of that name closes already, the ports that it keeps, and what it asks of pods."""
    closed: list[Closed] = []
    kept: KeptPorts = {}
    for rule in (policy.egress or ()) if isinstance(policy, Policy) else ():
        for peer in rule.peers or ():
            if not isinstance(peer, BlockPeer):
                continue
            size = 4 if peer.block.version == 4 else 16
            for first, _ in peer.block.excepted:
                closed.append(Closed(address=str(ip_address(first.to_bytes(size, "big"))), says="closed before"))
            if peer.block.first == peer.block.last:
                ports = {(port.protocol or "TCP", port.first) for port in rule.ports or ()}
                kept.setdefault(str(ip_address(peer.block.first.to_bytes(size, "big"))), set()).update(ports)
    asks = policy.subject.pods.requirements if isinstance(policy, Policy) and policy.subject.pods else ()
    return closed, kept, asks


def _isolates(policy: Policy | OpaquePolicy, namespace: str) -> bool:
    """Whether a NetworkPolicy isolates pods of a namespace for what leaves them, or may; those of tomorrow too."""
    if policy.subject.namespace != namespace:
        return False
    if isinstance(policy, OpaquePolicy):
        return Direction.EGRESS in policy.directions
    return policy.tier is Tier.NETWORK_POLICY and policy.egress is not None


def _needing(world: World, pods: Iterable[Party], closed: Iterable[Closed], flows: Iterable[KnownFlow]) -> list[Party]:
    """Pods that legitimately reach what is to be closed."""
    places = {(value, item.port) for item in closed for value in addresses_of((item.address,))}
    needing = {
        pod
        for flow in flows
        if flow.is_legitimate
        for pod, value, (_, port) in places_of(world, flow)
        if not places.isdisjoint({(value, port), (value, 0)})
    }
    return [pod for pod in pods if pod.text in needing]


def _admitting(world: World, pods: Iterable[Party], closed: Iterable[Closed], own: ObjectKey) -> Iterator[Admitting]:
    """Rules that admit what is to be closed, each once; pods of one class are asked once."""
    seen: set[tuple[ObjectKey, str]] = set()
    for pod in {world.policies.class_of(pod): pod for pod in pods}.values():
        source = End(kind=EndKind.POD, namespace=pod.namespace, name=pod.name)
        for item in closed:
            destination = End(kind=EndKind.ADDRESS, name=item.address)
            question = Question(source=source, destination=destination, port=item.port or 80)
            for rule in admission(world, question, Direction.EGRESS, (own,)).rules:
                if (rule.policy, rule.rule) not in seen:
                    seen.add((rule.policy, rule.rule))
                    yield rule


def _subject(
    free: Sequence[Party],
    policies: Iterable[Policy | OpaquePolicy],
    needing: Sequence[Party],
    before: Iterable[Requirement],
) -> tuple[Raw, list[Party]]:
    """A podSelector of the pods that are free, as far as one can be written; and those of them that it misses.

    `before`: what an earlier policy of ours asks of pods, which is kept.
    """
    unlike: dict[Requirement, None] = dict.fromkeys(before)
    wanted = [pod for pod in free if pod not in needing]
    subjects = {policy.key: policy.subject.pods for policy in policies}
    groups = [selector.requirements for selector in subjects.values() if selector]
    groups += [_labels_of(pod) for pod in needing]
    for requirements in groups:
        if requirements:
            opposites = [_opposite(requirement) for requirement in requirements]
            unlike[min(opposites, key=lambda opposite: len(_without(opposite, wanted)))] = None
    missed = {pod.text: pod for requirement in unlike for pod in _without(requirement, wanted)}
    if not unlike:
        return {}, []
    return {"matchExpressions": [_expression(requirement) for requirement in unlike]}, list(missed.values())


def _labels_of(pod: Party) -> tuple[Requirement, ...]:
    labels = sorted(pod.labels.known.items())
    return tuple(
        Requirement(key=key, operator=Operator.IN, values=(value,)) for key, value in labels if key not in VOLATILE
    )


def _opposite(requirement: Requirement) -> Requirement:
    return Requirement(key=requirement.key, operator=_OPPOSITE[requirement.operator], values=requirement.values)


def _without(requirement: Requirement, pods: Iterable[Party]) -> list[Party]:
    """Pods that do not meet a requirement."""
    return [pod for pod in pods if requirement_holds(requirement, pod.labels) is not True]


def _expression(requirement: Requirement) -> Raw:
    values = {"values": list(requirement.values)} if requirement.values else {}
    return {"key": requirement.key, "operator": requirement.operator.value, **values}


def _notes(world: World, namespace: str) -> Iterator[str]:
    on_nodes = [pod for pod in world.pods_in(namespace) if pod.host_network and not pod.is_finished]
    if on_nodes:
        yield f"no policy reaches pods on their node's network: {_listed(on_nodes)}"


def _unread(world: World, pods: Iterable[Party]) -> Iterator[str]:
    found = {
        policy.key: policy for pod in pods for policy in world.policies.selected(pod, pod, Direction.EGRESS).opaque
    }
    for policy in found.values():
        yield f"{policy.key.text} may overrule it: {policy.why}"


def _listed(pods: Sequence[Party]) -> str:
    names = sorted(pod.text for pod in pods)
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return f"{', '.join(names[:NAMES_SHOWN])}{more}"
