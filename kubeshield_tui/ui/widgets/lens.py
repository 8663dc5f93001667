"""What of the grid is looked at: all of it as it is, only what is one failure away, or what would be."""

from __future__ import annotations

from collections.abc import Iterator

from kubeshield_tui.model.ids import CellKey
from kubeshield_tui.model.verdict import Verdict
from kubeshield_tui.session.one_failure import OneFailure
from kubeshield_tui.session.store import Cell, Store
from kubeshield_tui.session.what_if import OPENING, Effect, WhatIf
from kubeshield_tui.ui.symbols import Alphabet, imagined, short, token_of, word
from kubeshield_tui.ui.widgets.layout import Detail
from kubeshield_tui.ui.widgets.pager import Piece
from kubeshield_tui.ui.widgets.tally import Tally

WORST = frozenset({Verdict.EXPOSED, Verdict.BROKEN})
BAD = (Verdict.EXPOSED, Verdict.BROKEN, Verdict.LOST, Verdict.UNPROVEN)
WORDS = {Effect.EXPOSES: "would open", Effect.OPENS: "would open", Effect.UNKNOWN: "not known"}
BACKGROUND = "untested"
"""Colour token of cells that are not looked at now."""


class Lens:
    """Says of cells and groups how they are drawn."""

    def __init__(self, store: Store, alphabet: Alphabet) -> None:
        self.what_if: WhatIf | None = None
        """Shown in place of what is, where cells would be different."""
        self.one_failure: OneFailure | None = None
        """The cells that are left, and their rows."""
        self.tally = Tally(store)
        self._store = store
        self._alphabet = alphabet

    def cell(self, key: CellKey, cell: Cell, detail: Detail) -> Piece:
        """Text and colour token of a cell."""
        if self.what_if is not None:
            then = self.what_if.of(key)
            if then is None:
                return self._text(cell, detail), BACKGROUND
            glyph, token = imagined(then, cell, self._alphabet)
            return glyph if detail is Detail.GLYPH else f"{glyph} {WORDS.get(then.effect) or word(cell)}", token
        if self.one_failure is not None and key not in self.one_failure:
            return self._text(cell, detail), BACKGROUND
        return self._text(cell, detail), token_of(cell)

    def depth(self, key: CellKey, cell: Cell) -> int | None:
        """How many layers hold a cell, or would."""
        then = self.what_if.of(key) if self.what_if is not None else None
        if then is not None:
            return then.imagined.depth.least
        return cell.judgement.depth if cell.judgement is not None else None

    def group(self, group: str) -> Iterator[Piece]:
        """What a group's heading tells of its cells."""
        if self.what_if is not None:
            yield from self._imagined(group, self.what_if)
            return
        counts = self.tally.of(group)
        for verdict in BAD:
            if counts[verdict]:
                yield f" {self._alphabet.verdicts[verdict]} {counts[verdict]} {verdict} ", str(verdict)
        if counts and not any(counts[verdict] for verdict in BAD):
            yield " ok", "quiet"

    def finds(self, key: CellKey) -> bool:
        """Whether a cell is one of those that the operator goes through."""
        if self.what_if is not None:
            then = self.what_if.of(key)
            return then is not None and then.effect in OPENING
        if self.one_failure is not None:
            return key in self.one_failure
        return self._store.cell(key).verdict in WORST

    def _text(self, cell: Cell, detail: Detail) -> str:
        glyph = short(cell, self._alphabet)
        if detail is Detail.GLYPH:
            return glyph
        text = f"{glyph} {word(cell)}"
        if detail is Detail.FULL and cell.observation is not None:
            observation = cell.observation
            time = "" if observation.latency_ms is None else f" {observation.latency_ms:.1f} ms"
            text = f"{text:<12} {observation.reason}{time}"
        return text

    def _imagined(self, group: str, what_if: WhatIf) -> Iterator[Piece]:
        counts, signs = what_if.of_group(group), self._alphabet
        for effect, glyph, token in (
            (Effect.EXPOSES, signs.would_expose, "exposed"),
            (Effect.OPENS, signs.would_open, "simulated"),
            (Effect.UNKNOWN, signs.would_maybe, "unproven"),
        ):
            if counts.get(effect):
                yield f" {glyph} {counts[effect]} {effect} ", token
