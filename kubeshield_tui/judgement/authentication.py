"""The layer that answers for itself: does the application ask who you are?"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from functools import lru_cache

from msgspec import field

from kubeshield_tui.judgement.ledger import Ledger, same_scope, scope_of
from kubeshield_tui.model.endpoint import Endpoint
from kubeshield_tui.model.ids import EndpointId, VantageId
from kubeshield_tui.model.observation import Posture
from kubeshield_tui.model.prediction import Predicted
from kubeshield_tui.model.record import Record
from kubeshield_tui.model.vantage import Vantage
from kubeshield_tui.model.verdict import Layer

LAYER = "authentication"
DENYING = frozenset({Posture.AUTH_REQUIRED, Posture.CLIENT_CERT_REQUIRED, Posture.FORBIDDEN})
DECIDING = DENYING | {Posture.ANONYMOUS}


class _Met(Record, frozen=True):
    """What was met at an endpoint, where it tells anything."""

    postures: dict[VantageId, Posture]
    said: dict[Hashable, Layer] = field(default_factory=dict)
    """By who it is said of."""


class Authentications:
    """What authentication says at each endpoint. Told which endpoints were answered for anew."""

    def __init__(self, ledger: Ledger, vantages: Mapping[VantageId, Vantage]) -> None:
        self._ledger = ledger
        self._vantages = vantages
        self._met: dict[EndpointId, _Met] = {}

    def forget(self, endpoint: EndpointId) -> None:
        """Look again at an endpoint when next asked."""
        self._met.pop(endpoint, None)

    def of(self, endpoint: Endpoint, vantage: Vantage) -> Layer:
        """What authentication would say if it stood alone: the posture met from here, else from anywhere in scope."""
        met = self._met.get(endpoint.id)
        if met is None:
            postures = self._ledger.postures(endpoint.id).items()
            met = self._met[endpoint.id] = _Met(postures={each: own for each, own in postures if own in DECIDING})
        if not met.postures:
            return NOT_TOLD
        own = met.postures.get(vantage.id)
        key: Hashable = vantage.id if own is not None else scope_of(endpoint, vantage)
        layer = met.said.get(key)
        if layer is None:
            seen = {vantage.id: own} if own is not None else met.postures
            layer = met.said[key] = self._decided(endpoint, vantage, seen)
        return layer

    def _decided(self, endpoint: Endpoint, vantage: Vantage, seen: Mapping[VantageId, Posture]) -> Layer:
        others = ((self._vantages.get(known), posture) for known, posture in seen.items())
        return _decided(
            {other.id: posture for other, posture in others if other and same_scope(endpoint, vantage, other)}
        )


def _decided(seen: Mapping[VantageId, Posture]) -> Layer:
    # The worst answer counts: served anonymously anywhere in scope is not a layer.
    for vantage, posture in seen.items():
        if posture is Posture.ANONYMOUS:
            return _layer(Predicted.ALLOW, f"anonymous, as seen from {vantage}")
    for vantage, posture in seen.items():
        if posture in DENYING:
            return _layer(Predicted.DENY, f"{posture}, as seen from {vantage}")
    return NOT_TOLD


@lru_cache(4096)
def _layer(verdict: Predicted, decider: str) -> Layer:
    return Layer(layer=LAYER, domain=LAYER, verdict=verdict, decider=decider)


NOT_TOLD = _layer(Predicted.UNKNOWN, "no answer that tells whether it asks who you are")
