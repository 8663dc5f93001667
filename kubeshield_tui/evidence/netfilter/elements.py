"""Sets and maps of a ruleset: exact values by hash, intervals by bisection, concatenations with ranges one by one.

All values are plain: numbers for addresses, ports, protocols, marks and bit fields, text for interface names, tuples
for concatenations. A name that ends in a wildcard is the interval of all names that begin so.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Generic, TypeVar

from kubeshield_tui.model.record import Record

Scalar = int | str
Value = Scalar | tuple[Scalar, ...]
"""What a field can hold, and what a set can hold."""


class Interval(Record, frozen=True):
    """All values from `low` to `high`, both included."""

    low: Scalar
    high: Scalar

    def holds(self, value: Scalar) -> bool:
        """Whether a value of the same kind lies in it; one of another kind does not."""
        try:
            return bool(self.low <= value <= self.high)  # type: ignore[operator]
        except TypeError:
            return False


Range = Scalar | Interval
Key = Range | tuple[Range, ...]
"""What one element of a set is."""

T = TypeVar("T")

LAST_CHARACTER = "\U0010ffff"


def beginning_with(prefix: str) -> Interval:
    """Return the interval of all names that begin with `prefix`."""
    return Interval(low=prefix, high=prefix + LAST_CHARACTER)


class Elements(Generic[T]):
    """What a set or map holds; data is True for a set. Made once by its parser, read by hash or bisection.

    `complete` is False where an element could not be read: a value that is not found is then unknown, not absent.
    Intervals of one table must not overlap unless their data are equal (the kernel refuses that too).
    """

    __slots__ = ("_boxes", "_data", "_highs", "_lows", "complete", "exact", "otherwise")

    def __init__(self, pairs: Iterable[tuple[Key, T]], *, complete: bool = True, otherwise: T | None = None) -> None:
        self.exact: dict[Value, T] = {}
        self.complete = complete
        self.otherwise = otherwise
        """Data of the catch-all element `*`."""
        self._boxes: dict[Scalar | None, list[tuple[tuple[Range, ...], T]]] = {}
        intervals: list[tuple[Interval, T]] = []
        for key, data in pairs:
            if isinstance(key, Interval):
                intervals.append((key, data))
            elif isinstance(key, tuple) and any(isinstance(part, Interval) for part in key):
                first = None if isinstance(key[0], Interval) else key[0]
                self._boxes.setdefault(first, []).append((key, data))
            else:
                self.exact.setdefault(key, data)  # type: ignore[arg-type]
        self._lows: list[Scalar] = []
        self._highs: list[Scalar] = []
        self._data: list[T] = []
        self._add_intervals(intervals)

    def _add_intervals(self, intervals: list[tuple[Interval, T]]) -> None:
        for interval, data in sorted(intervals, key=lambda pair: (isinstance(pair[0].low, str), pair[0].low)):
            if self._lows and self._data[-1] == data and _meet(self._highs[-1], interval.low):
                self._highs[-1] = max(self._highs[-1], interval.high)
                continue
            self._lows.append(interval.low)
            self._highs.append(interval.high)
            self._data.append(data)

    def __len__(self) -> int:
        return len(self.exact) + len(self._lows) + sum(map(len, self._boxes.values()))

    def some(self, count: int) -> list[Key]:
        """Return at most so many of the elements, to show them."""
        intervals = (Interval(low=low, high=self._highs[at]) for at, low in enumerate(self._lows))
        boxes = (box for several in self._boxes.values() for box, _ in several)
        return list(islice(chain(self.exact, intervals, boxes), count))

    def find(self, value: Value) -> T | None:
        """Return the data of a value, None where no element holds it."""
        found = self.exact.get(value)
        if found is None:
            found = self._around(value) if isinstance(value, tuple) else self._within(value)
        return self.otherwise if found is None else found

    def possible(self, parts: tuple[Scalar | None, ...]) -> Iterator[T]:
        """Yield the data of all elements that a value could meet of which only some parts are known (None: not known).

        A single value that is not known is `(None,)`.
        """
        for key, data in self.exact.items():
            shown = key if isinstance(key, tuple) else (key,)
            if all(part is None or part == own for part, own in zip(parts, shown, strict=False)):
                yield data
        if len(parts) == 1:
            yield from self._data
        for boxes in self._boxes.values():
            yield from (data for box, data in boxes if _inside(box, parts))
        if self.otherwise is not None:
            yield self.otherwise

    def _within(self, value: Scalar) -> T | None:
        try:
            at = bisect_right(self._lows, value) - 1
            return self._data[at] if at >= 0 and self._highs[at] >= value else None  # type: ignore[operator]
        except TypeError:
            return None

    def _around(self, value: tuple[Scalar, ...]) -> T | None:
        near = chain(self._boxes.get(value[0], ()), self._boxes.get(None, ()))
        return next((data for box, data in near if _inside(box, value)), None)


def _meet(high: Scalar, low: Scalar) -> bool:
    return type(high) is type(low) and high >= low  # type: ignore[operator]


def _inside(box: tuple[Range, ...], value: tuple[Scalar | None, ...]) -> bool:
    return all(
        part is None or (own.holds(part) if isinstance(own, Interval) else own == part)
        for own, part in zip(box, value, strict=False)
    )
