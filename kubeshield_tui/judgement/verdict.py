"""One word a cell, from what must be and what was observed. The definitions are docs/concepts/verdicts.md."""

from __future__ import annotations

from kubeshield_tui.judgement.proof import Standing
from kubeshield_tui.model.expectation import Must
from kubeshield_tui.model.observation import Observation, Reason, State
from kubeshield_tui.model.verdict import Verdict


def verdict_of(must: Must, observation: Observation, standing: Standing | None, reset_confirmed: bool) -> Verdict:
    """Judge one answer. `standing` is given for closed and filtered answers, None for all others."""
    match observation.state:
        case State.OPEN:
            return Verdict.EXPOSED if must is Must.BLOCKED else Verdict.REACHABLE
        case State.FILTERED | State.CLOSED:
            if must is Must.REACHABLE:
                return Verdict.BROKEN
            if standing is None:
                return Verdict.UNPROVEN
            return _negative(observation, standing, reset_confirmed)
        case State.OPEN_FILTERED:
            return Verdict.UNPROVEN
        case State.LOST:
            return Verdict.LOST
        case State.ERROR | State.UNTESTED:
            return Verdict.UNTESTED


def _negative(observation: Observation, standing: Standing, reset_confirmed: bool) -> Verdict:
    alive = standing.proof.target_alive and standing.proof.vantage_alive
    if observation.state is State.CLOSED:
        if not standing.target_ever and not standing.proof.target_alive:
            return Verdict.DEAD
        return Verdict.BLOCKED if alive and reset_confirmed else Verdict.UNPROVEN
    silent_once = observation.reason is Reason.NO_RESPONSE and len(observation.attempts) < 2
    return Verdict.BLOCKED if alive and not silent_once else Verdict.UNPROVEN
