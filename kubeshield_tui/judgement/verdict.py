"""One word a cell, from what must be and what was observed. The definitions are docs/concepts/verdicts.md."""

from __future__ import annotations

from kubeshield_tui.judgement.answer import Answer
from kubeshield_tui.model.expectation import Must
from kubeshield_tui.model.observation import State
from kubeshield_tui.model.verdict import Verdict


def verdict_of(must: Must, answer: Answer, *, proven: bool, met: bool, collapsed: bool) -> Verdict:
    """Judge one answer.

    `proven`: target and vantage were both seen alive around it. `met`: somebody in scope saw the target open, whenever
    that was. `collapsed`: from there a reject and a closed port look alike, so closed is never a block.
    """
    match answer.state:
        case State.OPEN:
            return Verdict.EXPOSED if must is Must.BLOCKED else Verdict.REACHABLE
        case State.FILTERED | State.CLOSED if must is Must.REACHABLE:
            return Verdict.BROKEN
        case State.CLOSED if not met:
            return Verdict.DEAD
        case State.CLOSED:
            return Verdict.BLOCKED if proven and answer.twice and not collapsed else Verdict.UNPROVEN
        case State.FILTERED:
            return Verdict.BLOCKED if proven and not answer.silent_once else Verdict.UNPROVEN
        case State.OPEN_FILTERED:
            return Verdict.UNPROVEN
        case State.LOST:
            return Verdict.LOST
        case State.ERROR | State.UNTESTED:
            return Verdict.UNTESTED
