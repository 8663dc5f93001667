"""A page of lines that scrolls, can be searched and copied. Draws line by line: 20,000 lines open at once.

One line is marked: it is what `copied` means. A key moves mark and page together, as a pager scrolls, for as long as
there is page that way; then the mark alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding, BindingType
from textual.events import Click
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from kubeshield_tui.ui.themes import Palette

Piece = tuple[str, str]
"""(text, colour token); the token `""` is plain, `strong` is bold."""
Line = tuple[Piece, ...]
LABEL, WRAPPED, CUT = "label", "wrapped", "cut"
"""Tokens of what is not copied with a line: what stands before its text; and the indent of a line that goes on with the
one before it, at a space or in the middle of a word. All of them are copied as one.
"""


class Pager(ScrollView, can_focus=True):
    """Lines of (text, token) pieces."""

    DEFAULT_CSS = "Pager { height: 1fr; scrollbar-size: 1 1; overflow-x: hidden; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "step(-1)", "Up", show=False),
        Binding("down,j", "step(1)", "Down", show=False),
        Binding("pageup,ctrl+b,b", "page(-1.0)", "Page up", show=False),
        Binding("pagedown,ctrl+f,space", "page(1.0)", "Page down", show=False),
        Binding("ctrl+u", "page(-0.5)", "Half a page up", show=False),
        Binding("ctrl+d", "page(0.5)", "Half a page down", show=False),
        Binding("home,g", "go(0)", "Top", show=False),
        Binding("end,G", "go(-1)", "End", show=False),
    ]

    def __init__(self, lines: Sequence[Line] = ()) -> None:
        super().__init__()
        self.lines: Sequence[Line] = lines
        self.wanted = ""
        self.palette = Palette({})
        self.marked = 0
        """Number of the marked line."""

    def show(self, lines: Sequence[Line]) -> None:
        """Show other lines; the place is kept, and nothing is repainted if they are the same."""
        if lines != self.lines or self.virtual_size.width != self.size.width:
            self.lines = lines
            self.marked = min(self.marked, max(len(lines) - 1, 0))
            self.virtual_size = Size(self.size.width, len(lines))
            self.refresh()

    def search(self, wanted: str, way: int = 1) -> int | None:
        """Highlight a text and go to its next line; returns the line."""
        self.wanted = wanted.lower()
        self.refresh()
        if not self.wanted:
            return None
        count = len(self.lines)
        for step in range(1, count + 1):
            number = (self.marked + way * step) % count
            if self.wanted in _plain(self.lines[number]).lower():
                self.action_go(number)
                return number
        return None

    # --- moving

    def action_go(self, number: int) -> None:
        """Go to a line, which becomes the first on the screen if the page is long enough; -1 is the last."""
        self._mark(number if number >= 0 else len(self.lines) - 1)
        self._scroll(self.marked)

    def action_step(self, way: int) -> None:
        """Go on by a line."""
        self._move(way)

    def action_page(self, share: float) -> None:
        """Go on by a share of the screen."""
        self._move(int(share * max(self.size.height, 2)))

    def _move(self, lines: int) -> None:
        top, height = int(self.scroll_offset.y), max(self.size.height, 1)
        # The wheel scrolls without it: it is picked up where the eye is.
        marked = min(max(self.marked, top), top + height - 1)
        self._scroll(top + lines)
        scrolled = int(self.scroll_offset.y) - top
        # By a line it may walk past the end of the scrolling; by a page only where there is nothing to scroll.
        self._mark(marked + (scrolled or lines))

    def _mark(self, number: int) -> None:
        self.marked = min(max(number, 0), max(len(self.lines) - 1, 0))
        self.refresh()

    def _scroll(self, top: int) -> None:
        self.scroll_to(0, min(max(top, 0), self.max_scroll_y), animate=False, immediate=True)

    def on_click(self, event: Click) -> None:
        """Mark the line that was clicked."""
        number = event.y + int(self.scroll_offset.y)
        if number < len(self.lines):
            self._mark(number)

    # --- copying

    def copied(self) -> str:
        """The marked line as it would be pasted: without its label, whole where it was wrapped."""
        if not self.lines:
            return ""
        first = last = self.marked
        while first > 0 and _goes_on(self.lines[first]):
            first -= 1
        while last + 1 < len(self.lines) and _goes_on(self.lines[last + 1]):
            last += 1
        told = _content(self.lines[first])
        for line in self.lines[first + 1 : last + 1]:
            told += ("" if line[0][1] == CUT else " ") + _content(line)
        return told

    # --- drawing

    def render_line(self, y: int) -> Strip:
        """Draw one line of the viewport."""
        number = y + int(self.scroll_offset.y)
        background, width = self.palette.background, self.scrollable_content_region.width
        if number >= len(self.lines):
            return Strip.blank(width, background)
        if number == self.marked:
            background = self.palette.panel
        line = self.lines[number]
        segments = [Segment(text, self.palette.token(token)) for text, token in line]
        if self.wanted and self.wanted in _plain(line).lower():
            segments = self._found(_plain(line))
        strip = Strip(segments)
        if strip.cell_length > width:
            strip = Strip([*strip.crop(0, width - 1), Segment("…", self.palette.token("quiet"))])
        return strip.adjust_cell_length(width, background).apply_style(background)

    def _found(self, plain: str) -> list[Segment]:
        found = plain.lower().index(self.wanted)
        end = found + len(self.wanted)
        return [
            Segment(plain[:found], self.palette.text),
            Segment(plain[found:end], self.palette.text + Style(reverse=True)),
            Segment(plain[end:], self.palette.text),
        ]


def _plain(line: Line) -> str:
    return "".join(text for text, _ in line)


def _content(line: Line) -> str:
    """What is copied of a line: all that is no label, or the label where there is nothing else."""
    told = "".join(text for text, token in line if token not in {LABEL, WRAPPED, CUT})
    return told.rstrip() if told.strip() else _plain(line).strip()


def _goes_on(line: Line) -> bool:
    return bool(line) and line[0][1] in {WRAPPED, CUT}
