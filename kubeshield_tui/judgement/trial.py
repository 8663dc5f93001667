"""What a proposed policy would change, before it is made: every known connection judged with it and without it."""

from __future__ import annotations

from collections.abc import Iterable

from kubeshield_tui.evidence.netpol.explain import decide_paths, evaluate
from kubeshield_tui.evidence.netpol.party import End, EndKind, Question
from kubeshield_tui.evidence.netpol.policy import Direction, Policy
from kubeshield_tui.evidence.netpol.services import Path, resolve
from kubeshield_tui.evidence.netpol.world import World
from kubeshield_tui.model.expectation import Must
from kubeshield_tui.model.ids import CellKey
from kubeshield_tui.model.observation import State
from kubeshield_tui.model.prediction import Predicted
from kubeshield_tui.model.record import Record


class KnownFlow(Record, frozen=True):
    """A connection that something is known of: a cell, as policies see it."""

    key: CellKey
    source: End
    destination: End
    port: int
    protocol: str = "TCP"
    must: Must = Must.ANY
    state: State | None = None
    """What was observed; None: nothing."""
    closing: bool = False
    """The finding's: it is to be closed."""

    @property
    def question(self) -> Question:
        """As evaluators are asked."""
        return Question(source=self.source, destination=self.destination, port=self.port, protocol=self.protocol)

    @property
    def is_legitimate(self) -> bool:
        """It must be there, or it is there and nothing says that it must not."""
        if self.closing or self.must is Must.BLOCKED:
            return False
        return self.must is Must.REACHABLE or self.state is State.OPEN

    @property
    def place(self) -> str:
        """`10.96.0.1:443/TCP`."""
        destination = self.destination.text
        is_bare = self.destination.kind is EndKind.ADDRESS and ":" in destination
        return f"{f'[{destination}]' if is_bare else destination}:{self.port}/{self.protocol}"

    @property
    def text(self) -> str:
        """`shop/web -> 10.96.0.1:443/TCP`."""
        return f"{self.source.text} -> {self.place}"


class Flip(Record, frozen=True):
    """A connection that policies would judge otherwise."""

    flow: KnownFlow
    before: Predicted
    after: Predicted

    @property
    def text(self) -> str:
        """One line."""
        return f"{self.flow.text}: {self.before} -> {self.after}"


class Trial(Record, frozen=True):
    """What a policy would do to the connections that are known."""

    asked: int
    """How many were judged."""
    flips: tuple[Flip, ...] = ()
    still_open: tuple[KnownFlow, ...] = ()
    """Of those to be closed: what would not surely be denied."""
    hangs_on: dict[KnownFlow, str] = {}  # noqa: RUF012 - msgspec copies it
    """Why a connection would be neither surely allowed nor surely denied."""

    @property
    def wanted(self) -> tuple[Flip, ...]:
        """Closed, as it should be."""
        return tuple(flip for flip in self.flips if flip.flow.closing and flip.after is Predicted.DENY)

    @property
    def broken(self) -> tuple[Flip, ...]:
        """Legitimate, and denied afterwards."""
        return tuple(flip for flip in self.flips if flip.flow.is_legitimate and flip.after is Predicted.DENY)

    @property
    def doubtful(self) -> tuple[Flip, ...]:
        """Legitimate, and not known to be allowed any more."""
        return tuple(flip for flip in self.flips if flip.flow.is_legitimate and flip.after is Predicted.UNKNOWN)

    @property
    def opened(self) -> tuple[Flip, ...]:
        """No longer surely denied: a remedy must never open anything."""
        return tuple(flip for flip in self.flips if flip.before is Predicted.DENY)

    @property
    def other(self) -> tuple[Flip, ...]:
        """Neither asked for nor known to be needed."""
        named = {*self.wanted, *self.broken, *self.doubtful, *self.opened}
        return tuple(flip for flip in self.flips if flip not in named)

    @property
    def closes(self) -> bool:
        """Everything that is to be closed would be."""
        return not self.still_open

    @property
    def is_safe(self) -> bool:
        """Nothing legitimate would break, nothing would open."""
        return not (self.broken or self.doubtful or self.opened)


def try_policy(world: World, policy: Policy, flows: Iterable[KnownFlow]) -> Trial:
    """Judge connections as they are and with a policy added, or in place of the one of its name. `world` does not
    change.
    """
    changed = world.copy()
    changed.put(policy)
    versions = [each for each in (policy, world.policies.get(policy.key)) if isinstance(each, Policy)]
    directions = [each for each in Direction if any(version.rules(each) is not None for version in versions)]
    flips, still_open, asked = [], [], 0
    hangs_on: dict[KnownFlow, str] = {}
    for flow in flows:
        asked += 1
        paths = resolve(world, flow.question).paths
        if not flow.closing and not _differs(world, changed, directions, policy.key.namespace, paths):
            continue
        before, after = decide_paths(world, paths), decide_paths(changed, paths)
        if before is not after:
            flips.append(Flip(flow=flow, before=before, after=after))
        if flow.closing and after is not Predicted.DENY:
            still_open.append(flow)
        if after is Predicted.UNKNOWN and (flow.closing or before is not after):
            hangs_on[flow] = _reasons(changed, flow)
    return Trial(asked=asked, flips=tuple(flips), still_open=tuple(still_open), hangs_on=hangs_on)


def _differs(
    world: World, changed: World, directions: Iterable[Direction], namespace: str, paths: Iterable[Path]
) -> bool:
    """Whether policies of a namespace say another thing of a connection in one of some directions."""
    asked = set()
    for path in paths:
        for direction in directions:
            flow = path.egress if direction is Direction.EGRESS else path.ingress
            ends = (flow.source, flow.destination) if direction is Direction.EGRESS else (flow.destination, flow.source)
            if ends[0].namespace != namespace or (direction, *ends, flow.traffic) in asked:
                continue
            asked.add((direction, *ends, flow.traffic))
            before, after = (each.answers.direction(direction, *ends, flow.traffic) for each in (world, changed))
            if path.is_hairpin or before is not after:
                return True
    return False


def _reasons(world: World, flow: KnownFlow) -> str:
    assumptions = dict.fromkeys(reason.assumption for reason in evaluate(world, flow.question).assumptions)
    return "; ".join(assumption.sentence for assumption in assumptions)
