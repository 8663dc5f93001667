"""What an evaluation gives: per direction which policies speak, what each says and why, what the answer hangs on."""

from __future__ import annotations

from enum import StrEnum

from kubeshield_tui.evidence.netpol.party import Question
from kubeshield_tui.evidence.netpol.policy import Direction, ObjectKey, Where
from kubeshield_tui.evidence.netpol.tri import Reason
from kubeshield_tui.model.prediction import Predicted
from kubeshield_tui.model.record import Record


class Effect(StrEnum):
    """What a policy says of a connection, as if it stood alone."""

    ALLOW = "allow"
    """A rule of it allows."""
    DENY = "deny"
    """A NetworkPolicy that selects the pod, and no rule of it allows; or a rule of the admin API that denies."""
    PASS = "pass"
    NONE = "none"
    """A policy of the admin API, no rule of which matches."""
    UNKNOWN = "unknown"


class PolicyEffect(Record, frozen=True):
    """One policy that selects the end in question."""

    key: ObjectKey
    effect: Effect
    rule: int | None = None
    """Index of the rule that decides, or that can't be decided; None where no rule matches."""
    rule_text: str = ""
    """`ingress[0]`, `ingress[0] allow-web`."""
    near_miss: str = ""
    """The rule that matches in all but one field, and that field."""
    missed: str = ""
    """The place of that field in the policy's spec: `ingress[0].ports`, `ingress[0].from[1].podSelector`."""
    why: str = ""
    """What the rule matched by, or why none does."""
    where: Where = Where()
    """The rule's place, or the object's."""
    decides: bool = False
    """It is among those that the direction's verdict rests on."""


class DirectionVerdict(Record, frozen=True):
    """One direction: the policies of the source for egress, of the destination for ingress."""

    direction: Direction
    verdict: Predicted
    subject: str
    """The end whose policies are asked: `shop/db`."""
    isolated: bool = False
    """A NetworkPolicy selects it in this direction: what none allows is denied."""
    policies: tuple[PolicyEffect, ...] = ()
    because: str = ""
    """One sentence."""
    reasons: tuple[Reason, ...] = ()
    """What the verdict hangs on, where it is unknown."""

    @property
    def decider(self) -> str:
        """What decides, in few words: `NetworkPolicy shop/db ingress[0]`, `no policy`."""
        deciding = [f"{effect.key.text} {effect.rule_text}".rstrip() for effect in self.policies if effect.decides]
        return ", ".join(deciding) or "no policy"


class PathVerdict(Record, frozen=True):
    """One way that the connection may take, as policies see it."""

    source: str
    destination: str
    protocol: str
    port: int
    verdict: Predicted
    egress: DirectionVerdict
    ingress: DirectionVerdict


class Verdict(Record, frozen=True):
    """The answer to a question."""

    question: Question
    verdict: Predicted
    paths: tuple[PathVerdict, ...] = ()
    """One for a pod or an address, several for a Service; none where there was nothing to evaluate."""
    assumptions: tuple[Reason, ...] = ()
    """What the answer hangs on, and what was taken for granted."""

    @property
    def directions(self) -> tuple[DirectionVerdict, ...]:
        """Egress and ingress, over all paths: a direction in which paths differ is unknown."""
        if not self.paths:
            return ()
        return merged([path.egress for path in self.paths]), merged([path.ingress for path in self.paths])


def merged(directions: list[DirectionVerdict]) -> DirectionVerdict:
    """One direction over several paths."""
    first = directions[0]
    distinct = list(dict.fromkeys(directions))
    if len(distinct) == 1:
        return first
    policies = dict.fromkeys(effect for direction in distinct for effect in direction.policies)
    verdict = one_of({direction.verdict for direction in distinct})
    return DirectionVerdict(
        direction=first.direction,
        verdict=verdict,
        subject=", ".join(dict.fromkeys(direction.subject for direction in distinct)),
        isolated=any(direction.isolated for direction in distinct),
        policies=tuple(policies),
        because="; ".join(dict.fromkeys(direction.because for direction in distinct)),
        reasons=tuple(dict.fromkeys(reason for direction in distinct for reason in direction.reasons)),
    )


def one_of(verdicts: set[Predicted]) -> Predicted:
    """The verdict where all agree, unknown where they don't."""
    return verdicts.pop() if len(verdicts) == 1 else Predicted.UNKNOWN


def both_ways(egress: Predicted, ingress: Predicted) -> Predicted:
    """Allowed if both directions allow, denied if either denies."""
    if Predicted.DENY in {egress, ingress}:
        return Predicted.DENY
    return Predicted.ALLOW if egress is ingress is Predicted.ALLOW else Predicted.UNKNOWN
