"""The proof of a block, from any screen that has a cell: its controls are asked, then the cell itself."""

from __future__ import annotations

from textual.screen import Screen

from kubeshield_tui.model.ids import CellKey
from kubeshield_tui.session.control import SessionControl
from kubeshield_tui.session.controls import controls


def ask_controls(screen: Screen[None], session: SessionControl, key: CellKey) -> None:
    """Ask what a block of this cell is proven by, and say how much of it can be asked."""
    count = session.ask_again(controls(session.store, key))
    is_asked = bool(session.ask_again((key,)))
    words = f"asking {count} controls and this cell" if is_asked and count else "no control can be asked"
    screen.notify(words, markup=False, timeout=3)
