"""A cell in one sentence for people."""

from __future__ import annotations

from collections.abc import Callable

from kubeshield_tui.judgement.answer import Cell
from kubeshield_tui.model.endpoint import Endpoint
from kubeshield_tui.model.expectation import Expectation
from kubeshield_tui.model.ids import VantageId
from kubeshield_tui.model.observation import State
from kubeshield_tui.model.verdict import Proof, Verdict


def sentence_of(
    verdict: Verdict, cell: Cell, endpoint: Endpoint, vantage: VantageId, expectation: Expectation, proof: Proof
) -> str:
    """Say what a cell amounts to and why: `kubelet n1 from pod:shop: EXPOSED, open, ...`."""
    told = f"{endpoint.name} from {vantage}: {_LOUD[verdict]}, {cell.words}."
    if (reason := _REASONS.get(verdict)) is not None:
        told = f"{told} {reason(cell, vantage, expectation, proof)}"
    elif expectation.waiver is not None:
        told = f"{told} Excepted by {expectation.waiver.owner} until {expectation.waiver.expires}."
    return f"{told} Not decided: {expectation.undecided[0]}." if expectation.undecided else told


_LOUD = {verdict: verdict.upper() for verdict in Verdict}


def _declared(_: Cell, __: VantageId, expectation: Expectation, ___: Proof) -> str:
    return f"Must be {expectation.must}: {expectation.source}."


def _proven(_: Cell, vantage: VantageId, __: Expectation, proof: Proof) -> str:
    return f"Proven: {proof.target_by} saw it open, {vantage} reached {proof.vantage_by}."


def _dead(*_: object) -> str:
    return "Nothing listens, seen from anywhere; the path may well be open."


def _unproven(cell: Cell, _: VantageId, __: Expectation, proof: Proof) -> str:
    if proof.missing:
        return f"Not proven: {proof.missing}."
    if cell.answer.state is State.CLOSED:
        return "Not proven: a reset on the target's behalf counts when it was seen twice, 5 s apart."
    if cell.answer.state is State.OPEN_FILTERED:
        return "Not proven: silence says nothing here."
    return "Not proven: silence was met once only."


def _unmeasured(cell: Cell, *_: object) -> str:
    return cell.observation.detail or "Nothing was measured."


_REASONS: dict[Verdict, Callable[[Cell, VantageId, Expectation, Proof], str]] = {
    Verdict.EXPOSED: _declared,
    Verdict.BROKEN: _declared,
    Verdict.BLOCKED: _proven,
    Verdict.DEAD: _dead,
    Verdict.UNPROVEN: _unproven,
    Verdict.LOST: _unmeasured,
    Verdict.UNTESTED: _unmeasured,
}
