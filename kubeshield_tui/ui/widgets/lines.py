"""A few lines of coloured text around the grid; long ones are cut or wrapped, never parsed as markup."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text
from textual.widget import Widget

from kubeshield_tui.ui.themes import Palette
from kubeshield_tui.ui.widgets.pager import Line


class Lines(Widget):
    """Lines of (text, token) pieces."""

    DEFAULT_CSS = """
    Lines { height: auto; text-wrap: nowrap; text-overflow: ellipsis; }
    Lines.-wraps { text-wrap: wrap; }
    """

    def __init__(self, *lines: Line, id: str | None = None, wraps: bool = False) -> None:
        super().__init__(id=id, classes="-wraps" if wraps else None)
        self._shown: Sequence[Line] = lines
        self._wraps = wraps
        self.palette = Palette({})

    def show(self, *lines: Line) -> None:
        """Show other lines; repaints only if they differ."""
        if tuple(self._shown) != lines:
            grew = self._wraps or len(self._shown) != len(lines)
            self._shown = lines
            height = self.styles.height
            # Laying out the whole screen costs more than drawing it: only where lines decide the height.
            self.refresh(layout=grew and (height is None or height.is_auto))

    def render(self) -> Text:
        """Draw."""
        text = Text(no_wrap=not self._wraps, overflow="fold" if self._wraps else "ellipsis", end="")
        for number, line in enumerate(self._shown):
            if number:
                text.append("\n")
            for piece, token in line:
                text.append(piece, self.palette.token(token))
        return text
