"""Who may connect to whom on which ports: every pair of ends, ports as ranges.

Addresses outside the cluster are cut into the pieces that the rules' ranges make of them; ends of one class are judged
once. A pair without an entry may not connect; what is not known stands apart from what is allowed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import ip_address
from itertools import groupby, pairwise
from typing import NamedTuple

from kubeshield_tui.evidence.netpol.party import TRANSPORTS, Party, PartyKind, Traffic
from kubeshield_tui.evidence.netpol.policy import Direction, Policy
from kubeshield_tui.evidence.netpol.tiers import Enquiry, outcome_of
from kubeshield_tui.evidence.netpol.verdict import both_ways
from kubeshield_tui.evidence.netpol.world import World
from kubeshield_tui.model.prediction import Predicted

PORTS = 65536
Step = tuple[int, Predicted]
"""First port of a run of ports that share a verdict."""
_Steps = dict[str, tuple[Step, ...]]
_LAST = {4: 2**32 - 1, 6: 2**128 - 1}
_EVERYTHING: _Steps = dict.fromkeys(TRANSPORTS, ((1, Predicted.ALLOW),))


class PortRanges(NamedTuple):
    """Ports of one protocol."""

    protocol: str
    ranges: tuple[tuple[int, int], ...]

    @property
    def is_all(self) -> bool:
        """Every port."""
        return self.ranges == ((1, PORTS - 1),)


class Connection(NamedTuple):
    """What one end may open at another."""

    source: str
    """`shop/web`, `203.0.113.9`, `10.0.0.0-10.0.0.255`."""
    destination: str
    allowed: tuple[PortRanges, ...]
    unknown: tuple[PortRanges, ...]


_Ports = tuple[tuple[PortRanges, ...], tuple[PortRanges, ...]]
"""Allowed ones, and those of which it is not known."""
_NONE: _Ports = ((), ())
_ALL: _Ports = (tuple(PortRanges(protocol, ((1, PORTS - 1),)) for protocol in TRANSPORTS), ())


def connectivity(world: World) -> Iterator[Connection]:
    """Every pair of different ends of which at least one is a pod, and which may, or perhaps may, connect."""
    found = (world.pod(end.namespace, end.name) for end in world.pods)
    pods = sorted((pod for pod in found if pod and not pod.is_finished), key=lambda pod: pod.text)
    pieces = list(_pieces(world, pods))
    judge = _Judge(world)
    for source in pods:
        for destination in pods:
            ports = judge.ports(source, destination) if source is not destination else _NONE
            if ports != _NONE:
                yield Connection(source.text, destination.text, *ports)
    for pod in pods:
        for text, ports in _joined((piece, judge.ports(piece.party, pod)) for piece in pieces):
            yield Connection(text, pod.text, *ports)
        for text, ports in _joined((piece, judge.ports(pod, piece.party)) for piece in pieces):
            yield Connection(pod.text, text, *ports)


class _Piece(NamedTuple):
    """Addresses outside the cluster between which no rule tells a difference."""

    version: int
    first: int
    last: int
    party: Party


def _pieces(world: World, pods: list[Party]) -> Iterator[_Piece]:
    """The address space in pieces; IPv6 only where something speaks of it."""
    bounds = world.policies.bounds()
    speaks_of_6 = bool(bounds[6]) or any(6 in pod.versions for pod in pods)
    for version in (4, 6) if speaks_of_6 else (4,):
        after_last = _LAST[version] + 1
        limits = sorted({0, *(bound for bound in bounds[version] if bound < after_last), after_last})
        for first, after in pairwise(limits):
            text = _range(version, first, after - 1)
            party = Party(kind=PartyKind.OUTSIDE, text=text, addresses=((version, first),))
            yield _Piece(version, first, after - 1, party)


def _joined(pieces: Iterable[tuple[_Piece, _Ports]]) -> Iterator[tuple[str, _Ports]]:
    """Neighbours with the same ports as one range, those without any left out."""
    for (version, ports), group in groupby(pieces, key=lambda item: (item[0].version, item[1])):
        run = [piece for piece, _ in group]
        if ports != _NONE:
            yield _range(version, run[0].first, run[-1].last), ports


def _range(version: int, first: int, last: int) -> str:
    size = 4 if version == 4 else 16
    low, high = (str(ip_address(value.to_bytes(size, "big"))) for value in (first, last))
    return low if first == last else f"{low}-{high}"


class _Judge:
    """Judges pairs, remembering classes."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._known: dict[tuple[Direction, str, int, int, bool], _Steps] = {}

    def ports(self, source: Party, destination: Party) -> _Ports:
        """Ports that are allowed, and those of which it is not known."""
        if source.versions and destination.versions and not source.versions & destination.versions:
            return _NONE
        egress = self._direction(Direction.EGRESS, source, destination)
        ingress = self._direction(Direction.INGRESS, destination, source)
        if egress is _EVERYTHING and ingress is _EVERYTHING:
            return _ALL
        steps = {protocol: _combined(egress[protocol], ingress[protocol]) for protocol in TRANSPORTS}
        return _with(steps, Predicted.ALLOW), _with(steps, Predicted.UNKNOWN)

    def _direction(self, direction: Direction, subject: Party, peer: Party) -> _Steps:
        if subject.is_node_like or peer.is_node_like or len(subject.versions & peer.versions) > 1:
            return self._steps(direction, subject, peer)
        class_of, shared = self._world.policies.class_of, subject.namespace == peer.namespace
        key = (direction, subject.namespace, class_of(subject), class_of(peer), shared)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self._steps(direction, subject, peer)
        return found

    def _steps(self, direction: Direction, subject: Party, peer: Party) -> _Steps:
        world = self._world
        enquiry = Enquiry(direction, subject, peer, Traffic("TCP", 1), world.profile)
        selected = world.selected(enquiry)
        if not any((selected.admin, selected.network, selected.baseline, selected.opaque, subject.broken, peer.broken)):
            return _EVERYTHING
        policies = [policy for policy, _ in (*selected.admin, *selected.network, *selected.baseline)]
        starts = sorted({1, *_starts(direction, policies, enquiry.destination)})
        return {protocol: tuple(self._runs(enquiry, protocol, starts)) for protocol in TRANSPORTS}

    def _runs(self, enquiry: Enquiry, protocol: str, starts: Iterable[int]) -> Iterator[Step]:
        before = None
        for start in starts:
            verdict = self._verdict(enquiry, Traffic(protocol, start))
            if verdict is not before:
                yield start, verdict
            before = verdict

    def _verdict(self, enquiry: Enquiry, traffic: Traffic) -> Predicted:
        asked = enquiry._replace(traffic=traffic)
        return outcome_of(asked, self._world.selected(asked)).verdict


