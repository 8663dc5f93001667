"""Branches: a run takes one way at every question that can't be answered, the next run takes the next.

A run is a function of the ways it takes, so evaluation is written as if everything were known and is run again for
every other way: depth first, the likely way first, the same question the same answer within one run.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Generic, TypeVar

from kubeshield_tui.evidence.netfilter.ruleset import Doubt

BRANCH_LIMIT = 64
"""Branches over questions that can't be answered; beyond it the result is unknown."""
DRAW_LIMIT = 1024
"""Branches in all: those of draws (one of N backends) are all real, so there may be more of them."""
QUESTIONS_LIMIT = 256
"""Questions of one run: a dump that asks the same at every turn of chains within chains is not followed further."""
WORK_LIMIT = 200_000
"""Steps of all runs together, after which no other way is tried."""

T = TypeVar("T")


class TooManyQuestionsError(Exception):
    """A run meets more questions than are asked."""


class Fork:
    """A question with the way taken."""

    __slots__ = ("key", "kind", "options", "taken", "where")

    def __init__(self, key: Hashable, kind: Doubt, where: str, options: Sequence[str], taken: int) -> None:
        self.key = key
        self.kind = kind
        self.where = where
        self.options = options
        """What each way assumes."""
        self.taken = taken


class Forks:
    """The ways of one run."""

    def __init__(self, script: Sequence[int]) -> None:
        self._script = script
        self.trail: list[Fork] = []
        self.work = 0
        """Steps that the run took."""
        self._answers: dict[Hashable, int] = {}

    def choose(self, kind: Doubt, where: str, options: Sequence[str], same: Hashable = None) -> int:
        """Take a way. `same`: questions that have one answer within a run share it; None is a question of its own.

        A single way is what is taken for granted: no branch, and yet an assumption.
        """
        key = same if same is not None else (where, options[0], sum(fork.where == where for fork in self.trail))
        if same is not None and key in self._answers:
            return self._answers[key]
        at = len(self.trail)
        if at >= QUESTIONS_LIMIT:
            raise TooManyQuestionsError
        taken = self._script[at] if at < len(self._script) else 0
        self.trail.append(Fork(key, kind, where, options, taken))
        if same is not None:
            self._answers[key] = taken
        return taken


class Leaf(Generic[T]):
    """How one run ended, and the ways that led there."""

    __slots__ = ("end", "trail")

    def __init__(self, end: T, trail: Sequence[Fork]) -> None:
        self.end = end
        self.trail = trail


def every_way(run: Callable[[Forks], T]) -> tuple[list[Leaf[T]], bool]:
    """Run all ways; returns the leaves and whether these are all: False where there were too many."""
    leaves: list[Leaf[T]] = []
    guesses: set[tuple[tuple[Hashable, int], ...]] = set()
    work = 0
    for script in _scripts(leaves):
        forks = Forks(script)
        try:
            leaves.append(Leaf(run(forks), forks.trail))
        except TooManyQuestionsError:
            return leaves, False
        guesses.add(tuple((fork.key, fork.taken) for fork in forks.trail if fork.kind is not Doubt.RANDOM))
        work += forks.work
        if len(guesses) > BRANCH_LIMIT or len(leaves) > DRAW_LIMIT or work > WORK_LIMIT:
            return leaves, False
    return leaves, True


def _scripts(leaves: Sequence[Leaf[T]]) -> Iterator[list[int]]:
    """Yield the ways of each next run; reads what the last run met."""
    script: list[int] | None = []
    while script is not None:
        yield script
        trail = list(leaves[-1].trail)
        while trail and trail[-1].taken == len(trail[-1].options) - 1:
            trail.pop()
        script = [fork.taken for fork in trail] if trail else None
        if script:
            script[-1] += 1


def simplest(trails: Sequence[Sequence[Fork]]) -> tuple[int, list[Fork]]:
    """Return which of several trails to one end to show, and only those of its forks that matter for that end.

    Where every way of a fork leads to the same end that fork is no assumption.
    """
    cubes = {frozenset((fork.key, fork.taken) for fork in trail): number for number, trail in enumerate(trails)}
    sizes = {fork.key: len(fork.options) for trail in trails for fork in trail}
    order = {key: at for at, key in enumerate(sizes)}
    merged = True
    while merged:
        merged = False
        buckets: dict[tuple[Hashable, frozenset[tuple[Hashable, int]]], set[int]] = {}
        first: dict[tuple[Hashable, frozenset[tuple[Hashable, int]]], int] = {}
        for cube, number in cubes.items():
            for key, taken in sorted(cube, key=lambda way: order[way[0]]):
                bucket = (key, cube - {(key, taken)})
                buckets.setdefault(bucket, set()).add(taken)
                first[bucket] = min(number, first.get(bucket, number))
        for (key, rest), taken_ways in buckets.items():
            if not len(taken_ways) == sizes[key] > 1:
                continue
            ways = [rest | {(key, way)} for way in taken_ways]
            if all(way in cubes for way in ways):
                for way in ways:
                    del cubes[way]
                cubes[rest] = first[key, rest]
                merged = True
    shortest, number = min(cubes.items(), key=lambda pair: (len(pair[0]), pair[1]))
    kept = {key for key, _ in shortest}
    return number, [fork for fork in trails[number] if fork.key in kept]
