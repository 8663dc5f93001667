"""A judge with a small estate, fed one answer after another."""

from __future__ import annotations

from kubeshield_tui.judgement.judge import Judge
from kubeshield_tui.model.endpoint import Endpoint
from kubeshield_tui.model.ids import CellKey
from kubeshield_tui.model.observation import Observation, State
from kubeshield_tui.model.vantage import Vantage
from kubeshield_tui.model.verdict import Verdict
from tests.unit.estate import answer

NOW = 1_000_000.0


class World:
    """A judge with its estate; `see` feeds an answer and judges what it bears on."""

    def __init__(self, *things: Endpoint | Vantage) -> None:
        self.endpoints = {thing.id: thing for thing in things if isinstance(thing, Endpoint)}
        self.vantages = {thing.id: thing for thing in things if isinstance(thing, Vantage)}
        self.judge = Judge(self.endpoints, self.vantages)
        self.outcomes = {}

    def see(self, target: Endpoint, source: Vantage, state: State, at: float = 0.0, **facts: object) -> None:
        observation: Observation = answer(CellKey(target.id, source.id), NOW + at, state, **facts)  # type: ignore[arg-type]
        for key in self.judge.tell(observation):
            self.outcomes[key] = self.judge.judge(key)

    def verdict(self, target: Endpoint, source: Vantage) -> Verdict:
        return self.of(target, source).judgement.verdict

    def of(self, target: Endpoint, source: Vantage):
        return self.outcomes[CellKey(target.id, source.id)]
