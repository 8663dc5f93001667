"""The grid, endpoint by vantage, drawn line by line.

Only rows that changed are repainted, and only if they are in sight: a DataTable costs 100 ms a frame here, this 0.3 ms.
The header and the first column are drawn by the same widget, so they stand still while the rest scrolls.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from kubeshield_tui.model.ids import CellKey
from kubeshield_tui.session.store import Store
from kubeshield_tui.ui.symbols import STALE, STATUS_TOKENS, Alphabet
from kubeshield_tui.ui.themes import Palette
from kubeshield_tui.ui.widgets.layout import EMPTY_GRID, Grid, Row, fit, fit_label, lay_out
from kubeshield_tui.ui.widgets.lens import WORST, Lens

HEADER_LINES = 2
REVERSE = Style(reverse=True)


class Matrix(ScrollView, can_focus=True):
    """Cells of a store. Sends CellOpened and CursorMoved; pulls, is never pushed to."""

    DEFAULT_CSS = "Matrix { height: 1fr; scrollbar-size: 1 1; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1, 0)", "Up", show=False),
        Binding("down,j", "move(1, 0)", "Down", show=False),
        Binding("left,h", "move(0, -1)", "Left", show=False),
        Binding("right,l", "move(0, 1)", "Right", show=False),
        Binding("pageup", "page(-1)", "Page up", show=False),
        Binding("pagedown", "page(1)", "Page down", show=False),
        Binding("home,g", "edge(-1)", "First row", show=False),
        Binding("end,G", "edge(1)", "Last row", show=False),
        Binding("enter", "open", "Open", id="cell.open"),
        Binding("n", "next_bad(1)", "Next exposed", show=False, id="cell.next"),
        Binding("N", "next_bad(-1)", "Previous exposed", show=False, id="cell.previous"),
    ]

    class CellOpened(Message):
        """A cell was opened."""

        def __init__(self, key: CellKey) -> None:
            super().__init__()
            self.key = key

    class CursorMoved(Message):
        """The cursor stands elsewhere."""

    def __init__(self, store: Store, alphabet: Alphabet) -> None:
        super().__init__()
        self.store = store
        self.alphabet = alphabet
        self.palette = Palette({})
        self.grid: Grid = EMPTY_GRID
        self.cursor_row = 0
        self.cursor_column = 0
        self.folded: set[str] = set()
        self.wanted = ""
        self.lens = Lens(store, alphabet)
        self._was_moved = False
        self._lost: frozenset[str] = frozenset()
        self._row_of: dict[str, int] = {}
        self._group_row: dict[str, int] = {}
        self._marks: list[str] = []
        """What stands before each column: a line where a zone begins."""

    # --- state

    @property
    def cursor_key(self) -> CellKey | None:
        """The cell under the cursor, None on a heading."""
        row, columns = self._row(self.cursor_row), self.grid.columns
        if row is None or row.endpoint is None or not columns:
            return None
        return CellKey(row.endpoint, columns[min(self.cursor_column, len(columns) - 1)].vantage)

    def _row(self, number: int) -> Row | None:
        rows = self.grid.rows
        return rows[number] if 0 <= number < len(rows) else None

    def rebuild(self) -> None:
        """Lay out anew: endpoints or vantages came or went, a group was folded, the filter or the size changed."""
        before, top = self.grid.rows, self.scroll_offset.y
        only = None if self.lens.one_failure is None else self.lens.one_failure.rows
        grid = lay_out(self.store, (self.size.width or 80) - 1, self.folded, self.wanted, only)
        self._row_of = {each.endpoint: number for number, each in enumerate(grid.rows) if each.endpoint}
        self._group_row = {each.group: number for number, each in enumerate(grid.rows) if each.endpoint is None}
        self.grid = grid
        zones = [column.zone for column in grid.columns]
        self._marks = [
            self.alphabet.line if not number or zone is not zones[number - 1] else " "
            for number, zone in enumerate(zones)
        ]
        self.lens.tally.follow()
        self.virtual_size = Size(grid.width, len(grid.rows) + HEADER_LINES)
        in_sight = top <= self.cursor_row < top + max(self.size.height - HEADER_LINES, 1)
        left = self.cursor_row
        if self._was_moved:
            self.cursor_row = self._now_at(before, left)  # the cursor stays with its endpoint
        else:
            self.cursor_row = min(1, max(len(grid.rows) - 1, 0))  # the first endpoint, until the user chose another
        if before and top:  # and what is in sight stays where it is
            above = self._now_at(before, top) if not in_sight else top + self.cursor_row - left
            self.scroll_to(self.scroll_offset.x, max(above, 0), animate=False)
        self.refresh()
        self.post_message(self.CursorMoved())

    def _now_at(self, before: Sequence[Row], number: int) -> int:
        """Where a row is now; where the next one is that is still there, if it is gone."""
        for row in (*before[number:], *reversed(before[:number])):
            now = self._group_row.get(row.group) if row.endpoint is None else self._row_of.get(row.endpoint)
            if now is not None:
                return now
        return 0

    def show_lost(self, clusters: Iterable[str]) -> None:
        """Mark the rows of clusters whose API is lost: they may be out of date."""
        lost = frozenset(clusters)
        if lost != self._lost:
            self._lost = lost
            self.refresh()

    def touch(self, keys: Iterable[CellKey]) -> int:
        """Repaint the rows of these cells that are in sight; returns how many."""
        rows = set()
        keys = tuple(keys)
        self.lens.tally.update(keys)
        for key in keys:
            number = self._row_of.get(key.endpoint)
            if number is not None:
                rows.add(number)
                rows.add(self._group_row.get(self.grid.rows[number].group, number))
        return self._repaint(rows)

    def _repaint(self, rows: Iterable[int]) -> int:
        top, size = self.scroll_offset.y, self.size
        seen = [row for row in rows if top <= row < top + size.height - HEADER_LINES]
        if seen:
            self.refresh(*(Region(0, row - top + HEADER_LINES, size.width, 1) for row in seen))
        return len(seen)

    def set_palette(self, palette: Palette) -> None:
        """Take new colours."""
        self.palette = palette.on_background()
        self.refresh()

    # --- drawing

    def render_line(self, y: int) -> Strip:
        """Draw one line of the viewport."""
        if y == 0:
            return self._zones()
        if y == 1:
            return self._labels()
        number = y - HEADER_LINES + self.scroll_offset.y
        row = self._row(number)
        if row is None:
            return Strip.blank(self.size.width, self.palette.background)
        if row.endpoint is None:
            return self._heading(row, number)
        return self._cells(row, number)

    def _line(self, segments: list[Segment]) -> Strip:
        """Crop to what is in sight: the first column stands still, the others scroll."""
        left, width = self.scroll_offset.x, self.size.width
        room = max(width - self.grid.first, 0)
        if left or self.grid.width > width:
            segments[1:] = Strip(segments[1:]).crop(left, left + room)
        return Strip(segments).adjust_cell_length(width, self.palette.background)

    def _zones(self) -> Strip:
        style = self.palette.token("quiet")
        if self.lens.what_if is None:
            segments = [Segment(fit(" endpoint", self.grid.first), style)]
        else:
            segments = [Segment(fit(" WHAT IF, not measured", self.grid.first), self.palette.token("simulated"))]
        last = None
        for column in self.grid.columns:
            new = column.zone is not last
            mark = self.alphabet.line if new else " "
            segments.append(Segment(fit(f"{mark}{column.zone if new else ''}", column.width), style))
            last = column.zone
        return self._line(segments)

    def _labels(self) -> Strip:
        word = "depth " if self.grid.depth else ""
        segments = [Segment(word.rjust(self.grid.first), self.palette.token("quiet"))]
        for number, column in enumerate(self.grid.columns):
            vantage = self.store.vantages.get(column.vantage)
            style = self.palette.token("heading")
            if vantage is not None and STATUS_TOKENS[vantage.status] in {"lost", "exposed"}:
                style = self.palette.token(STATUS_TOKENS[vantage.status])
            if number == self.cursor_column:
                style += Style(underline=True)
            segments.append(Segment(self._marks[number], self.palette.token("quiet")))
            segments.append(Segment(fit(column.label, column.width - 1), style))
        return self._line(segments)

    def _heading(self, row: Row, number: int) -> Strip:
        fold = self.alphabet.folded if row.group in self.folded else self.alphabet.unfolded
        style = self.palette.token("heading")
        here = number == self.cursor_row
        segments = [Segment(fit(f"{fold} {row.group}", self.grid.first), style + REVERSE if here else style)]
        segments.extend(Segment(text, self.palette.token(token)) for text, token in self.lens.group(row.group))
        return self._line(segments)

    def _cells(self, row: Row, number: int) -> Strip:
        here = number == self.cursor_row
        assert row.endpoint is not None
        bad = False
        least: int | None = None
        segments = []
        token, store = self.palette.token, self.store
        chosen = min(self.cursor_column, len(self.grid.columns) - 1) if here else -1
        for position, column in enumerate(self.grid.columns):
            key = CellKey(row.endpoint, column.vantage)
            cell = store.cell(key)
            bad = bad or cell.verdict in WORST
            depth = self.lens.depth(key, cell)
            if depth is not None and (least is None or depth < least):
                least = depth
            (text, colour), edge = self.lens.cell(key, cell, self.grid.detail), self._marks[position]
            style = token(colour)
            if edge == " " and position != chosen:
                segments.append(Segment(fit(" " + text, column.width), style))
                continue
            segments.append(Segment(edge, token("quiet")))
            segments.append(Segment(fit(text, column.width - 1), style + REVERSE if position == chosen else style))
        style = self.palette.strong if here else self.palette.text if bad else self.palette.token("quiet")
        endpoint = store.endpoints.get(row.endpoint)
        mark = STALE if endpoint is not None and endpoint.cluster in self._lost else " "
        room = self.grid.depth
        name = f"{mark} {fit_label(row.label, self.grid.first - 2 - room)}"
        if room:
            name += f"{'' if least is None else least:>{room - 1}} "
        return self._line([Segment(name, style), *segments])

    # --- keys and mouse

    def action_move(self, rows: int, columns: int) -> None:
        """Move the cursor."""
        self._go(self.cursor_row + rows, self.cursor_column + columns)

    def action_page(self, way: int) -> None:
        """Move by a screen."""
        self._go(self.cursor_row + way * max(self.size.height - HEADER_LINES - 1, 1), self.cursor_column)

    def action_edge(self, way: int) -> None:
        """Go to the first or last row."""
        self._go(0 if way < 0 else len(self.grid.rows) - 1, self.cursor_column)

    def action_open(self) -> None:
        """Open the cell, or fold the group."""
        row = self._row(self.cursor_row)
        if row is not None and row.endpoint is None:
            self.folded ^= {row.group}
            self.rebuild()
        elif key := self.cursor_key:
            self.post_message(self.CellOpened(key))

    def action_next_bad(self, way: int) -> None:
        """Go to the next or previous cell that is exposed or broken; that would open, or is one failure away, where
        those are what is looked at.
        """
        width = max(len(self.grid.columns), 1)
        total = len(self.grid.rows) * width
        start = self.cursor_row * width + self.cursor_column
        for step in range(1, total + 1):
            row, column = divmod((start + way * step) % total, width)
            endpoint = self.grid.rows[row].endpoint
            if endpoint is None:
                continue
            if self.lens.finds(CellKey(endpoint, self.grid.columns[column].vantage)):
                self._go(row, column)
                return

    def go_to(self, key: CellKey) -> None:
        """Put the cursor on a cell, unfolding and unfiltering as needed."""
        if key.endpoint not in self._row_of:
            self.folded.clear()
            self.wanted = ""
            self.lens.one_failure = None
            self.rebuild()
        columns = [column.vantage for column in self.grid.columns]
        if key.endpoint in self._row_of and key.vantage in columns:
            self._go(self._row_of[key.endpoint], columns.index(key.vantage))

    def _go(self, row: int, column: int) -> None:
        self._was_moved = True
        left = self.cursor_row
        self.cursor_row = max(0, min(row, len(self.grid.rows) - 1))
        self.cursor_column = max(0, min(column, len(self.grid.columns) - 1))
        self._keep_in_sight()
        self._repaint({left, self.cursor_row})
        self.post_message(self.CursorMoved())

    def _keep_in_sight(self) -> None:
        top, room = self.scroll_offset.y, max(self.size.height - HEADER_LINES, 1)
        if self.cursor_row < top:
            top = self.cursor_row
        elif self.cursor_row >= top + room:
            top = self.cursor_row - room + 1
        begin = sum(column.width for column in self.grid.columns[: self.cursor_column])
        left, width = self.scroll_offset.x, max(self.size.width - self.grid.first, 1)
        cell = self.grid.columns[self.cursor_column].width if self.grid.columns else 0
        if begin < left:
            left = begin
        elif begin + cell > left + width:
            left = begin + cell - width
        self.scroll_to(left, top, animate=False)

    def on_click(self, event: events.Click) -> None:
        """Select a cell; a second click opens it."""
        row = event.y - HEADER_LINES + self.scroll_offset.y
        if event.y < HEADER_LINES or self._row(row) is None:
            return
        x, column = event.x - self.grid.first + self.scroll_offset.x, self.cursor_column
        if event.x >= self.grid.first:
            for number, each in enumerate(self.grid.columns):
                if 0 <= x < each.width:
                    column = number
                x -= each.width
        same = (row, column) == (self.cursor_row, self.cursor_column)
        self._go(row, column)
        if same:
            self.action_open()

    def on_resize(self) -> None:
        """Lay out for the new size."""
        self.rebuild()
