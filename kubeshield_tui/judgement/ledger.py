"""Who saw what and when: the memory that proof is made of.

Kept per cell as a short run of sightings, newest last. Holds no judgement and asks no clock.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_address
from typing import NamedTuple

from kubeshield_tui.model.endpoint import Endpoint, Scope
from kubeshield_tui.model.ids import CellKey, EndpointId, VantageId
from kubeshield_tui.model.observation import Observation, Posture, Reason, State
from kubeshield_tui.model.vantage import Vantage

GLOBAL, CLUSTER = Scope.GLOBAL, Scope.CLUSTER
NONE: Mapping[VantageId, tuple[Sighting, ...]] = {}
SIGHTINGS_KEPT = 8
"""Sightings kept of a cell: enough for a before and an after around any answer still judged."""


class Sighting(NamedTuple):
    """One answer, reduced to what proof needs."""

    at: float
    state: State
    reason: Reason
    posture: Posture
    identity: str
    """SHA-256 of the server's certificate, empty where none was seen."""
    foreign: bool
    """The answer came from another address than the vantage's own."""


class Ledger:
    """All sightings of a session."""

    def __init__(self) -> None:
        self._by_endpoint: dict[EndpointId, dict[VantageId, tuple[Sighting, ...]]] = defaultdict(dict)
        self._opened: dict[EndpointId, dict[VantageId, tuple[Sighting, ...]]] = defaultdict(dict)
        """Those among them that hold an open one."""
        self._postures: dict[EndpointId, dict[VantageId, Posture]] = defaultdict(dict)
        """What the application asked of each vantage when it was open to it last, where that is known."""
        self.identified: set[EndpointId] = set()
        """Endpoints at which a server identity was seen."""
        self._alive: dict[VantageId, tuple[tuple[float, EndpointId], ...]] = {}

    def record(self, observation: Observation, endpoint: Endpoint, vantage: Vantage) -> Sighting:
        """Remember an answer."""
        certificate = observation.tls.certificate if observation.tls else None
        sighting = Sighting(
            at=observation.at,
            state=observation.state,
            reason=observation.reason,
            posture=observation.posture,
            identity=certificate.sha256 if certificate else "",
            foreign=_is_foreign(observation, endpoint, vantage),
        )
        if sighting.identity:
            self.identified.add(observation.endpoint)
        cells, opened = self._by_endpoint[observation.endpoint], self._opened[observation.endpoint]
        kept = (*cells.get(observation.vantage, ()), sighting)[-SIGHTINGS_KEPT:]
        cells[observation.vantage] = kept
        if any(seen.state is State.OPEN for seen in kept):
            opened[observation.vantage] = kept
        else:
            opened.pop(observation.vantage, None)
        postures, is_open = self._postures[observation.endpoint], sighting.state is State.OPEN
        if is_open or observation.vantage not in opened:
            postures.pop(observation.vantage, None)
        if is_open and sighting.posture is not Posture.UNKNOWN:
            postures[observation.vantage] = sighting.posture
        if shows_vantage_alive(sighting):
            before = self._alive.get(observation.vantage, ())
            self._alive[observation.vantage] = (*before, (sighting.at, observation.endpoint))[-SIGHTINGS_KEPT * 4 :]
        return sighting

    def forget(self, endpoint: EndpointId) -> None:
        """Drop an endpoint that is gone."""
        self._by_endpoint.pop(endpoint, None)
        self._opened.pop(endpoint, None)
        self._postures.pop(endpoint, None)
        self.identified.discard(endpoint)

    def sightings(self, key: CellKey) -> tuple[Sighting, ...]:
        """All kept sightings of a cell, oldest first."""
        return self._by_endpoint.get(key.endpoint, {}).get(key.vantage, ())

    def of_endpoint(self, endpoint: EndpointId) -> Iterator[tuple[VantageId, tuple[Sighting, ...]]]:
        """Sightings of an endpoint by vantage."""
        yield from self._by_endpoint.get(endpoint, {}).items()

    def opened(self, endpoint: EndpointId) -> Mapping[VantageId, tuple[Sighting, ...]]:
        """Sightings of an endpoint by vantage, of those vantages that it was open to in one of them."""
        return self._opened.get(endpoint, NONE)

    def postures(self, endpoint: EndpointId) -> Mapping[VantageId, Posture]:
        """What the application asked of each vantage when it was open to it last, where that is known."""
        return self._postures.get(endpoint, {})

    def alive_moments(self, vantage: VantageId) -> tuple[tuple[float, EndpointId], ...]:
        """When and by which endpoint a vantage was seen able to reach something."""
        return self._alive.get(vantage, ())


def shows_vantage_alive(sighting: Sighting) -> bool:
    """Whether an answer shows that its vantage can reach something: open, or a RST, from a foreign address."""
    answered = sighting.state is State.OPEN or sighting.reason is Reason.CONN_REFUSED
    return answered and sighting.foreign


def _is_foreign(observation: Observation, endpoint: Endpoint, vantage: Vantage) -> bool:
    own: Iterable[str] = vantage.facts.addresses if vantage.facts else ()
    target = observation.peer or endpoint.host
    if target in own or (target == observation.source and target):
        return False
    try:
        return not ip_address(endpoint.host).is_loopback
    except ValueError:
        return True  # a name: resolved at the vantage, `peer` was compared above


def same_scope(endpoint: Endpoint, one: Vantage, other: Vantage) -> bool:
    """Whether two vantages mean the same target by this endpoint's address."""
    scope = endpoint.scope
    if scope is GLOBAL or one.id == other.id:
        return True
    return one.cluster == other.cluster and (scope is CLUSTER or one.node == other.node != "")


def scope_of(endpoint: Endpoint, vantage: Vantage) -> tuple[str, ...]:
    """The scope instance that a vantage is in for an endpoint: vantages with the same one mean the same target."""
    scope = endpoint.scope
    if scope is GLOBAL:
        return ()
    if scope is CLUSTER:
        return (vantage.cluster,)
    return (vantage.cluster, vantage.node) if vantage.node else (vantage.id,)
