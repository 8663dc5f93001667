"""Verdicts counted by group of rows, kept up to date cell by cell: a heading must not cost a walk over its cells."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

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

    def follow(self) -> None:
        """Take over which endpoints there are, at the cost of those that came, went or changed their group."""
        before, store = self._groups, self._store
        self._groups = {endpoint.id: endpoint.group or "targets" for endpoint in store.endpoints.values()}
        if before == self._groups:
            return
        other = [known for known, group in before.items() if self._groups.get(known) != group]
        for key in self._cells(other):
            if (known := self._known.pop(key, None)) is not None:
                self._counts[before[key.endpoint]][known] -= 1
        self.update(self._cells(new for new, group in self._groups.items() if before.get(new) != group))

    def _cells(self, endpoints: Iterable[EndpointId]) -> Iterator[CellKey]:
        return (CellKey(endpoint, vantage) for endpoint in endpoints for vantage in self._store.vantages)

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
