"""Whether an answer comes back through the host that translated the target: only that one can translate it back."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from kubeshield_tui.evidence.hosts import HostLayer, How, next_hop
from kubeshield_tui.judgement.chain import LayerName
from kubeshield_tui.model.endpoint import Endpoint
from kubeshield_tui.model.prediction import Predicted
from kubeshield_tui.session.firewalls import Stop, Ways, is_same

BACK, PAST, UNSURE = Predicted.ALLOW, Predicted.DENY, Predicted.UNKNOWN
ON_LINK = ""


def with_way_back(ways: Ways, stop: Stop, judged: HostLayer, endpoint: Endpoint) -> HostLayer:
    """Return what a host makes of a visitor in the light of the way that the answer takes.

    A host that hands a visitor on to another host and keeps his source sees the answer only where it lies on the way
    back. (kube-proxy does so with a pod that comes to a node port with externalTrafficPolicy Local.)
    """
    is_where_he_begins = stop.layer != LayerName.NODE_FIREWALL.value
    if judged.verdict is not Predicted.ALLOW or is_where_he_begins:
        return judged
    found = list(_answers(ways, stop, judged, endpoint))
    if all(way is BACK for way, _ in found):
        return judged
    why = next(why for way, why in found if way is not BACK)
    if all(way is PAST for way, _ in found):
        return replace(judged, verdict=Predicted.DENY, how=How.DROP, decider=why)
    return replace(judged, verdict=Predicted.UNKNOWN, decider=f"{judged.decider}; {why}", rule=None)


def _answers(ways: Ways, stop: Stop, judged: HostLayer, endpoint: Endpoint) -> Iterator[tuple[Predicted, str]]:
    own = ways.addresses_of(stop)
    for end in judged.onward:
        if end.source != stop.visit.source or end.target == stop.visit.target or end.target in own:
            yield BACK, ""
            continue
        host = ways.at_target(end, endpoint)
        if host is not None and is_same(host, stop):
            yield BACK, ""
            continue
        place = host.host if host is not None else end.target
        hop = next_hop(host.gathered, end.source) if host is not None and host.gathered is not None else None
        if hop == ON_LINK:
            yield PAST, f"{stop.host} hands it on to {place} and keeps its source: the answer goes past {stop.host}"
        elif hop in own:
            yield BACK, ""
        else:
            yield (
                UNSURE,
                f"whether the answer comes back from {place} through {stop.host}, which translated it, is not known",
            )
