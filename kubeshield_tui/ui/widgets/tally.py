"""Verdicts counted by group of rows, kept up to date cell by cell: a heading must not cost a walk over its cells."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from kubeshield_tui.model.ids import CellKey, EndpointId
from kubeshield_tui.model.verdict import Verdict
from kubeshield_tui.session.store import Store


class Tally:
    """Counts of verdicts by group."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._groups: dict[EndpointId, str] = {}
        self._known: dict[CellKey, Verdict] = {}
        self._counts: dict[str, Counter[Verdict]] = {}

    def reset(self) -> None:
        """Count anew: endpoints came or went."""
        self._groups = {endpoint.id: endpoint.group or "targets" for endpoint in self._store.endpoints.values()}
        self._known.clear()
        self._counts.clear()
        self.update(self._store.cells)

    def update(self, keys: Iterable[CellKey]) -> None:
        """Take over what changed."""
        for key in keys:
            before, now = self._known.get(key), self._store.cell(key).verdict
            group = self._groups.get(key.endpoint)
            if before is now or group is None:
                continue
            counts = self._counts.setdefault(group, Counter())
            if before is not None:
                counts[before] -= 1
            if now is not None:
                counts[now] += 1
                self._known[key] = now
            else:
                self._known.pop(key, None)

    def of(self, group: str) -> Counter[Verdict]:
        """Counts of a group."""
        return self._counts.get(group, Counter())
