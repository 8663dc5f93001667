"""What the policies that select one end say of a connection, tier by tier: the outcomes that are possible.

Admin, then NetworkPolicy, then Baseline; what no tier decides is allowed. Each tier gives a set of possible outcomes,
and to learn more only ever makes the set smaller: an answer found later always lies within the unknown one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import NamedTuple

from kubeshield_tui.evidence.netpol.match import in_pod_set, rule_matches
from kubeshield_tui.evidence.netpol.party import TRANSPORTS, Party, PartyKind, Traffic, same_node, same_pod
from kubeshield_tui.evidence.netpol.policy import Action, Direction, ObjectKey, OpaquePolicy, Policy, Reach, Rule
from kubeshield_tui.evidence.netpol.profile import Profile, knob
from kubeshield_tui.evidence.netpol.tri import (
    Assumption,
    Reason,
    Tri,
    Unknown,
    both,
    either,
    reasons_of,
    unknown,
)
from kubeshield_tui.model.prediction import Predicted
from kubeshield_tui.model.record import Record

ALLOW, DENY, PASS, NEXT = 1, 2, 4, 8
"""Bits of a set of outcomes; NEXT: the policy, or the tier, does not decide."""
_BIT = {Action.ALLOW: ALLOW, Action.DENY: DENY, Action.PASS: PASS}


class RuleKey(Record, frozen=True):
    """One rule of one policy."""

    policy: ObjectKey
    direction: Direction
    index: int


class Without(Record, frozen=True):
    """What is left out of an evaluation: what would be if it were not there."""

    everything: bool = False
    policies: frozenset[ObjectKey] = frozenset()
    rules: frozenset[RuleKey] = frozenset()


NOTHING = Without()
EVERY_POLICY = Without(everything=True)


class Outcome(NamedTuple):
    """A set of possible outcomes, and what the choice between them hangs on."""

    mask: int
    reasons: frozenset[Reason] = frozenset()

    @property
    def verdict(self) -> Predicted:
        """Allow or deny where nothing else is possible."""
        return {ALLOW: Predicted.ALLOW, DENY: Predicted.DENY}.get(self.mask, Predicted.UNKNOWN)


class Selected(NamedTuple):
    """Policies that may speak of one end in one direction, each with whether it selects it."""

    admin: tuple[tuple[Policy, Tri], ...] = ()
    """In the order of priority, then name."""
    network: tuple[tuple[Policy | OpaquePolicy, Tri], ...] = ()
    """In the order of name."""
    baseline: tuple[tuple[Policy, Tri], ...] = ()
    opaque: tuple[OpaquePolicy, ...] = ()
    """Those that may overrule all others."""


class Enquiry(NamedTuple):
    """One direction of one connection."""

    direction: Direction
    subject: Party
    """The end whose policies are asked."""
    peer: Party
    traffic: Traffic
    profile: Profile
    without: Without = NOTHING
    is_hairpin: bool = False
    """It goes through a Service: a pod may meet itself."""

    @property
    def destination(self) -> Party:
        """The end that ports belong to."""
        return self.subject if self.direction is Direction.INGRESS else self.peer

    def rules(self, policy: Policy) -> Sequence[Rule]:
        """Rules of a policy in this direction, without those that are left out."""
        rules = (policy.egress if self.direction is Direction.EGRESS else policy.ingress) or ()
        if self.without is NOTHING or not self.without.rules:
            return rules
        return [
            rule
            for rule in rules
            if RuleKey(policy=policy.key, direction=self.direction, index=rule.index) not in self.without.rules
        ]

    def matches(self, rule: Rule) -> Tri:
        """Whether a rule matches this connection."""
        return rule_matches(rule, self.peer, self.destination, self.traffic, self.profile)

    def is_left_out(self, policy: Policy | OpaquePolicy) -> bool:
        """Whether a policy is to be taken as not there."""
        without = self.without
        return without is not NOTHING and (without.everything or policy.key in without.policies)


def outcome_of(enquiry: Enquiry, selected: Selected) -> Outcome:
    """The outcomes that are possible in one direction: allow, deny, or both."""
    subject, peer = enquiry.subject, enquiry.peer
    broken = [party for party in (subject, peer) if party.broken]
    if broken:
        reasons = (Reason(assumption=Assumption.UNDECIDABLE, about=f"pod {it.text}, {it.broken}") for it in broken)
        return Outcome(ALLOW | DENY, frozenset(reasons))
    if not any(selected):
        return Outcome(ALLOW)  # nothing that is here speaks of the subject
    itself = same_pod(subject, peer)
    if itself is True and not enquiry.is_hairpin:
        return Outcome(ALLOW)  # a pod always reaches its own address
    opaque = [policy for policy in selected.opaque if not enquiry.is_left_out(policy)]
    if opaque:
        return Outcome(ALLOW | DENY, frozenset(map(opaque_reason, opaque)))
    always = either(always_allowed(enquiry), itself if not enquiry.is_hairpin else False)
    if always is True:
        return Outcome(ALLOW)
    found = _through_tiers(enquiry, selected)
    return found if always is False else Outcome(found.mask | ALLOW, found.reasons | reasons_of(always))


def always_allowed(enquiry: Enquiry) -> Tri:
    """Whether a pod's connection is allowed whatever policies say, since its own node is the other end."""
    subject, peer = enquiry.subject, enquiry.peer
    if not peer.is_node_like:
        return False
    local = same_node(subject, peer)
    if enquiry.direction is Direction.INGRESS:
        return local
    return both(local, knob(enquiry.profile.pod_to_own_node, Assumption.POD_TO_OWN_NODE, subject.text))


