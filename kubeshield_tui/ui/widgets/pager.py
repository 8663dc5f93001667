"""A page of lines that scrolls and can be searched. Draws line by line, so a ruleset of 20,000 lines opens at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from kubeshield_tui.ui.themes import Palette

Piece = tuple[str, str]
"""(text, colour token); the token `""` is plain, `strong` is bold."""
Line = tuple[Piece, ...]


class Pager(ScrollView, can_focus=True):
    """Lines of (text, token) pieces."""

    DEFAULT_CSS = "Pager { height: 1fr; scrollbar-size: 1 1; overflow-x: hidden; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "scroll_up", "Up", show=False),
        Binding("down,j", "scroll_down", "Down", show=False),
        Binding("pageup", "page_up", "Page up", show=False),
        Binding("pagedown", "page_down", "Page down", show=False),
        Binding("home,g", "scroll_home", "Top", show=False),
        Binding("end,G", "scroll_end", "End", show=False),
    ]

    def __init__(self, lines: Sequence[Line] = ()) -> None:
        super().__init__()
        self.lines: Sequence[Line] = lines
        self.wanted = ""
        self.palette = Palette({})

    def show(self, lines: Sequence[Line]) -> None:
        """Show other lines; the place is kept, and nothing is repainted if they are the same."""
        if lines != self.lines or self.virtual_size.width != self.size.width:
            self.lines = lines
            self.virtual_size = Size(self.size.width, len(lines))
            self.refresh()

    def search(self, wanted: str, way: int = 1) -> int | None:
        """Highlight a text and go to its next line; returns the line."""
        self.wanted = wanted.lower()
        self.refresh()
        if not self.wanted:
            return None
        count, start = len(self.lines), int(self.scroll_offset.y)
        for step in range(1, count + 1):
            number = (start + way * step) % count
            if self.wanted in _plain(self.lines[number]).lower():
                self.scroll_to(0, number, animate=False)
                return number
        return None

    def render_line(self, y: int) -> Strip:
        """Draw one line of the viewport."""
        number = y + int(self.scroll_offset.y)
        background, width = self.palette.background, self.size.width
        if number >= len(self.lines):
            return Strip.blank(width, background)
        line = self.lines[number]
        segments = [Segment(text, self.palette.token(token)) for text, token in line]
        if self.wanted and self.wanted in _plain(line).lower():
            segments = self._marked(_plain(line))
        strip = Strip(segments)
        if strip.cell_length > width:
            strip = Strip([*strip.crop(0, width - 1), Segment("…", self.palette.token("quiet"))])
        return strip.adjust_cell_length(width, background).apply_style(background)

    def _marked(self, plain: str) -> list[Segment]:
        found = plain.lower().index(self.wanted)
        end = found + len(self.wanted)
        return [
            Segment(plain[:found], self.palette.text),
            Segment(plain[found:end], self.palette.text + Style(reverse=True)),
            Segment(plain[end:], self.palette.text),
        ]


def _plain(line: Line) -> str:
    return "".join(text for text, _ in line)
