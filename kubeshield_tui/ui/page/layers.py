"""Each layer on the way with what decides in it, what was not collected, and how that can be had. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kubeshield_tui.evidence.engine_rules import without_engine
from kubeshield_tui.evidence.hosts import firewall_layer
from kubeshield_tui.evidence.netpol.policy import Direction
from kubeshield_tui.judgement.chain import POLICIES, LayerName
from kubeshield_tui.model.prediction import Predicted
from kubeshield_tui.model.verdict import Layer
from kubeshield_tui.session.firewalls import Stop
from kubeshield_tui.ui.page.firewall import as_read, nobody, stop_lines
from kubeshield_tui.ui.page.lines import TOKENS, pair, said
from kubeshield_tui.ui.page.path import ON_HOSTS, layer_name
from kubeshield_tui.ui.page.policies import asked, policy_lines
from kubeshield_tui.ui.page.view import CellView
from kubeshield_tui.ui.summary import age
from kubeshield_tui.ui.widgets.pager import LABEL, Line

STANDS: dict[str, str] = {
    LayerName.VANTAGE_EGRESS: "the vantage's own host",
    LayerName.SOURCE_FIREWALL: "the node of the vantage's pod",
    LayerName.NODE_FIREWALL: "the host that holds the target",
    LayerName.EGRESS_POLICY: "what policies let the vantage's pod do",
    LayerName.INGRESS_POLICY: "what policies let reach the target",
}
WITH_ENGINE = "without the rules that a policy engine put there, which are the policies' layer; with them:"
RULES_ALONE = "what its rules alone say:"
NO_WALL = "it refuses only while nothing is behind it: the first pod that is ready opens it"
DIRECTIONS = {Direction.EGRESS: LayerName.EGRESS_POLICY.value, Direction.INGRESS: LayerName.INGRESS_POLICY.value}


def layers(view: CellView) -> Iterator[Line]:
    """All layers in their order; then hosts that are on the way by now and stood in no judgement yet."""
    stops = list(view.firewalls.way(view.key))
    policies = {DIRECTIONS[told.direction.direction]: told for told in asked(view)}
    everything = tuple(stops)
    for layer in view.layers:
        places = layer.place.split(", ")
        met = [stop for stop in stops if stop.layer == layer.layer and stop.host in places]
        yield from _heading(view, layer)
        if met:
            stops = [stop for stop in stops if stop not in met]
            yield from _hosts(view, layer, met)
        elif layer.layer in policies:
            yield from policy_lines(view, policies[layer.layer])
            yield from _enforced(layer, view.width)
        else:
            yield from _layer(view, layer)
    for stop in stops:
        judged = stop.judged(view.now)
        verdict = Predicted.UNKNOWN if judged is None else judged.verdict
        yield from _heading(view, Layer(layer=stop.layer, verdict=verdict, place=stop.host))
        yield from stop_lines(view, stop)
    if not everything:
        yield ()
        yield from pair("firewalls", nobody(view), "quiet", view.width)
    yield from as_read(view, everything)


def _hosts(view: CellView, layer: Layer, stops: Sequence[Stop]) -> Iterator[Line]:
    """The hosts that one layer is made of: one, or several where one of several backends answers."""
    judged = stops[0].judged(view.now)
    if len(stops) == 1 and judged is not None and judged.verdict is not layer.verdict:
        is_engines = _without_engine(stops[0], view.now) is not judged.verdict
        label, why = ("by itself", WITH_ENGINE) if is_engines else ("in the end", RULES_ALONE)
        yield from pair(label, f"{said(layer.verdict)}: {layer.decider}", TOKENS[layer.verdict], view.width)
        yield from pair("", why, "quiet", view.width)
    if not layer.defends:
        yield from pair("no wall", NO_WALL, "unproven", view.width)
    for stop in stops:
        if len(stops) > 1:
            yield from pair("host", stop.host, "strong")
        yield from stop_lines(view, stop)


def _without_engine(stop: Stop, now: float) -> Predicted | None:
    return firewall_layer(without_engine(stop.gathered), stop.visit, now).verdict if stop.gathered is not None else None


def _heading(view: CellView, layer: Layer) -> Iterator[Line]:
    decides = f"  {view.alphabet.points} first to deny" if layer is view.decider else ""
    place = layer.place if layer.layer not in ON_HOSTS else ""
    where = "  ".join(part for part in (place, STANDS.get(layer.layer, "")) if part)
    yield ()
    yield (
        ("   ", LABEL),
        (layer_name(layer), "strong"),
        (f"  {said(layer.verdict)}", TOKENS[layer.verdict]),
        (f"  {where}" if where else "", "quiet"),
        (decides, "blocked"),
    )


def _layer(view: CellView, layer: Layer) -> Iterator[Line]:
    width = view.width
    label = "unknown" if layer.verdict is Predicted.UNKNOWN else "decides"
    yield from pair(label, layer.decider or layer.missing, "", width)
    if layer.how:
        yield from pair("refuses by", f"{layer.how} {layer.answer}".rstrip(), "", width)
    if layer.near_miss:
        yield from pair("near miss", layer.near_miss, "unproven", width)
    if layer.where:
        yield from pair("stands in", layer.where, "quiet", width)
    if layer.at:
        yield from pair("read", age(view.now - layer.at), "quiet", width)
    yield from _enforced(layer, width)
    if layer.missing and layer.missing != layer.decider:
        yield from pair("missing", layer.missing, "unproven", width)
    for assumption in layer.assumptions:
        yield from pair("assumed", assumption, "unproven", width)


def _enforced(layer: Layer, width: int) -> Iterator[Line]:
    """Whether anybody enforces policies; a denial that nobody does is no layer."""
    if layer.layer not in POLICIES or layer.verdict is not Predicted.DENY or layer.enforced:
        return
    if layer.enforced is None:
        yield from pair(
            "in force?", "nothing tells whether anybody enforces policies here: P tries it", "unproven", width
        )
    else:
        yield from pair("in force", "NO: policies are not enforced here", "exposed", width)
