"""What the cells of one chain amount to that were answered alike: worked out once for all of them. Pure."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from kubeshield_tui.judgement.agreement import NOT_MEASURED, RECORDED, Agreement, Rules, agreement_of
from kubeshield_tui.judgement.answer import Answer
from kubeshield_tui.judgement.chain import Chain, Whole, depth_of
from kubeshield_tui.judgement.comparison import Comparison as Compared
from kubeshield_tui.judgement.verdict import verdict_of
from kubeshield_tui.model.expectation import Must, Severity
from kubeshield_tui.model.observation import State
from kubeshield_tui.model.prediction import Prediction
from kubeshield_tui.model.record import Record
from kubeshield_tui.model.verdict import Comparison, Layer, Verdict

UNMEASURED = frozenset({State.LOST, State.ERROR, State.UNTESTED})
_NO_LAYERS = Whole((), "")


class Given(NamedTuple):
    """All that bears on what a cell amounts to, beside the layers on its way."""

    answer: Answer
    must: Must
    proven: bool
    """Target and vantage were both seen alive around the answer."""
    met: bool
    """Somebody in scope saw the target open, whenever that was."""
    collapsed: bool
    """From there a reject and a closed port look alike."""
    recorded: bool
    """The answer comes from a file."""
    rules: Rules


class Weighed(Record, frozen=True):
    """What a cell amounts to: what its judgement shares with those of all cells that are alike, and what to do."""

    verdict: Verdict
    prediction: Prediction
    listener: str
    listens: bool | None
    comparison: Comparison
    severity: Severity | None
    """Of the disagreement of rules and reality; None where there is none."""
    layers: tuple[Layer, ...]
    next_decider: str
    depth: int | None
    depth_max: int | None
    again: bool
    """To be asked again: what is grave is not believed before it was seen twice."""
    later: bool
    """To be asked again when the rules are settled."""


def weigh(chain: Chain, authentication: Layer | None, given: Given) -> Weighed:
    """Weigh an answer in the light of the layers on its way. Without `authentication`: nothing was measured."""
    verdict = verdict_of(given.must, given.answer, proven=given.proven, met=given.met, collapsed=given.collapsed)
    found = _agreement(chain, given)
    told = found.comparison
    whole = chain.ended_by(authentication) if authentication is not None else _NO_LAYERS
    depth = depth_of(whole.layers, verdict)
    return Weighed(
        verdict=verdict,
        prediction=chain.prediction,
        listener=chain.listener_text,
        listens=chain.listener,
        comparison=_told(told),
        severity=told.severity,
        layers=whole.layers,
        next_decider=whole.next_decider,
        depth=depth.least,
        depth_max=depth.most,
        again=found.again,
        later=found.later,
    )


@lru_cache(4096)
def _told(compared: Compared) -> Comparison:
    return Comparison(code=str(compared.code), sentence=compared.sentence)


def _agreement(chain: Chain, given: Given) -> Agreement:
    if given.answer.state in UNMEASURED:
        return Agreement(NOT_MEASURED)
    if given.recorded:
        return Agreement(RECORDED)
    return agreement_of(chain, given.answer, given.rules, proven=given.proven, collapsed=given.collapsed)
