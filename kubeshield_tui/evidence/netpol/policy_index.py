"""Which policies speak of an end: indexed by namespace and label, remembered per class of ends that are alike.

Two ends are of one class when no policy that is here can tell them apart: the same labels as far as selectors ask for
them, the same ports as far as a rule names them, addresses between the same bounds of ranges.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator
from typing import TypeGuard
from weakref import WeakKeyDictionary

from kubeshield_tui.evidence.netpol.match import in_pod_set
from kubeshield_tui.evidence.netpol.party import LabelView, Party, PartyKind
from kubeshield_tui.evidence.netpol.policy import (
    BlockPeer,
    Direction,
    ObjectKey,
    OpaquePolicy,
    Operator,
    PodPeer,
    PodSet,
    Policy,
    Reach,
    Rule,
    Tier,
)
from kubeshield_tui.evidence.netpol.tiers import Selected, may_select, opaque_reason
from kubeshield_tui.evidence.netpol.tri import Tri, Unknown, both

AnyPolicy = Policy | OpaquePolicy
_Bucket = dict[tuple[str, str] | None, list[AnyPolicy]]
"""Policies of a namespace by a label that each of them asks for; None: those that ask for no one value."""


class PolicyIndex:
    """The policies of one cluster. Knows of pods only what it is asked about."""

    def __init__(self) -> None:
        self._policies: dict[ObjectKey, AnyPolicy] = {}
        self._by_namespace: dict[str, dict[ObjectKey, AnyPolicy]] = {}
        self._everywhere: dict[ObjectKey, AnyPolicy] = {}
        self._foreign: dict[ObjectKey, OpaquePolicy] = {}
        self._asked: Counter[Hashable] = Counter()
        self._bounds: dict[int, list[int]] | None = None
        self._buckets: dict[str, _Bucket] = {}
        self._classes: dict[Hashable, int] = {}
        self._of_party: WeakKeyDictionary[Party, int] = WeakKeyDictionary()
        self._selected: dict[str, dict[tuple[int, Direction], Selected]] = {}
        self.revision = 0
        """Changes when classes do."""

    def __iter__(self) -> Iterator[AnyPolicy]:
        return iter(self._policies.values())

    def __len__(self) -> int:
        return len(self._policies)

    def get(self, key: ObjectKey) -> AnyPolicy | None:
        """A policy."""
        return self._policies.get(key)

    def put(self, policy: AnyPolicy) -> str | None:
        """Add or replace a policy; returns the one namespace in which answers may change, None for all."""
        before = self.drop(policy.key)
        self._policies[policy.key] = policy
        namespace = policy.subject.namespace
        if _is_foreign(policy):
            self._foreign[policy.key] = policy
            namespace = None  # it speaks of whoever meets the pods that it selects
        elif namespace is None:
            self._everywhere[policy.key] = policy
        else:
            self._by_namespace.setdefault(namespace, {})[policy.key] = policy
        self._count(policy, 1)
        self._forget(namespace)
        return namespace if before in {"", namespace} else None

    def drop(self, key: ObjectKey) -> str | None:
        """Remove a policy; returns the namespace in which answers may change, None for all, empty for none."""
        policy = self._policies.pop(key, None)
        if policy is None:
            return ""
        namespace = policy.subject.namespace
        if _is_foreign(policy):
            del self._foreign[key]
            namespace = None
        elif namespace is None:
            del self._everywhere[key]
        else:
            del self._by_namespace[namespace][key]
        self._count(policy, -1)
        self._forget(namespace)
        return namespace

    def forget_classes(self) -> None:
        """Forget everything that was concluded: labels of namespaces or nodes have changed."""
        self.revision += 1
        self._classes.clear()
        self._of_party.clear()
        self._selected.clear()
        self._bounds = None

    def _forget(self, namespace: str | None) -> None:
        if namespace is None:
            self._selected.clear()
        else:
            self._selected.pop(namespace, None)
            self._buckets.pop(namespace, None)

    def _count(self, policy: AnyPolicy, step: int) -> None:
        changed = False
        for item in _asked(policy):
            before = self._asked[item]
            self._asked[item] = before + step
            if before + step == 0:
                del self._asked[item]
            changed = changed or 0 in {before, before + step}
        if changed:
            self.forget_classes()

    def class_of(self, party: Party) -> int:
        """The class of an end: those of one class get the same answers, apart from what ties them to each other.

        Namespaces stand apart: what counts is the subject's, and whether it is the peer's too.
        """
        found = self._of_party.get(party)
        if found is None:
            found = self._of_party[party] = self._classes.setdefault(self._class_key(party), len(self._classes))
        return found

    def _class_key(self, party: Party) -> Hashable:
        asked = self._asked
        return (
            party.kind,
            party.namespace if ("namespace", party.namespace) in asked else "",
            self._as_asked("pod", party.labels),
            self._as_asked("namespace", party.namespace_labels),
            tuple(
                (port.name, port.protocol, port.port, port.sidecar)
                for port in party.ports
                if port.name and ("port", port.name) in asked
            ),
            self._between(party),
            party.host_network,
            party.broken,
            party.node if party.is_node_like else "",
        )

    def _as_asked(self, whose: str, labels: LabelView) -> Hashable:
        """Labels as far as a selector can tell them apart: a value that none asks for is just another value."""
        asked = self._asked
        known = tuple(
            (key, value if (whose, key, value) in asked else None)
            for key, value in labels.known.items()
            if (whose, key) in asked
        )
        return known, frozenset(key for key in labels.open_keys if (whose, key) in asked), labels.is_partial

    def _between(self, party: Party) -> tuple[tuple[int, int], ...]:
        bounds = self.bounds()
        return tuple((version, bisect_right(bounds[version], value)) for version, value in party.addresses)

    def bounds(self) -> dict[int, list[int]]:
        """For each family the first addresses of the pieces that the ranges of all rules cut it into."""
        if self._bounds is None:
            found: dict[int, list[int]] = {4: [], 6: []}
            for item in self._asked:
                if isinstance(item, tuple) and item[0] in found:
                    found[item[0]].append(item[1])
            self._bounds = {version: sorted(values) for version, values in found.items()}
        return self._bounds

    def selected(self, party: Party, peer: Party, direction: Direction) -> Selected:
        """Policies that may speak of an end in a direction."""
        found = self._of_subject(party, direction)
        foreign = [policy for policy in self._foreign.values() if may_select(policy, peer) or may_select(policy, party)]
        return found._replace(opaque=(*found.opaque, *foreign)) if foreign else found

    def _of_subject(self, party: Party, direction: Direction) -> Selected:
        if party.kind is not PartyKind.POD:
            return Selected()
        remembered = self._selected.setdefault(party.namespace, {})
        key = (self.class_of(party), direction)
        found = remembered.get(key)
        if found is None:
            found = remembered[key] = self._select(party, direction)
        return found

    def _select(self, party: Party, direction: Direction) -> Selected:
        admin: list[tuple[Policy, Tri]] = []
        baseline: list[tuple[Policy, Tri]] = []
        network: list[tuple[AnyPolicy, Tri]] = []
        opaque = []
        for policy in (*self._everywhere.values(), *self._candidates(party)):
            if isinstance(policy, OpaquePolicy) and policy.reach is Reach.SUBJECT:
                if direction in policy.directions and may_select(policy, party):
                    opaque.append(policy)
                continue
            chosen = _chosen(policy, party, direction)
            if chosen is False:
                continue
            if isinstance(policy, OpaquePolicy) or policy.tier is Tier.NETWORK_POLICY:
                network.append((policy, chosen))
            else:
                (admin if policy.tier is Tier.ADMIN else baseline).append((policy, chosen))
        for tier in (admin, baseline):
            tier.sort(key=lambda item: (item[0].priority, item[0].key.text))
        network.sort(key=lambda item: item[0].key.text)
        opaque.sort(key=lambda policy: policy.key.text)
        return Selected(tuple(admin), tuple(network), tuple(baseline), tuple(opaque))

    def _candidates(self, party: Party) -> Iterable[AnyPolicy]:
        """Policies of a pod's namespace that its labels do not rule out at once."""
        policies = self._by_namespace.get(party.namespace)
        if not policies:
            return ()
        if party.labels.open_keys or party.labels.is_partial:
            return policies.values()
        buckets = self._buckets.get(party.namespace)
        if buckets is None:
            buckets = self._buckets[party.namespace] = {}
            for policy in policies.values():
                buckets.setdefault(_required_label(policy), []).append(policy)
        found = list(buckets.get(None, ()))
        for label in party.labels.known.items():
            found += buckets.get(label, ())
        return found


