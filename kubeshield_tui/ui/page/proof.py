"""Why silence may be believed, or what is missing for that. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from kubeshield_tui.model.ids import EndpointId
from kubeshield_tui.model.observation import State
from kubeshield_tui.model.verdict import Proof
from kubeshield_tui.ui.page.lines import pair
from kubeshield_tui.ui.page.view import CellView
from kubeshield_tui.ui.widgets.pager import Line

NEGATIVE = frozenset({State.FILTERED, State.CLOSED})


def proof(view: CellView) -> Iterator[Line]:
    """The two controls around the last answer, each with who showed it."""
    observation, judgement, width = view.observation, view.judgement, view.width
    if observation is None or judgement is None:
        yield from pair("", "nothing was measured: there is nothing to prove", "quiet", width)
        return
    if observation.state not in NEGATIVE:
        needed = "silence over UDP proves nothing" if observation.state is State.OPEN_FILTERED else "it answered"
        yield from pair("", f"no proof of a block is needed: {needed}", "quiet", width)
        return
    shown = judgement.proof
    alive = f"{shown.target_by} saw it open around this answer" if shown.target_by else "no vantage saw it open then"
    yield from pair("target", alive, "reachable" if shown.target_alive else "unproven", width)
    yield from pair("vantage", _reached(view, shown), "reachable" if shown.vantage_alive else "unproven", width)
    if shown.missing:
        yield from pair("missing", shown.missing, "unproven", width)
    if not (shown.target_alive and shown.vantage_alive):
        yield from pair("", "p asks the controls now, then this cell", "quiet", width)


def _reached(view: CellView, shown: Proof) -> str:
    if shown.vantage_by:
        return f"this vantage reached {_named(view, shown.vantage_by)} then"
    return "its gateway was on the link then" if shown.vantage_basis == "link" else "this vantage reached nothing then"


def _named(view: CellView, told: str) -> str:
    endpoint = view.store.endpoints.get(EndpointId(told))
    return told if endpoint is None else endpoint.name
