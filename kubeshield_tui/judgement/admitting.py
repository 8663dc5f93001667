"""Which rules of which policies admit a connection: policies are a union, so each of them must change to close it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import ip_address

from kubeshield_tui.evidence.netpol.explain import evaluate
from kubeshield_tui.evidence.netpol.match import peer_matches
from kubeshield_tui.evidence.netpol.near_miss import peer_text
from kubeshield_tui.evidence.netpol.party import Party, Question
from kubeshield_tui.evidence.netpol.policy import BlockPeer, Direction, ObjectKey, Peer, PodPeer, Policy, Rule, Tier
from kubeshield_tui.evidence.netpol.services import Path, resolve
from kubeshield_tui.evidence.netpol.tiers import RuleKey, Without
from kubeshield_tui.evidence.netpol.verdict import DirectionVerdict, Effect, PolicyEffect
from kubeshield_tui.evidence.netpol.world import World
from kubeshield_tui.judgement.draft import PEERS
from kubeshield_tui.model.record import Record


class Admitting(Record, frozen=True):
    """A rule that admits what is to be closed, and how to change it."""

    policy: ObjectKey
    rule: str
    """`egress[0]`; empty for a policy that can't be read."""
    why: str
    """What the connection matches it by."""
    change: str
    is_sure: bool = True
    """False: it may admit it."""

    @property
    def text(self) -> str:
        """One sentence."""
        admits = f"admits it ({self.why})" if self.is_sure else "may admit it"
        return f"{f'{self.policy.text} {self.rule}'.rstrip()} {admits}: {self.change}"


class Admission(Record, frozen=True):
    """How the policies of one end admit a connection."""

    rules: tuple[Admitting, ...] = ()
    is_isolated: bool = False
    """A NetworkPolicy selects the end in this direction, or an unreadable one may: a new one could only allow more."""


def admission(world: World, question: Question, direction: Direction, without: Iterable[ObjectKey] = ()) -> Admission:
    """Find every rule that admits a connection, or may, in one direction; policies in `without` are taken as absent."""
    ends = [_ends(path, direction) for path in resolve(world, question).paths]
    found: dict[RuleKey, Admitting] = {}
    unread: dict[ObjectKey, Admitting] = {}
    while True:
        left_out = Without(policies=frozenset(without), rules=frozenset(found))
        paths = evaluate(world, question, left_out).paths
        told = [path.egress if direction is Direction.EGRESS else path.ingress for path in paths]
        new = {}
        for effect in _admitting(told):
            if effect.rule is None:
                unread[effect.key] = Admitting(
                    policy=effect.key, rule="", why=effect.why, change=f"read it ({effect.why})", is_sure=False
                )
                continue
            key = RuleKey(policy=effect.key, direction=direction, index=effect.rule)
            if key not in found:
                new[key] = _admitted(world, effect, direction, ends)
        if not new:
            isolated = bool(unread) or any(verdict.isolated for verdict in told)
            return Admission(rules=(*found.values(), *unread.values()), is_isolated=isolated)
        found |= new


def _ends(path: Path, direction: Direction) -> Party:
    return path.egress.destination if direction is Direction.EGRESS else path.ingress.source


def _admitting(told: Iterable[DirectionVerdict]) -> Iterator[PolicyEffect]:
    for verdict in told:
        for effect in verdict.policies:
            if effect.effect in {Effect.ALLOW, Effect.UNKNOWN}:
                yield effect


def _admitted(world: World, effect: PolicyEffect, direction: Direction, ends: list[Party]) -> Admitting:
    policy = world.policies.get(effect.key)
    rules = (policy.rules(direction) or ()) if isinstance(policy, Policy) else ()
    rule = next((rule for rule in rules if rule.index == effect.rule), None)
    change = "narrow it"
    if isinstance(policy, Policy) and policy.tier is not Tier.NETWORK_POLICY:
        change = f"put a rule that denies before {effect.rule_text}: no NetworkPolicy overrules it"
    elif rule is not None:
        change = _change(world, rule, direction, ends)
    return Admitting(
        policy=effect.key, rule=effect.rule_text, why=effect.why, change=change, is_sure=effect.effect is Effect.ALLOW
    )


def _change(world: World, rule: Rule, direction: Direction, ends: list[Party]) -> str:
    if rule.peers is None:
        return f"it admits everybody; name in `{PEERS[direction]}` those that are needed"
    changes = [
        _leave_out(peer, end)
        for peer in rule.peers
        for end in ends
        if peer_matches(peer, end, world.profile) is not False
    ]
    return "; ".join(dict.fromkeys(changes))


def _leave_out(peer: Peer, end: Party) -> str:
    match peer:
        case BlockPeer() if peer.block.first == peer.block.last:
            return f"take {peer.path} out"
        case BlockPeer():
            held = [
                host_range(str(ip_address(value.to_bytes(4 if version == 4 else 16, "big"))))
                for version, value in end.addresses
                if version == peer.block.version and peer.block.first <= value <= peer.block.last
            ]
            return f"add {', '.join(held) or 'the address'} to the except of {peer.path}"
        case PodPeer():
            return f"narrow {peer.path} ({peer_text(peer)}) so that it leaves out {end.text}"
        case _:
            return f"narrow {peer.path} ({peer_text(peer)})"


def host_range(address: str) -> str:
    """A range that holds one address alone: `192.0.2.1/32`."""
    return f"{address}/{128 if ':' in address else 32}"
