"""Firewalls of the hosts on a cell's way, as layers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from kubeshield_tui.evidence.engine_rules import is_vacancy, without_engine
from kubeshield_tui.evidence.hosts import HostLayer, How, decider_text, explain, firewall_layer
from kubeshield_tui.evidence.netfilter.gathered import Gathered
from kubeshield_tui.evidence.netfilter.iptables import LEGACY
from kubeshield_tui.evidence.netfilter.listeners import listening
from kubeshield_tui.evidence.netfilter.result import Decider
from kubeshield_tui.judgement.chain import LayerName
from kubeshield_tui.model.endpoint import Endpoint
from kubeshield_tui.model.ids import CellKey
from kubeshield_tui.model.prediction import Predicted
from kubeshield_tui.model.vantage import Vantage, VantageKind
from kubeshield_tui.model.verdict import Layer
from kubeshield_tui.session.firewalls import Level, Stop, Walk, Ways
from kubeshield_tui.session.way_back import with_way_back

LATE_SECONDS = 30.0
"""How long after a reading its host's rules are taken for those that hold for what came meanwhile."""


class Hosts(NamedTuple):
    """What hosts say of a cell."""

    layers: tuple[Layer, ...]
    rejecters: frozenset[str] = frozenset()
    """Addresses of the first host that denies."""
    listener: bool | None = None
    listener_text: str = ""
    walk: Walk = Walk()


class HostLayers:
    """Makes layers of the ways as they are now. Make another one when the ways are others."""

    def __init__(self, ways: Ways) -> None:
        self.ways = ways

    def of(self, key: CellKey, endpoint: Endpoint, vantage: Vantage, now: float, *, exact: bool = False) -> Hosts:
        """Say what the hosts on a cell's way make of its visitor. `exact`: with the rules that nearly decided."""
        if self.ways.stays_in_pod(key):
            return Hosts(())
        walk = self.ways.walk(key)
        met = walk.levels
        levels = [level for level in met if level.stops]
        found_at = self.ways.found_at(endpoint.id)
        layers = [_as_old_as(self._layer(level, endpoint, now), found_at) for level in levels]
        if exact:
            layers = [
                replace(layer, near_miss=self._near_miss(level.stops[0])) if len(level.stops) == 1 else layer
                for level, layer in zip(levels, layers, strict=True)
            ]
        missing = _uncollected(endpoint, vantage, met, layers)
        denying = next((level for level, layer in zip(levels, layers, strict=True) if _denies(layer)), None)
        rejecters = frozenset[str]()
        if denying is not None and all(stop.gathered is not None for stop in denying.stops):
            rejecters = frozenset(own for stop in denying.stops for own in self.ways.addresses_of(stop))
        listener, text = self._listener(levels, endpoint, now)
        return Hosts((*layers, *missing), rejecters, listener, text, walk)

    def without(self, key: CellKey, layer: Layer, refs: frozenset[str], now: float) -> Layer | None:
        """Say what one of a cell's layers would be without some rules; None where the way is another now."""
        endpoint = self.ways.endpoint(key.endpoint)
        if endpoint is None:
            return None
        for level in self.ways.walk(key).levels:
            if level.stops and level.stops[0].layer == layer.layer:
                made = self._layer(level, endpoint, now, refs)
                if made.place == layer.place:
                    return made
        return None

    def _judged(
        self, stop: Stop, endpoint: Endpoint, now: float, left_out: frozenset[str] = frozenset()
    ) -> HostLayer | None:
        if stop.gathered is None:
            return None
        bare = without_engine(stop.gathered)
        judged = firewall_layer(bare, stop.visit, now)
        while lesser := _without_one(bare, stop, judged, left_out):  # behind one rule the next may decide
            bare = lesser
            judged = firewall_layer(bare, stop.visit, now)
        return with_way_back(self.ways, stop, judged, endpoint)

    def _near_miss(self, stop: Stop) -> str:
        """The first rule that would have decided, had one condition held."""
        outcomes = explain(without_engine(stop.gathered), stop.visit).outcomes if stop.gathered is not None else ()
        missed = next((miss for outcome in outcomes for miss in outcome.misses), None)
        return "" if missed is None else f"{decider_text(missed.decider)}: {missed.condition}"

    def _layer(self, level: Level, endpoint: Endpoint, now: float, left_out: frozenset[str] = frozenset()) -> Layer:
        made = [_layer_of(stop, self._judged(stop, endpoint, now, left_out)) for stop in level.stops]
        verdicts = {layer.verdict for layer in made} | ({Predicted.ALLOW} if level.spared else set())
        if level.others:
            verdicts.add(Predicted.UNKNOWN)
        first = made[0]
        if len(verdicts) == 1 and len({(layer.decider, layer.how, layer.answer) for layer in made}) == 1:
            return first
        told = "; or ".join(dict.fromkeys(f"{layer.place}: {layer.verdict}, {layer.decider}" for layer in made))
        verdict = verdicts.pop() if len(verdicts) == 1 else Predicted.UNKNOWN
        return Layer(
            layer=first.layer,
            verdict=verdict,
            decider=told if verdict is not Predicted.UNKNOWN else f"it depends on which backend answers: {told}",
            domain=first.domain if len({layer.domain for layer in made}) == 1 else f"firewalls of {_places(made)}",
            place=_places(made),
            how=How.SEVERAL.value if verdict is Predicted.DENY else "",
            defends=any(layer.defends for layer in made),
            refs=tuple(dict.fromkeys(ref for layer in made for ref in layer.refs)),
            at=min(layer.at for layer in made),
            missing="; ".join(dict.fromkeys(layer.missing for layer in made if layer.missing)),
            assumptions=tuple(dict.fromkeys(text for layer in made for text in layer.assumptions)),
        )

    def _listener(self, levels: Sequence[Level], endpoint: Endpoint, now: float) -> tuple[bool | None, str]:
        """Whether a process of the last host takes the visitor, where it is the host itself that he is for."""
        stop = levels[-1].stops[0] if levels and len(levels[-1].stops) == 1 and not levels[-1].spared else None
        if stop is None or stop.gathered is None or stop.gathered.listeners is None:
            return None, ""
        visit = stop.visit
        if visit.target not in self.ways.addresses_of(stop):
            return None, ""
        judged = self._judged(stop, endpoint, now)
        if judged is not None and judged.nat[0]:
            return None, ""  # it is handed on to somebody else
        found = listening(stop.gathered.listeners, visit.family, visit.protocol, visit.target, visit.port)
        if found:
            return True, ", ".join(each.text for each in found)
        return False, f"nothing on {stop.host} listens on {visit.port}/{visit.protocol}"