def _is_foreign(policy: AnyPolicy) -> TypeGuard[OpaquePolicy]:
    return isinstance(policy, OpaquePolicy) and policy.reach is Reach.EITHER_END


def _required_label(policy: AnyPolicy) -> tuple[str, str] | None:
    for requirement in policy.subject.pods.requirements if policy.subject.pods else ():
        if requirement.operator is Operator.IN and len(requirement.values) == 1:
            return requirement.key, requirement.values[0]
    return None


def _chosen(policy: AnyPolicy, party: Party, direction: Direction) -> Tri:
    """Whether a policy speaks of a pod in a direction."""
    if isinstance(policy, OpaquePolicy):
        if direction not in policy.directions:
            return False
        return both(in_pod_set(policy.subject, party), Unknown(reasons=frozenset({opaque_reason(policy)})))
    if policy.rules(direction) is None:
        return False
    if policy.tier is not Tier.NETWORK_POLICY and party.host_network:
        return False
    return in_pod_set(policy.subject, party)


def _asked(policy: AnyPolicy) -> Iterator[Hashable]:
    """What a policy asks of ends: labels and their values, names of ports, bounds of ranges."""
    yield from _asked_of_pods(policy.subject)
    if isinstance(policy, OpaquePolicy):
        # It speaks of peers by its subject, and so of the peers' namespace.
        yield "namespace", policy.subject.namespace
        return
    for rule in (*(policy.ingress or ()), *(policy.egress or ())):
        yield from _asked_by_rule(rule)


def _asked_by_rule(rule: Rule) -> Iterator[Hashable]:
    for port in rule.ports or ():
        if port.name:
            yield "port", port.name
    for peer in rule.peers or ():
        if isinstance(peer, PodPeer):
            yield from _asked_of_pods(peer.pods)
        elif isinstance(peer, BlockPeer):
            block = peer.block
            for first, last in ((block.first, block.last), *block.excepted):
                yield block.version, first
                yield block.version, last + 1


def _asked_of_pods(pods: PodSet) -> Iterator[Hashable]:
    for whose, selector in (("pod", pods.pods), ("namespace", pods.namespaces)):
        for requirement in selector.requirements if selector else ():
            yield whose, requirement.key
            for value in requirement.values:
                yield whose, requirement.key, value
