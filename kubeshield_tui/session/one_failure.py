"""Proven blocks that a single failure would open, by the one wall that each stands behind. Kept up to date by cells."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from kubeshield_tui.judgement.chain import holding
from kubeshield_tui.model.ids import CellKey, EndpointId
from kubeshield_tui.model.verdict import Judgement, Layer, Verdict
from kubeshield_tui.session.store import Store

REMEMBERED = 100_000
"""Kinds of cells that are held on to."""


class OneFailure:
    """Cells of a store that are one failure away."""

    def __init__(self, store: Store) -> None:
        self.walls: Counter[str] = Counter()
        """Cells by the failure domain that alone holds them."""
        self.rows: Counter[EndpointId] = Counter()
        self._store = store
        self._known: dict[CellKey, str] = {}
        self._alike: dict[int, tuple[tuple[Layer, ...], str]] = {}
        """Walls by the identity of layers, which cells that are alike share; held on to, as no others may have it."""
        for key, cell in store.cells.items():
            if cell.judgement is not None and (wall := self._wall_in(cell.judgement)) is not None:
                self._known[key] = wall
                self._count(key, wall, 1)

    def __contains__(self, key: CellKey) -> bool:
        return key in self._known

    def __len__(self) -> int:
        return len(self._known)

    def wall_of(self, key: CellKey) -> str | None:
        """Name what alone holds a cell; None where several do, or none."""
        return self._known.get(key)

    def update(self, keys: Iterable[CellKey]) -> bool:
        """Take over what changed; returns whether other rows have such cells now."""
        cells, known = self._store.cells, self._known
        rows = set(self.rows)
        for key in keys:
            cell = cells.get(key)
            wall = self._wall_in(cell.judgement) if cell is not None and cell.judgement is not None else None
            before = known.get(key)
            if before == wall:
                continue
            if before is not None:
                del known[key]
                self._count(key, before, -1)
            if wall is not None:
                known[key] = wall
                self._count(key, wall, 1)
        return rows != self.rows.keys()

    def follow(self) -> None:
        """Forget cells that are gone."""
        self.update([key for key in self._known if key not in self._store.cells])

    def _count(self, key: CellKey, wall: str, by: int) -> None:
        self.walls[wall] += by
        self.rows[key.endpoint] += by
        if not self.walls[wall]:
            del self.walls[wall]
        if not self.rows[key.endpoint]:
            del self.rows[key.endpoint]

    def _wall_in(self, judgement: Judgement) -> str | None:
        """The one failure domain that holds a proven block; None for any other cell."""
        if judgement.depth != 1 or judgement.verdict is not Verdict.BLOCKED:
            return None
        layers = judgement.layers
        found = self._alike.get(id(layers))
        if found is None:
            if len(self._alike) >= REMEMBERED:
                self._alike.clear()
            found = self._alike[id(layers)] = (layers, holding(layers, Verdict.BLOCKED)[0])
        return found[1]