def _as_old_as(layer: Layer, found_at: float) -> Layer:
    """Take a layer for not known whose rules were read before its target came: a node port has rules of its own."""
    if layer.verdict is Predicted.UNKNOWN or not layer.at or found_at - layer.at <= LATE_SECONDS:
        return layer
    missing = f"rules of {layer.place} were read before this was there"
    decider = f"{missing}: they said {layer.verdict}, {layer.decider}"
    return replace(layer, verdict=Predicted.UNKNOWN, decider=decider, missing=missing, how="", answer="")


def _denies(layer: Layer) -> bool:
    return layer.verdict is Predicted.DENY


def _places(layers: Sequence[Layer]) -> str:
    return ", ".join(dict.fromkeys(layer.place for layer in layers))


def _layer_of(stop: Stop, judged: HostLayer | None) -> Layer:
    domain, host = f"firewall of {stop.host}", f"host:{stop.host}"
    if judged is None:
        why = f"rules of {stop.host} were not read"
        return Layer(
            layer=stop.layer,
            verdict=Predicted.UNKNOWN,
            decider=why,
            domain=domain,
            place=stop.host,
            refs=(host,),
            missing=why,
        )
    denies = judged.verdict is Predicted.DENY
    rules = (_rule_ref(stop.host, rule) for rule in judged.rules if rule.chain is not None)
    return Layer(
        layer=stop.layer,
        verdict=judged.verdict,
        decider=judged.decider,
        domain=domain,
        place=stop.host,
        how=judged.how.value if denies else "",
        answer=judged.answer if denies else "",
        defends=judged.rule is None or not is_vacancy(judged.rule),
        refs=(host, *rules),
        at=judged.at,
        assumptions=judged.assumptions,
    )


def _without_one(gathered: Gathered, stop: Stop, judged: HostLayer, left_out: frozenset[str]) -> Gathered | None:
    """A reading without one of the rules that may decide and are left out; None where none of them is."""
    for rule in judged.rules if left_out else ():
        if rule.chain is not None and _rule_ref(stop.host, rule) in left_out:
            lesser = gathered.without(stop.visit.family, rule)
            if lesser is not None:
                return lesser
    return None


def _rule_ref(host: str, rule: Decider) -> str:
    number = rule.handle if rule.handle is not None else rule.index
    table = f"{rule.table} (legacy)" if rule.origin == LEGACY else rule.table
    return f"rule:{host}/{rule.family}/{table}/{rule.chain}/{'policy' if number is None else number}"


def _uncollected(
    endpoint: Endpoint, vantage: Vantage, levels: Sequence[Level], layers: Sequence[Layer]
) -> Iterator[Layer]:
    """Layers that apply and of whose host nothing is known."""
    kinds = {layer.layer for layer in layers}
    if not kinds & {LayerName.VANTAGE_EGRESS.value, LayerName.SOURCE_FIREWALL.value}:
        own_net = vantage.spec.kind is not VantageKind.POD
        name = LayerName.VANTAGE_EGRESS if own_net else LayerName.SOURCE_FIREWALL
        where = "the machine" if own_net else "the node"
        yield _unread(name, f"rules of {where} that {vantage.id} stands on can't be read", vantage.id)
    # A target on a host that was passed already meets no other; metadata stands behind the node, on no host of ours.
    met = LayerName.NODE_FIREWALL.value in kinds or any(level.spared for level in levels)
    if not met and not _is_link_local(endpoint.host):
        yield _unread(LayerName.NODE_FIREWALL, f"which host has {endpoint.host} is not known", endpoint.host)


def _unread(name: LayerName, why: str, place: str) -> Layer:
    return Layer(
        layer=name.value,
        verdict=Predicted.UNKNOWN,
        decider=why,
        domain=f"firewall of {place}",
        place=place,
        missing=why,
    )


def _is_link_local(host: str) -> bool:
    return host.startswith(("169.254.", "fe80:"))
