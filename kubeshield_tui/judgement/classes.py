"""Sorts endpoints and vantages into classes of which all lines speak alike, so that a pair is decided only once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from msgspec import UNSET

from kubeshield_tui.judgement.facts import Facts, Unknown
from kubeshield_tui.judgement.lines import Line
from kubeshield_tui.judgement.selectors import Check, weigh
from kubeshield_tui.model.endpoint import Endpoint
from kubeshield_tui.model.vantage import Vantage, Zone


class Touched(NamedTuple):
    """Lines that speak of something, as bits by their number."""

    sure: int
    maybe: int
    """Lines of which a fact is missing to tell."""


class Target(NamedTuple):
    """A class of endpoints, and what a decision needs besides the lines."""

    touched: Touched
    component: str
    cluster: str
    namespace: str
    declared: str
    source: str


class Source(NamedTuple):
    """A class of vantages."""

    touched: Touched
    zone: Zone
    cluster: str | Unknown
    namespace: str


T = TypeVar("T", Endpoint, Vantage)
C = TypeVar("C", Target, Source)


class Placed(NamedTuple, Generic[T]):
    """An endpoint or a vantage in its class."""

    thing: T
    number: int
    """Of the class."""
    missing: dict[int, str]
    """By line, the fact that is missing to tell whether it speaks of this one."""


class Classes(Generic[T, C]):
    """Classes of one kind of thing, made as things are seen."""

    def __init__(self, checks: Sequence[Sequence[Check[T]]], describe: Callable[[T, Touched], C]) -> None:
        self._checks: list[tuple[int, Sequence[Check[T]]]] = list(enumerate(checks))
        self._describe: Callable[[T, Touched], C] = describe
        self._numbers: dict[C, int] = {}
        self.placed: dict[str, Placed[T]] = {}
        """By its id, each thing as it was seen last: look whether it is still the same, or ask `place`."""
        self.classes: list[C] = []

    def place(self, thing: T) -> Placed[T]:
        """Return a thing in its class; sorted anew only where it is not the one that was seen."""
        placed = self.placed.get(thing.id)
        if placed is None or placed.thing is not thing:
            placed = self.placed[thing.id] = self._sorted(thing)
        return placed

    def refresh(self, current: Mapping[Any, T], *, facts_changed: bool) -> frozenset[str]:
        """Sort anew what is another thing by now, or all if facts changed; returns ids of what changed its class.

        What is not among `current` any more is dropped.
        """
        moved = []
        self.placed = {key: placed for key, placed in self.placed.items() if key in current}
        for key, placed in self.placed.items():
            thing = current[key]
            if facts_changed or thing is not placed.thing:
                now = self.placed[key] = self._sorted(thing)
                if (now.number, now.missing) != (placed.number, placed.missing):
                    moved.append(key)
        return frozenset(moved)

    def seen(self) -> frozenset[str]:
        """Ids of all that was placed."""
        return frozenset(self.placed)

    def _sorted(self, thing: T) -> Placed[T]:
        sure = maybe = 0
        missing: dict[int, str] = {}
        for number, checks in self._checks:
            answer = weigh(checks, thing)
            if answer is True:
                sure |= 1 << number
            elif answer is not False:
                maybe |= 1 << number
                missing[number] = answer.why
        kind = self._describe(thing, Touched(sure, maybe))
        if kind not in self._numbers:
            self._numbers[kind] = len(self.classes)
            self.classes.append(kind)
        return Placed(thing, self._numbers[kind], missing)


def target_classes(lines: Iterable[Line]) -> Classes[Endpoint, Target]:
    """Classes of endpoints."""
    lines = list(lines)
    by_namespace = any(line.same_namespace is not UNSET for line in lines)

    def describe(endpoint: Endpoint, touched: Touched) -> Target:
        return Target(
            touched,
            endpoint.component,
            endpoint.cluster,
            endpoint.namespace if by_namespace else "",
            endpoint.declared,
            endpoint.source if endpoint.declared else "",
        )

    return Classes([line.to for line in lines], describe)


def source_classes(lines: Iterable[Line], facts: Facts) -> Classes[Vantage, Source]:
    """Classes of vantages."""

    def describe(vantage: Vantage, touched: Touched) -> Source:
        return Source(touched, vantage.zone, facts.cluster_of(vantage), facts.namespace_of(vantage))

    return Classes([line.source for line in lines], describe)