def _through_tiers(enquiry: Enquiry, selected: Selected) -> Outcome:
    if enquiry.traffic.protocol not in TRANSPORTS:
        listed = [policy for policy, _ in (*selected.admin, *selected.network, *selected.baseline)]
        if all(enquiry.is_left_out(policy) for policy in listed):
            return Outcome(ALLOW)
        return Outcome(
            ALLOW | DENY, frozenset({Reason(assumption=Assumption.PROTOCOL, about=enquiry.traffic.protocol)})
        )
    mask, reasons = _ordered_tier(enquiry, selected.admin)
    if mask & NEXT:
        tier = _network_tier(enquiry, selected.network)
        mask, reasons = (mask & ~NEXT) | tier.mask, reasons | tier.reasons
    if mask & NEXT:
        tier = _ordered_tier(enquiry, selected.baseline)
        mask, reasons = (mask & ~NEXT) | tier.mask, reasons | tier.reasons
    if mask & NEXT:
        mask = (mask & ~NEXT) | ALLOW
    return Outcome(mask, reasons)


def _network_tier(enquiry: Enquiry, selected: Iterable[tuple[Policy | OpaquePolicy, Tri]]) -> Outcome:
    """The union of NetworkPolicies: the first rule that surely matches allows."""
    mask, is_isolated, reasons = 0, False, frozenset[Reason]()
    for policy, chosen in selected:
        if enquiry.is_left_out(policy):
            continue
        matched = network_match(enquiry, policy)
        if chosen is True and matched is True:
            mask, is_isolated = ALLOW, True
            reasons = frozenset()
            break
        is_isolated = is_isolated or chosen is True
        mask |= (ALLOW if matched is not False else 0) | (DENY if matched is not True else 0)
        reasons |= reasons_of(chosen) | reasons_of(matched)
    if not is_isolated:
        mask |= NEXT
    exempt = exempt_of(enquiry)
    if exempt is True:
        return Outcome(NEXT)
    return Outcome(mask, reasons) if exempt is False else Outcome(mask | NEXT, reasons | reasons_of(exempt))


def network_match(enquiry: Enquiry, policy: Policy | OpaquePolicy) -> Tri:
    """Whether one of a NetworkPolicy's rules allows this connection."""
    if isinstance(policy, OpaquePolicy):
        return Unknown(reasons=frozenset({opaque_reason(policy)}))
    found: Tri = False
    for rule in enquiry.rules(policy):
        found = either(found, enquiry.matches(rule))
        if found is True:
            break
    return found


