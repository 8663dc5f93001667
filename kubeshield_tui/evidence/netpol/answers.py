"""Verdicts remembered per class of ends: a million questions cost few evaluations. Forgotten as objects change."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kubeshield_tui.evidence.netpol.lookup import Name
from kubeshield_tui.evidence.netpol.party import Party, PartyKind, Traffic
from kubeshield_tui.evidence.netpol.policy import Direction
from kubeshield_tui.evidence.netpol.tiers import Enquiry, outcome_of
from kubeshield_tui.evidence.netpol.verdict import both_ways
from kubeshield_tui.model.prediction import Predicted

if TYPE_CHECKING:
    from kubeshield_tui.evidence.netpol.world import World

_Pair = tuple[int, int, str, int]
"""Kinds of two pods, protocol and port."""
_Direction = tuple[int, int, bool, str, int]
"""Classes of subject and peer, whether they share a namespace, protocol and port."""
_ODD = (-1, 0)


class Answers:
    """What was asked of a World and found. Belongs to one World, which tells it what changed."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._pods: dict[Name, tuple[int, int]] = {}
        self._pairs: dict[_Pair, Predicted] = {}
        self._directions: dict[tuple[str, Direction], dict[_Direction, Predicted]] = {}
        self._kinds: dict[tuple[str, int], int] = {}
        self._revision = 0

    def forget(self, namespace: str | None) -> None:
        """Policies of a namespace changed; None: of any."""
        self._pairs.clear()
        if namespace is None:
            self._directions.clear()
        else:
            for direction in Direction:
                self._directions.pop((namespace, direction), None)

    def forget_pod(self, name: Name) -> None:
        """A pod changed."""
        self._pods.pop(name, None)

    def _follow(self) -> None:
        """Forget everything where classes are others than before."""
        if self._revision != self._world.policies.revision:
            self._revision = self._world.policies.revision
            self._pods.clear()
            self._kinds.clear()
            self.forget(None)

    def pair(self, source: Name, destination: Name, protocol: str, port: int) -> Predicted | None:
        """The verdict for two pods; None where more than their classes counts, or one is not here."""
        if source == destination:
            return None
        self._follow()
        pods = self._pods
        one = pods.get(source) or self._pod(source)
        other = pods.get(destination) or self._pod(destination)
        if one is _ODD or other is _ODD or one[1] != other[1]:
            return None
        key = (one[0], other[0], protocol, port)
        found = self._pairs.get(key)
        if found is None:
            found = self._pairs[key] = self._both(source, destination, Traffic(protocol, port))
        return found

    def _pod(self, name: Name) -> tuple[int, int]:
        """Kind, that is namespace and class, and address family of a pod; `_ODD` where its kind does not tell all."""
        party = self._world.pod(*name)
        found = _ODD
        if party and not (party.host_network or party.broken or party.is_finished or len(party.versions) > 1):
            kind = (party.namespace, self._world.policies.class_of(party))
            found = (self._kinds.setdefault(kind, len(self._kinds)), next(iter(party.versions), 0))
        self._pods[name] = found
        return found

    def _both(self, source: Name, destination: Name, traffic: Traffic) -> Predicted:
        one, other = self._world.pod(*source), self._world.pod(*destination)
        assert one is not None
        assert other is not None
        ingress = self._remembered(Direction.INGRESS, other, one, traffic)
        if ingress is Predicted.DENY:
            return ingress  # whatever the other direction says
        return both_ways(self._remembered(Direction.EGRESS, one, other, traffic), ingress)

    def direction(self, direction: Direction, subject: Party, peer: Party, traffic: Traffic) -> Predicted:
        """What policies say in one direction of a connection that leads through no Service."""
        is_tied = subject.is_node_like or peer.is_node_like or subject.text == peer.text
        if is_tied or subject.kind is not PartyKind.POD:
            enquiry = Enquiry(direction, subject, peer, traffic, self._world.profile)
            return outcome_of(enquiry, self._world.selected(enquiry)).verdict
        self._follow()
        return self._remembered(direction, subject, peer, traffic)

    def _remembered(self, direction: Direction, subject: Party, peer: Party, traffic: Traffic) -> Predicted:
        """The verdict of a direction by the classes of its ends."""
        class_of = self._world.policies.class_of
        remembered = self._directions.get((subject.namespace, direction))
        if remembered is None:
            remembered = self._directions[subject.namespace, direction] = {}
        key = (class_of(subject), class_of(peer), subject.namespace == peer.namespace, *traffic)
        found = remembered.get(key)
        if found is None:
            enquiry = Enquiry(direction, subject, peer, traffic, self._world.profile)
            found = remembered[key] = outcome_of(enquiry, self._world.selected(enquiry)).verdict
        return found
