"""Cells that are due later: ages, confirmations, retries."""

from __future__ import annotations

import heapq
from collections.abc import Iterable

from kubeshield_tui.model.ids import CellKey


class Schedule:
    """Due times by cell; the earliest time asked for counts until the cell was taken out."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, CellKey]] = []
        self._due: dict[CellKey, float] = {}

    def __len__(self) -> int:
        return len(self._due)

    def keys(self) -> Iterable[CellKey]:
        """All cells that are due some time."""
        return self._due.keys()

    def put(self, key: CellKey, due: float) -> None:
        """Have a cell due at `due` (monotonic seconds), replacing an earlier or later time."""
        self._due[key] = due
        heapq.heappush(self._heap, (due, key))

    def drop(self, key: CellKey) -> None:
        """Forget a cell."""
        self._due.pop(key, None)

    def clear(self) -> None:
        """Forget all."""
        self._heap.clear()
        self._due.clear()

    def take(self, now: float) -> list[CellKey]:
        """Take out what is due."""
        taken = []
        while self._heap and self._heap[0][0] <= now:
            due, key = heapq.heappop(self._heap)
            if self._due.get(key) == due:
                del self._due[key]
                taken.append(key)
        return taken

    def next_due(self) -> float | None:
        """When the next cell is due, None if none is."""
        while self._heap and self._due.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None
