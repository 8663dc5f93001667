"""What would be with something left out, cell by cell and kept up to date. Only the model is asked: nothing is sent."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from time import perf_counter
from typing import NamedTuple

from kubeshield_tui.judgement.chain import PASSED, UNMEASURED, Imagined
from kubeshield_tui.model.expectation import Must
from kubeshield_tui.model.ids import CellKey, EndpointId, VantageId
from kubeshield_tui.model.verdict import Judgement, Layer
from kubeshield_tui.session.chains import Chains
from kubeshield_tui.session.store import Cell, Store

BITE_SECONDS = 0.01
"""How long cells are worked out before a screen gets its turn."""
AT_ONCE = 64
"""Cells between two looks at the clock."""
REMEMBERED = 100_000
"""Kinds of cells that are held on to."""


class Effect(StrEnum):
    """What leaving something out does to a cell."""

    EXPOSES = "would be exposed"
    """It would open, and must be blocked."""
    OPENS = "would open"
    UNKNOWN = "not known"
    SHALLOWER = "would hold less"
    NOTHING = "as it is"


OPENING = frozenset({Effect.EXPOSES, Effect.OPENS})


class Then(NamedTuple):
    """A cell as it would be."""

    effect: Effect
    imagined: Imagined


class _Kind(NamedTuple):
    """What becomes of cells that are alike."""

    layers: tuple[Layer, ...]
    """Held on to, so that no others get their place in memory."""
    closed: Then | None
    """Of those that must be blocked."""
    other: Then | None


class _Row(NamedTuple):
    """What becomes of an endpoint's cells."""

    cells: dict[VantageId, Then]
    """Those that would be different."""
    counts: Counter[Effect]
    """Of its group."""


class WhatIf:
    """All measured cells of a store with something left out. Make another one when what layers are made of changed."""

    def __init__(self, store: Store, chains: Chains, left_out: frozenset[str]) -> None:
        self.left_out = left_out
        self.done = 0
        """Cells that were worked out since it was made, of `total`."""
        self.total = 0
        self._store = store
        self._chains = chains
        self._groups: dict[str, Counter[Effect]] = {}
        self._rows: dict[EndpointId, _Row] = {}
        self._alike: dict[tuple[int, int, bool | None], _Kind] = {}
        """By the identity of layers and verdict, and whether somebody listens: cells that are alike share them, and
        hashing what they are would cost more than all else.
        """

    def of(self, key: CellKey) -> Then | None:
        """Return what a cell would be; None where it would be as it is."""
        row = self._rows.get(key.endpoint)
        return row.cells.get(key.vantage) if row is not None else None

    def of_group(self, group: str) -> Mapping[Effect, int]:
        """Count what becomes of the cells of a group of rows."""
        return self._groups.get(group, Counter())

    @property
    def counts(self) -> Counter[Effect]:
        """Count what becomes of all cells."""
        return sum(self._groups.values(), Counter())

    async def work_out(self) -> None:
        """Work out every cell, in bites between which others get their turn; then what changed meanwhile."""
        revision, begun = self._store.revision, perf_counter()
        keys, cells = tuple(self._store.cells), tuple(self._store.cells.values())
        self.total = len(keys)
        for begin in range(0, self.total, AT_ONCE):
            some = slice(begin, begin + AT_ONCE)
            self._work_out(keys[some], cells[some])
            if perf_counter() - begun >= BITE_SECONDS:
                self.done = begin
                await asyncio.sleep(0)
                begun = perf_counter()
        self.done = self.total
        self.update(self._store.changes_since(revision).cells)

    def _work_out(self, keys: Sequence[CellKey], cells: Sequence[Cell]) -> None:
        """Work out cells of which nothing is known yet."""
        last, row = "", None
        for (endpoint, vantage), cell in zip(keys, cells, strict=True):
            then = self._then(cell.judgement)
            if then is not None:
                if row is None or endpoint != last:
                    last, row = endpoint, self._row(endpoint)
                row.cells[vantage] = then
                row.counts[then.effect] += 1

    def update(self, keys: Iterable[CellKey]) -> None:
        """Work out cells anew that are other now."""
        for key in keys:
            then, row = self._then(self._store.cell(key).judgement), self._row(key.endpoint)
            before = row.cells.pop(key.vantage, None)
            if before is not None:
                row.counts[before.effect] -= 1
            if then is not None:
                row.counts[then.effect] += 1
                row.cells[key.vantage] = then

    def _row(self, key: EndpointId) -> _Row:
        row = self._rows.get(key)
        if row is None:
            endpoint = self._store.endpoints.get(key)
            group = (endpoint.group if endpoint is not None else "") or "targets"
            row = self._rows[key] = _Row({}, self._groups.setdefault(group, Counter()))
        return row

    def _then(self, judgement: Judgement | None) -> Then | None:
        """What becomes of a cell with this judgement; None where it would be as it is."""
        if judgement is None:
            return None
        kind = (id(judgement.layers), id(judgement.verdict), judgement.listens)
        found = self._alike.get(kind) or self._asked(judgement)
        if found.closed is found.other or judgement.expectation.must is Must.BLOCKED:
            return found.closed
        return found.other

    def _asked(self, judgement: Judgement) -> _Kind:
        imagined = self._chains.imagine(judgement.key, self.left_out)
        effect = effect_of(judgement, imagined) if imagined is not None else Effect.NOTHING
        then = Then(effect, imagined) if imagined is not None and effect is not Effect.NOTHING else None
        closed = then._replace(effect=Effect.EXPOSES) if then is not None and effect is Effect.OPENS else then
        if len(self._alike) >= REMEMBERED:
            self._alike.clear()
        found = _Kind(judgement.layers, closed, then)
        self._alike[id(judgement.layers), id(judgement.verdict), judgement.listens] = found
        return found


def effect_of(judgement: Judgement, imagined: Imagined) -> Effect:
    """Say what a cell becomes that need not be blocked. One that answers already opens where nothing would ask any more
    who comes.
    """
    verdict, before, after = judgement.verdict, judgement.depth, imagined.depth.least
    if verdict in UNMEASURED or before is None or after is None:
        return Effect.NOTHING
    if imagined.opens or (verdict in PASSED and after == 0 < before):
        return Effect.OPENS
    if imagined.opens is None:
        return Effect.UNKNOWN
    return Effect.SHALLOWER if after < before else Effect.NOTHING