def exempt_of(enquiry: Enquiry) -> Tri:
    """Whether NetworkPolicies do not apply to the subject at all."""
    exempt: Tri = False
    if enquiry.subject.host_network:
        applies = enquiry.profile.hostnetwork_subject
        exempt = unknown(Assumption.HOSTNETWORK_SUBJECT, enquiry.subject.text) if applies is None else not applies
    if enquiry.is_hairpin:
        itself = same_pod(enquiry.subject, enquiry.peer)
        exempt = either(exempt, both(itself, knob(enquiry.profile.hairpin, Assumption.HAIRPIN, enquiry.subject.text)))
    return exempt


def _ordered_tier(enquiry: Enquiry, selected: Sequence[tuple[Policy, Tri]]) -> Outcome:
    """An admin tier: the first rule that matches, in the order of priority, decides or passes to the next tier."""
    if not selected:
        return Outcome(NEXT)
    mask, reasons = 0, frozenset[Reason]()
    kept = [(policy, chosen) for policy, chosen in selected if not enquiry.is_left_out(policy)]
    # Policies of one priority stand in the order of their names: where names decide, each is a group of its own.
    names_decide = enquiry.profile.ties_by_name is True
    for _, group in groupby(kept, key=lambda item: (item[0].priority, item[0].key.text if names_decide else "")):
        found = _tied(enquiry, list(group))
        mask |= found.mask & ~NEXT
        reasons |= found.reasons
        if not found.mask & NEXT:
            break
    else:
        mask |= NEXT
    return Outcome((mask & ~PASS) | NEXT if mask & PASS else mask, reasons)


def _tied(enquiry: Enquiry, group: Sequence[tuple[Policy, Tri]]) -> Outcome:
    """Policies of one priority: the implementation may follow any of those that match."""
    outcomes = [ordered_match(enquiry, policy, chosen) for policy, chosen in group]
    reasons = frozenset[Reason]().union(*(outcome.reasons for outcome in outcomes))
    actions = [outcome.mask & ~NEXT for outcome in outcomes if outcome.mask & ~NEXT]
    mask = 0
    for action in actions:
        mask |= action
    if len(actions) > 1 and mask.bit_count() > 1:
        names = ", ".join(policy.key.text for policy, _ in group)
        reasons |= {Reason(assumption=Assumption.EQUAL_PRIORITY, about=names)}
    is_sure = any(not outcome.mask & NEXT for outcome in outcomes)
    return Outcome(mask if is_sure else mask | NEXT, reasons)


def ordered_match(enquiry: Enquiry, policy: Policy, chosen: Tri) -> Outcome:
    """What one policy of an admin tier says: actions of the rules that may be the first to match, NEXT if none may."""
    mask, reasons = 0 if chosen is True else NEXT, reasons_of(chosen)
    for rule in enquiry.rules(policy):
        matched = enquiry.matches(rule)
        if matched is False:
            continue
        mask |= _BIT[rule.action]
        if matched is True:
            return Outcome(mask, reasons)
        reasons |= reasons_of(matched)
    return Outcome(mask | NEXT, reasons)


def opaque_reason(policy: OpaquePolicy) -> Reason:
    """Why nothing is known where a policy that can't be evaluated may speak."""
    foreign = policy.reach is Reach.EITHER_END
    at = f" ({policy.where.text})" if policy.where.text else ""
    return Reason(
        assumption=Assumption.FOREIGN_POLICY if foreign else Assumption.UNDECIDABLE,
        about=f"{policy.key.text}{at}, {policy.why}",
    )


def may_select(policy: OpaquePolicy, party: Party) -> bool:
    """Whether a policy that can't be evaluated may select an end."""
    if party.kind is PartyKind.NODE:
        return policy.hosts
    if party.kind is PartyKind.OUTSIDE:
        return False
    return (policy.hosts and party.host_network) or in_pod_set(policy.subject, party) is not False