def _starts(direction: Direction, policies: Iterable[object], destination: Party) -> Iterator[int]:
    """Ports at which a verdict may change."""
    for policy in policies:
        rules = policy.rules(direction) if isinstance(policy, Policy) else None
        for rule in rules or ():
            for port in rule.ports or ():
                found = [it.port for it in destination.ports if it.name == port.name] if port.name else []
                limits = [(number, number) for number in found] if port.name else [(port.first, port.last)]
                for first, last in limits:
                    yield from (limit for limit in (first, last + 1) if 1 <= limit < PORTS)


def _combined(egress: tuple[Step, ...], ingress: tuple[Step, ...]) -> list[Step]:
    """Both directions together."""
    steps: list[Step] = []
    for start in sorted({first for first, _ in (*egress, *ingress)}):
        verdict = both_ways(_at(egress, start), _at(ingress, start))
        if not steps or steps[-1][1] is not verdict:
            steps.append((start, verdict))
    return steps


def _at(steps: tuple[Step, ...], port: int) -> Predicted:
    return next(verdict for first, verdict in reversed(steps) if first <= port)


def _with(steps: dict[str, list[Step]], wanted: Predicted) -> tuple[PortRanges, ...]:
    """The ports of each protocol that have a verdict."""
    found = []
    for protocol, runs in steps.items():
        ends = [*(first for first, _ in runs[1:]), PORTS]
        ranges = [(first, end - 1) for (first, verdict), end in zip(runs, ends, strict=True) if verdict is wanted]
        if ranges:
            found.append(PortRanges(protocol, tuple(ranges)))
    return tuple(found)
