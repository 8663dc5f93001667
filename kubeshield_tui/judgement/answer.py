"""A cell's latest answer, reduced to what bears on its judgement. Worked out once, when the answer comes in."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from kubeshield_tui.judgement.ledger import Sighting
from kubeshield_tui.judgement.words import describe
from kubeshield_tui.model.observation import Icmp, Observation, Reason, State
from kubeshield_tui.model.verdict import Proof

RESET_GAP = 5.0
"""Seconds between two answers before they count as two: a reset on the target's behalf, a policy that does not hold."""


class Answer(NamedTuple):
    """What cells must have been answered alike in so that the same can be said of them."""

    state: State
    reason: Reason
    icmp: Icmp | None = None
    silent_once: bool = False
    """It was silence, and met in one attempt only."""
    twice: bool = False
    """The same state was met twice, at least five seconds apart."""


class Cell:
    """A cell's latest answer, and what follows from it and those before it."""

    __slots__ = ("answer", "at", "is_unproven", "observation", "shown", "since", "words")

    def __init__(self, observation: Observation, sightings: Sequence[Sighting]) -> None:
        self.is_unproven = False
        """As it was judged last."""
        self.at = -1.0
        self.take(observation, sightings)

    def take(self, observation: Observation, sightings: Sequence[Sighting]) -> None:
        """Take in an answer. `sightings`: the cell's own, newest last, the one of this answer among them."""
        if observation.at != self.at:
            self.shown: Proof | None = None
            """What was shown of this answer: the sightings that showed it are dropped before it is asked again."""
        self.observation = observation
        self.at = observation.at
        self.since = same_since(sightings)
        """When the run of answers of this state began, seconds since the epoch."""
        self.words = describe(observation)
        self.answer = answer_of(observation, sightings)


def answer_of(observation: Observation, sightings: Sequence[Sighting] = ()) -> Answer:
    """Reduce an answer to what bears on its judgement."""
    silent_once = observation.reason is Reason.NO_RESPONSE and len(observation.attempts) < 2
    twice = bool(sightings) and sightings[-1].at - same_since(sightings) >= RESET_GAP
    return _alike(observation.state, observation.reason, observation.icmp, silent_once, twice)


_alike = lru_cache(4096)(Answer)
"""Many cells are answered alike."""


def same_since(sightings: Sequence[Sighting]) -> float:
    """When the run of answers of the newest one's state began, seconds since the epoch; 0 without any."""
    since = 0.0
    for seen in reversed(sightings):
        if seen.state is not sightings[-1].state:
            break
        since = seen.at
    return since
