"""The layer that answers for itself: does the application ask who you are?"""

from __future__ import annotations

from collections.abc import Mapping

from kubeshield_tui.judgement.ledger import Ledger, same_scope
from kubeshield_tui.model.endpoint import Endpoint
from kubeshield_tui.model.ids import VantageId
from kubeshield_tui.model.observation import Posture, State
from kubeshield_tui.model.prediction import Predicted
from kubeshield_tui.model.vantage import Vantage
from kubeshield_tui.model.verdict import Layer

LAYER = "authentication"
DENYING = frozenset({Posture.AUTH_REQUIRED, Posture.CLIENT_CERT_REQUIRED, Posture.FORBIDDEN})


def authentication(
    ledger: Ledger, vantages: Mapping[VantageId, Vantage], endpoint: Endpoint, vantage: Vantage
) -> Layer:
    """What authentication would say if it stood alone: the posture met from here, else from anywhere in scope."""
    seen: dict[VantageId, Posture] = {}
    for other_id, sightings in ledger.of_endpoint(endpoint.id):
        other = vantages.get(other_id)
        if other is None or not same_scope(endpoint, vantage, other):
            continue
        for sighting in reversed(sightings):
            if sighting.state is State.OPEN:
                seen[other_id] = sighting.posture
                break
    own = seen.get(vantage.id)
    if own is not None and (layer := _decided({vantage.id: own})):
        return layer
    return _decided(seen) or Layer(
        layer=LAYER, domain=LAYER, verdict=Predicted.UNKNOWN, decider="no answer that tells whether it asks who you are"
    )


def _decided(seen: Mapping[VantageId, Posture]) -> Layer | None:
    # The worst answer counts: served anonymously anywhere in scope is not a layer.
    for vantage, posture in seen.items():
        if posture is Posture.ANONYMOUS:
            return Layer(
                layer=LAYER, domain=LAYER, verdict=Predicted.ALLOW, decider=f"anonymous, as seen from {vantage}"
            )
    for vantage, posture in seen.items():
        if posture in DENYING:
            return Layer(
                layer=LAYER, domain=LAYER, verdict=Predicted.DENY, decider=f"{posture}, as seen from {vantage}"
            )
    return None
