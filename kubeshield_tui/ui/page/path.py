"""The way from vantage to endpoint as stations, each with what it says, the decider pointed at. Pure.

Beside each other where the screen is wide enough, else one line each.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from kubeshield_tui.judgement.chain import AUTHENTICATION, LayerName
from kubeshield_tui.model.observation import Reason, State
from kubeshield_tui.model.prediction import Predicted
from kubeshield_tui.model.verdict import Layer
from kubeshield_tui.ui.page.lines import TOKENS, pair, said
from kubeshield_tui.ui.page.view import CellView
from kubeshield_tui.ui.widgets.layout import cut_middle, fit
from kubeshield_tui.ui.widgets.pager import LABEL, Line, Piece

JOIN = 4
"""Columns between two stations."""
INDENT = 3
ON_HOSTS = frozenset({LayerName.VANTAGE_EGRESS, LayerName.SOURCE_FIREWALL, LayerName.NODE_FIREWALL})
NAMED_WIDTH = 26
"""Columns of a station's name where each has its line."""


class Station(NamedTuple):
    """One stop on the way."""

    name: str
    state: str
    token: str
    why: str = ""
    decides: bool = False
    place: str = ""
    """The host that it stands on."""

    @property
    def full_name(self) -> str:
        """Its name with the host."""
        return f"{self.name} {self.place}".rstrip()


def layer_name(layer: Layer) -> str:
    """A layer's name with its host: `egress-policy`, `node-firewall n1`."""
    return f"{layer.layer} {layer.place}".rstrip() if layer.layer in ON_HOSTS else layer.layer


def path(view: CellView) -> Iterator[Line]:
    """The stations; which kinds of layers do not apply; what the pointer at the decider says."""
    stations = _stations(view)
    wide = sum(_width(station) for station in stations) + JOIN * (len(stations) - 1) + INDENT
    pointer = _pointer(view)
    yield from (_beside if wide <= view.width - 1 else _below)(view, stations, pointer)
    if view.network:
        there = {layer.layer for layer in view.layers}
        absent = [name for name in LayerName if name not in there and name != AUTHENTICATION]
        if absent:
            yield from pair("n/a", ", ".join(absent), "quiet", view.width)


def _stations(view: CellView) -> list[Station]:
    vantage = view.vantage
    where = vantage.node if vantage is not None else ""
    stations = [Station(str(view.key.vantage), "starts here", "quiet", place=where)]
    network = view.network
    if not network:
        stations.append(Station("no layer known", f"{view.alphabet.unsure} unknown", "quiet"))
    stations += [_of_layer(view, layer) for layer in network]
    stations.append(_listener(view))
    stations += [_of_layer(view, layer) for layer in view.layers if layer.layer == AUTHENTICATION]
    return stations


def _of_layer(view: CellView, layer: Layer) -> Station:
    alphabet, verdict = view.alphabet, layer.verdict
    glyph = {Predicted.ALLOW: alphabet.allows, Predicted.DENY: alphabet.denies}.get(verdict, alphabet.unsure)
    why = layer.decider or layer.missing
    host = layer.place if layer.layer in ON_HOSTS else ""
    return Station(layer.layer, f"{glyph} {said(verdict)}", TOKENS[verdict], why, layer is view.decider, host)


def _listener(view: CellView) -> Station:
    told = view.judgement.listener if view.judgement is not None else ""
    observation, alphabet = view.observation, view.alphabet
    if observation is not None and observation.state is State.OPEN:
        return Station("listener", f"{alphabet.allows} answers", "reachable", told)
    if observation is not None and observation.reason is Reason.CONN_REFUSED:
        return Station("listener", f"{alphabet.denies} refuses", "dead", told)
    return Station("listener", f"{alphabet.unsure} not seen", "quiet", told)


def _pointer(view: CellView) -> Piece:
    """What is said under the decider."""
    if view.decider is None:
        return ("", "")
    if view.passed_it:
        return ("should have decided here; the packet passed", "exposed")
    if view.disagrees:
        return ("should have decided here; something else did", "broken")
    return ("decides here", "blocked")


def _width(station: Station) -> int:
    return max(len(station.name), len(station.state), len(station.place))


def _beside(view: CellView, stations: Sequence[Station], pointer: Piece) -> Iterator[Line]:
    line = view.alphabet.across
    names: list[Piece] = [(" " * INDENT, LABEL)]
    states: list[Piece] = [(" " * INDENT, LABEL)]
    hosts = " " * INDENT
    column, under = INDENT, 0
    for number, station in enumerate(stations):
        if number:
            names.append((f" {line * 2} ", "quiet"))
            states.append((" " * JOIN, ""))
            hosts += " " * JOIN
            column += JOIN
        width = _width(station)
        names.append((f"{station.name:<{width}}", "strong" if station.decides else ""))
        states.append((f"{station.state:<{width}}", station.token))
        hosts += f"{station.place:<{width}}"
        under = column if station.decides else under
        column += width
    yield tuple(names)
    yield tuple(states)
    if hosts.strip():
        yield ((hosts.rstrip(), "quiet"),)
    if pointer[0]:
        text = f"{view.alphabet.points} {pointer[0]}"
        yield ((" " * min(under, max(view.width - len(text) - 1, 0)), LABEL), (text, pointer[1]))


def _below(view: CellView, stations: Sequence[Station], pointer: Piece) -> Iterator[Line]:
    # No wider than the longest name: what a station rests on gets the rest.
    name_width = min(max(len(station.full_name) for station in stations), NAMED_WIDTH)
    for station in stations:
        name = f"   {fit(cut_middle(station.full_name, name_width), name_width)}  "
        state = f"{station.state:<11} "
        token = "strong" if station.decides else ""
        yield ((name, token), (state, station.token), (station.why, "quiet"))
        if station.decides and pointer[0]:
            yield ((" " * (name_width + INDENT + 2), LABEL), (f"{view.alphabet.points} {pointer[0]}", pointer[1]))
