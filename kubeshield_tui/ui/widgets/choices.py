"""A list to choose several from, where a choice is told by its mark and not by its colour alone."""

from __future__ import annotations

from rich.segment import Segment
from textual.strip import Strip
from textual.widgets import SelectionList
from textual.widgets._toggle_button import ToggleButton


class Choices(SelectionList[str]):
    """A SelectionList whose box is empty where nothing is chosen: Textual draws the same X in another colour."""

    def render_line(self, y: int) -> Strip:
        """Draw one line."""
        strip = super().render_line(y)
        number = y + int(self.scroll_offset.y)
        if number >= self.option_count or self.get_option_at_index(number).value in self.selected:
            return strip
        segments = list(strip)
        for position, segment in enumerate(segments[:4]):
            if segment.text == ToggleButton.BUTTON_INNER:
                segments[position] = Segment(" " * len(segment.text), segment.style)
                break
        return Strip(segments, strip.cell_length)
