"""The layer that answers for itself: does the application ask who you are?"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from functools import lru_cache

from kubeshield_tui.judgement.ledger import Ledger, same_scope, scope_of
from kubeshield_tui.model.endpoint import Endpoint
from kubeshield_tui.model.ids import EndpointId, VantageId
from kubeshield_tui.model.observation import Posture, State
from kubeshield_tui.model.prediction import Predicted
from kubeshield_tui.model.vantage import Vantage
from kubeshield_tui.model.verdict import Layer

LAYER = "authentication"
DENYING = frozenset({Posture.AUTH_REQUIRED, Posture.CLIENT_CERT_REQUIRED, Posture.FORBIDDEN})
DECIDING = DENYING | {Posture.ANONYMOUS}


class Authentications:
    """What authentication says at each endpoint. Told which endpoints were answered for anew."""

    def __init__(self, ledger: Ledger, vantages: Mapping[VantageId, Vantage]) -> None:
        self._ledger = ledger
        self._vantages = vantages
        self._seen: dict[EndpointId, dict[VantageId, Posture]] = {}
        self._said: dict[EndpointId, dict[Hashable, Layer]] = {}

    def forget(self, endpoint: EndpointId) -> None:
        """Look again at an endpoint when next asked."""
        self._seen.pop(endpoint, None)
        self._said.pop(endpoint, None)

    def of(self, endpoint: Endpoint, vantage: Vantage) -> Layer:
        """What authentication would say if it stood alone: the posture met from here, else from anywhere in scope."""
        seen = self._seen.get(endpoint.id)
        if seen is None:
            seen = self._seen[endpoint.id] = dict(_postures(self._ledger, endpoint))
            self._said[endpoint.id] = {}
        own = seen.get(vantage.id)
        decides = own in DECIDING
        key: Hashable = vantage.id if decides else scope_of(endpoint, vantage)
        said = self._said[endpoint.id]
        layer = said.get(key)
        if layer is None:
            layer = said[key] = self._decided(endpoint, vantage, {vantage.id: own} if own and decides else seen)
        return layer

    def _decided(self, endpoint: Endpoint, vantage: Vantage, seen: Mapping[VantageId, Posture]) -> Layer:
        others = ((self._vantages.get(known), posture) for known, posture in seen.items())
        return _decided(
            {other.id: posture for other, posture in others if other and same_scope(endpoint, vantage, other)}
        )


def _postures(ledger: Ledger, endpoint: Endpoint) -> Iterator[tuple[VantageId, Posture]]:
    """The posture that each vantage met when it was open to it last."""
    for known, sightings in ledger.of_endpoint(endpoint.id):
        for sighting in reversed(sightings):
            if sighting.state is State.OPEN:
                yield known, sighting.posture
                break


def _decided(seen: Mapping[VantageId, Posture]) -> Layer:
    # The worst answer counts: served anonymously anywhere in scope is not a layer.
    for vantage, posture in seen.items():
        if posture is Posture.ANONYMOUS:
            return _layer(Predicted.ALLOW, f"anonymous, as seen from {vantage}")
    for vantage, posture in seen.items():
        if posture in DENYING:
            return _layer(Predicted.DENY, f"{posture}, as seen from {vantage}")
    return _layer(Predicted.UNKNOWN, "no answer that tells whether it asks who you are")


@lru_cache(4096)
def _layer(verdict: Predicted, decider: str) -> Layer:
    return Layer(layer=LAYER, domain=LAYER, verdict=verdict, decider=decider)
