"""The whole answer to a question: verdict, deciding rules, near misses, assumptions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec.structs import replace

from kubeshield_tui.evidence.netpol.near_miss import hit_text, miss_of, rule_text
from kubeshield_tui.evidence.netpol.party import TRANSPORTS, EndKind, PartyKind, Question, same_pod
from kubeshield_tui.evidence.netpol.policy import Direction, ObjectKey, OpaquePolicy, Policy, Rule, Tier
from kubeshield_tui.evidence.netpol.services import Path, Resolved, resolve
from kubeshield_tui.evidence.netpol.tiers import (
    ALLOW,
    DENY,
    NEXT,
    NOTHING,
    PASS,
    Enquiry,
    Outcome,
    Selected,
    Without,
    always_allowed,
    exempt_of,
    network_match,
    ordered_match,
    outcome_of,
)
from kubeshield_tui.evidence.netpol.tri import Assumption, Reason, Tri
from kubeshield_tui.evidence.netpol.verdict import (
    DirectionVerdict,
    Effect,
    PathVerdict,
    PolicyEffect,
    Verdict,
    both_ways,
    one_of,
)
from kubeshield_tui.evidence.netpol.world import World
from kubeshield_tui.model.prediction import Predicted

_FINAL = frozenset({Effect.ALLOW, Effect.DENY, Effect.PASS})
"""Effects that end an admin tier."""
_EFFECTS = {ALLOW: Effect.ALLOW, DENY: Effect.DENY, PASS: Effect.PASS, NEXT: Effect.NONE}


def decide(world: World, question: Question) -> Predicted:
    """The verdict alone; the quick way for many questions. Never raises."""
    source, destination = question.source, question.destination
    if source.kind is EndKind.POD and destination.kind is EndKind.POD:
        pods = (source.namespace, source.name), (destination.namespace, destination.name)
        found = world.answers.pair(*pods, question.protocol, question.port)
        if found is not None:
            return found
    return decide_paths(world, resolve(world, question).paths)


def decide_paths(world: World, paths: Iterable[Path]) -> Predicted:
    """The verdict alone of a connection that was resolved: policies have no bearing on the paths that it may take."""
    verdicts = set()
    for path in paths:
        if path.is_hairpin:
            egress, ingress = (outcome_of(it, world.selected(it)).verdict for it in _enquiries(world, path, NOTHING))
        else:
            egress = world.answers.direction(Direction.EGRESS, *path.egress)
            arriving = path.ingress
            ingress = world.answers.direction(
                Direction.INGRESS, arriving.destination, arriving.source, arriving.traffic
            )
        verdicts.add(both_ways(egress, ingress))
    return one_of(verdicts) if verdicts else Predicted.UNKNOWN


def evaluate(world: World, question: Question, without: Without = NOTHING) -> Verdict:
    """Answer a question with all its reasons. `without` leaves policies or rules out. Never raises."""
    resolved = resolve(world, question)
    paths = [_path(world, path, without) for path in resolved.paths]
    if not paths:
        return Verdict(question=question, verdict=Predicted.UNKNOWN, assumptions=resolved.notes)
    verdict = one_of({path.verdict for path in paths})
    return Verdict(
        question=question,
        verdict=verdict,
        paths=tuple(dict.fromkeys(paths)),
        assumptions=tuple(dict.fromkeys(_assumptions(resolved, paths, verdict))),
    )


def _assumptions(resolved: Resolved, paths: list[PathVerdict], verdict: Predicted) -> Iterator[Reason]:
    yield from resolved.notes
    for path in paths:
        yield from path.egress.reasons
        yield from path.ingress.reasons
    per_backend: dict[str, set[Predicted]] = {}
    for path in paths:
        per_backend.setdefault(path.destination, set()).add(path.verdict)
    if verdict is Predicted.UNKNOWN and len({frozenset(found) for found in per_backend.values()}) > 1:
        yield Reason(assumption=Assumption.BACKENDS, about=", ".join(per_backend))


def _enquiries(world: World, path: Path, without: Without) -> tuple[Enquiry, Enquiry]:
    """Egress and ingress of a path."""
    leaving, arriving = path.egress, path.ingress
    return (
        Enquiry(
            Direction.EGRESS,
            leaving.source,
            leaving.destination,
            leaving.traffic,
            world.profile,
            without,
            path.is_hairpin,
        ),
        Enquiry(
            Direction.INGRESS,
            arriving.destination,
            arriving.source,
            arriving.traffic,
            world.profile,
            without,
            path.is_hairpin,
        ),
    )


def _path(world: World, path: Path, without: Without) -> PathVerdict:
    egress, ingress = (_direction(world, enquiry) for enquiry in _enquiries(world, path, without))
    arriving = path.ingress
    return PathVerdict(
        source=arriving.source.text,
        destination=arriving.destination.text,
        protocol=arriving.traffic.protocol,
        port=arriving.traffic.port,
        verdict=both_ways(egress.verdict, ingress.verdict),
        egress=egress,
        ingress=ingress,
    )


def _direction(world: World, enquiry: Enquiry) -> DirectionVerdict:
    selected = world.selected(enquiry)
    outcome = outcome_of(enquiry, selected)
    effects = _mark_deciding(_effects(enquiry, selected), outcome.verdict)
    isolating = [policy for policy, chosen in selected.network if chosen is True and not enquiry.is_left_out(policy)]
    reasons = sorted(outcome.reasons, key=lambda reason: reason.text) if outcome.verdict is Predicted.UNKNOWN else []
    if enquiry.peer.host_network and always_allowed(enquiry) is True and enquiry.subject.kind is PartyKind.POD:
        about = f"{enquiry.peer.text} has the network of node {enquiry.peer.node}"
        reasons.append(Reason(assumption=Assumption.OWN_NODE, about=about))
    return DirectionVerdict(
        direction=enquiry.direction,
        verdict=outcome.verdict,
        subject=enquiry.subject.text,
        isolated=bool(isolating) and exempt_of(enquiry) is False,
        policies=tuple(effects),
        because=_because(enquiry, outcome, effects),
        reasons=tuple(reasons),
    )


_Placed = tuple[Tier | None, PolicyEffect]
"""An effect with its tier, None for a policy that may overrule all."""


def _effects(enquiry: Enquiry, selected: Selected) -> list[_Placed]:
    """What each policy says by itself, in the order of evaluation."""
    found: list[_Placed] = [
        (None, _opaque_effect(policy)) for policy in selected.opaque if not enquiry.is_left_out(policy)
    ]
    found += _ordered_effects(enquiry, Tier.ADMIN, selected.admin)
    found += [
        (Tier.NETWORK_POLICY, _network_effect(enquiry, policy, chosen))
        for policy, chosen in selected.network
        if not enquiry.is_left_out(policy)
    ]
    found += _ordered_effects(enquiry, Tier.BASELINE, selected.baseline)
    if enquiry.traffic.protocol in TRANSPORTS:
        return found
    why = f"policies are not defined for {enquiry.traffic.protocol}"
    return [(tier, PolicyEffect(key=it.key, effect=Effect.UNKNOWN, why=why, where=it.where)) for tier, it in found]


def _ordered_effects(enquiry: Enquiry, tier: Tier, selected: Iterable[tuple[Policy, Tri]]) -> Iterator[_Placed]:
    for policy, chosen in selected:
        if not enquiry.is_left_out(policy):
            yield tier, _ordered_effect(enquiry, policy, chosen)


def _opaque_effect(policy: OpaquePolicy) -> PolicyEffect:
    return PolicyEffect(key=policy.key, effect=Effect.UNKNOWN, why=policy.why, where=policy.where)


def _network_effect(enquiry: Enquiry, policy: Policy | OpaquePolicy, chosen: Tri) -> PolicyEffect:
    if isinstance(policy, OpaquePolicy):
        return _opaque_effect(policy)
    exempt = exempt_of(enquiry)
    if exempt is True:
        return PolicyEffect(key=policy.key, effect=Effect.NONE, why="it does not apply here", where=policy.where)
    matched = network_match(enquiry, policy)
    if matched is False:
        is_sure = chosen is True and exempt is False
        return _unmatched(enquiry, policy, Effect.DENY if is_sure else Effect.UNKNOWN)
    rule = next(rule for rule in enquiry.rules(policy) if enquiry.matches(rule) is not False)
    if matched is True:
        rule = next(rule for rule in enquiry.rules(policy) if enquiry.matches(rule) is True)
    is_allowed = matched is True and chosen is True
    return _matched(enquiry, policy, rule, Effect.ALLOW if is_allowed else Effect.UNKNOWN)


def _ordered_effect(enquiry: Enquiry, policy: Policy, chosen: Tri) -> PolicyEffect:
    effect = _EFFECTS.get(ordered_match(enquiry, policy, chosen).mask, Effect.UNKNOWN)
    rule = next((rule for rule in enquiry.rules(policy) if enquiry.matches(rule) is not False), None)
    return _unmatched(enquiry, policy, effect) if rule is None else _matched(enquiry, policy, rule, effect)


def _matched(enquiry: Enquiry, policy: Policy, rule: Rule, effect: Effect) -> PolicyEffect:
    return PolicyEffect(
        key=policy.key,
        effect=effect,
        rule=rule.index,
        rule_text=rule_text(enquiry, rule),
        why="may match" if effect is Effect.UNKNOWN else hit_text(enquiry, rule),
        where=rule.where if rule.where.line else policy.where,
    )


def _unmatched(enquiry: Enquiry, policy: Policy, effect: Effect) -> PolicyEffect:
    misses = [miss_of(enquiry, rule) for rule in enquiry.rules(policy)]
    closest = min(misses, key=lambda miss: miss.fields, default=None)
    near = closest if closest and closest.fields == 1 else None
    others = f" (and {len(misses) - 1} more)" if len(misses) > 1 else ""
    return PolicyEffect(
        key=policy.key,
        effect=effect,
        near_miss=near.text if near else "",
        missed=near.place if near else "",
        why=f"{closest.text}{others}" if closest else f"it has no {enquiry.direction} rule",
        where=policy.where,
    )


def _mark_deciding(placed: list[_Placed], verdict: Predicted) -> list[PolicyEffect]:
    """Mark the policies that a verdict rests on: those of the first tier that decides, or all that leave it open."""
    effects = [effect for _, effect in placed]
    keys = {effect.key for effect in effects if effect.effect is Effect.UNKNOWN}
    if verdict is not Predicted.UNKNOWN:
        keys = _deciding(placed, Effect.ALLOW if verdict is Predicted.ALLOW else Effect.DENY)
    return [replace(effect, decides=True) if effect.key in keys else effect for effect in effects]


def _deciding(placed: list[_Placed], wanted: Effect) -> set[ObjectKey]:
    for tier in Tier:
        final = [effect for place, effect in placed if place is tier and effect.effect in _FINAL]
        # Of a union all that say so count; elsewhere the first that is sure ends the tier.
        counting = final if tier is Tier.NETWORK_POLICY else final[:1]
        keys = {effect.key for effect in counting if effect.effect is wanted}
        if keys:
            return keys
    return set()


def _because(enquiry: Enquiry, outcome: Outcome, effects: list[PolicyEffect]) -> str:
    subject, peer, verdict = enquiry.subject, enquiry.peer, outcome.verdict
    if subject.kind is not PartyKind.POD:
        return f"{subject.text} is no pod, no policy selects it"
    if same_pod(subject, peer) is True and not enquiry.is_hairpin:
        return "a pod always reaches itself"
    if verdict is Predicted.ALLOW and always_allowed(enquiry) is True:
        return f"a pod's own node always reaches it: {peer.text}"
    deciding = [f"{effect.key.text} {effect.rule_text}".rstrip() for effect in effects if effect.decides]
    match verdict:
        case Predicted.ALLOW if deciding:
            return f"{', '.join(deciding)} allows it"
        case Predicted.ALLOW if effects:
            return "no policy that selects it decides, and the default is to allow"
        case Predicted.ALLOW:
            return f"no policy selects it for {enquiry.direction}"
        case Predicted.DENY if any(effect.decides and effect.rule is not None for effect in effects):
            return f"{', '.join(deciding)} denies it"
        case Predicted.DENY:
            return f"isolated by {', '.join(deciding)}, no rule allows it"
        case _:
            return f"it hangs on {', '.join(sorted({reason.assumption for reason in outcome.reasons}))}"
