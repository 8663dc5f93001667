"""Causes, a line each, which unfold into their cells.

Draws line by line, so a cause of ten thousand cells unfolds at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import localtime, strftime
from typing import ClassVar, NamedTuple

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from kubeshield_tui.judgement.words import describe
from kubeshield_tui.model.cause import Cause
from kubeshield_tui.model.expectation import Severity
from kubeshield_tui.model.ids import CellKey, EndpointId, FindingId
from kubeshield_tui.session.store import Store
from kubeshield_tui.ui.symbols import Alphabet, short, token_of
from kubeshield_tui.ui.themes import Palette
from kubeshield_tui.ui.widgets.layout import cut_middle, fit, fit_label, row_label
from kubeshield_tui.ui.widgets.pager import Line

REVERSE = Style(reverse=True)
SEVERITY_TOKENS = {Severity.CRITICAL: "exposed", Severity.HIGH: "broken", Severity.MEDIUM: "unproven"}
WIDE = 100
"""Columns from which there is room for all counts and the time."""
SEVERITY, COUNT, SHORT_COUNT, SINCE = 10, 22, 10, 6
LABEL, VANTAGE = 60, 30


class Row(NamedTuple):
    """A cause, or one of what it unfolds into."""

    cause: Cause
    member: int | None = None

    @property
    def key(self) -> CellKey | None:
        """The cell that it is about: of a cause the worst, None for objects and clusters."""
        cells = self.cause.cells
        return cells[self.member or 0] if cells else None

    @property
    def identity(self) -> tuple[FindingId, object]:
        """What stays the same while counts change."""
        return self.cause.id, None if self.member is None else members_of(self.cause)[self.member]


def members_of(cause: Cause) -> Sequence[CellKey | str]:
    """What a cause unfolds into."""
    return cause.cells or cause.objects


class CauseList(ScrollView, can_focus=True):
    """Sends Chosen when one is opened that does not unfold, Highlighted when the cursor stands elsewhere."""

    DEFAULT_CSS = "CauseList { height: 1fr; scrollbar-size: 1 1; overflow-x: hidden; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("pageup", "page(-1)", "Page up", show=False),
        Binding("pagedown", "page(1)", "Page down", show=False),
        Binding("home,g", "edge(0)", "First", show=False),
        Binding("end,G", "edge(-1)", "Last", show=False),
        Binding("enter", "open", "Open"),
        Binding("right,l", "unfold", "Unfold", show=False),
        Binding("left,h", "fold", "Fold", show=False),
    ]

    class Highlighted(Message):
        """The cursor stands elsewhere, or what is under it changed."""

    class Chosen(Message):
        """A row was opened that does not unfold."""

        def __init__(self, row: Row) -> None:
            super().__init__()
            self.row = row

    def __init__(self, store: Store, alphabet: Alphabet) -> None:
        super().__init__()
        self.store = store
        self.alphabet = alphabet
        self.palette = Palette({})
        self.cursor = 0
        self.rows: list[Row] = []
        self._causes: Sequence[Cause] = ()
        self._unfolded: set[FindingId] = set()
        self._widest = 0
        """Columns of the longest text of a cause: counts stand beside the texts, not at the far edge."""
        self._widest_label = 0
        """The same of the endpoints of cells that are shown."""

    @property
    def row(self) -> Row | None:
        """What is under the cursor."""
        return self.rows[self.cursor] if self.rows else None

    def show(self, causes: Sequence[Cause]) -> None:
        """Show these; the cursor stays with what it stood on, or near it where that is gone."""
        here = self.row
        self._causes = causes
        self._lay_out()
        if here is not None:
            places = {row.identity: number for number, row in enumerate(self.rows)}
            place = places.get(here.identity, places.get((here.cause.id, None), self.cursor))
            self.cursor = max(0, min(place, len(self.rows) - 1))
        self._moved()

    def _lay_out(self) -> None:
        self.rows = []
        shown: set[EndpointId] = set()
        for cause in self._causes:
            self.rows.append(Row(cause))
            if cause.id in self._unfolded:
                self.rows.extend(Row(cause, number) for number in range(len(members_of(cause))))
                shown.update(key.endpoint for key in cause.cells)
        self._widest = max((cell_len(cause.what) for cause in self._causes), default=0)
        self._widest_label = max((cell_len(self._label(endpoint)) for endpoint in shown), default=0)
        self.virtual_size = Size(self.size.width, len(self.rows))

    def _moved(self) -> None:
        top, room = int(self.scroll_offset.y), max(self.size.height, 1)
        top = max(min(top, self.cursor), self.cursor - room + 1)
        self.scroll_to(0, top, animate=False)
        self.refresh()
        self.post_message(self.Highlighted())

    # --- drawing

    def render_line(self, y: int) -> Strip:
        """Draw one line of the viewport."""
        number, width = y + int(self.scroll_offset.y), self.size.width
        if number >= len(self.rows):
            return Strip.blank(width, self.palette.background)
        row = self.rows[number]
        line = self._cause(row.cause, width) if row.member is None else self._member(row, width)
        chosen = number == self.cursor
        segments = [Segment(text, self._style(token, chosen)) for text, token in line]
        return Strip(segments).adjust_cell_length(width, self._style("", chosen))

    def _style(self, token: str, chosen: bool) -> Style:
        """Under the cursor one bar, in which severity and verdict keep their colours."""
        if not chosen:
            return self.palette.token(token)
        return self.palette.token("" if token == "quiet" else token) + REVERSE

    def _cause(self, cause: Cause, width: int) -> Line:
        token = SEVERITY_TOKENS.get(cause.severity, "quiet")
        mark = " "
        if len(members_of(cause)) > 1:
            mark = self.alphabet.unfolded if cause.id in self._unfolded else self.alphabet.folded
        head, wide = f" {mark} ", width >= WIDE
        if wide:
            tail = f"{cut_middle(cause.count, COUNT):>{COUNT}}  {since(cause, self.store.now):>{SINCE}} "
        else:
            tail = f"{cut_middle(cause.count.partition(',')[0], SHORT_COUNT):>{SHORT_COUNT}} "
        what = fit(cause.what, min(max(width - len(head) - SEVERITY - cell_len(tail) - 1, 10), self._widest))
        strong = cause.severity in SEVERITY_TOKENS
        return (
            (head, "quiet"),
            (f"{cause.severity.upper():<{SEVERITY}}", token),
            (what, "" if strong else "quiet"),
            (f" {tail}", "quiet"),
        )

    def _member(self, row: Row, width: int) -> Line:
        key = row.key
        assert row.member is not None
        if key is None:
            return ((f"{'':<{SEVERITY + 3}}{row.cause.objects[row.member]}", ""),)
        cell = self.store.cell(key)
        room = min(LABEL, max((width - SEVERITY - 6) * 6 // 10, 10), self._widest_label)
        told = "" if cell.observation is None else describe(cell.observation)
        return (
            (" " * (SEVERITY - 2), ""),
            (f"{short(cell, self.alphabet):<4} ", token_of(cell)),
            (fit_label(self._label(key.endpoint), room), ""),
            ("  from ", "quiet"),
            (f"{fit(key.vantage, VANTAGE) if width >= WIDE else key.vantage}  ", ""),
            (told if width >= WIDE else "", "quiet"),
        )

    def _label(self, endpoint: EndpointId) -> str:
        found = self.store.endpoints.get(endpoint)
        return row_label(found) if found is not None else endpoint

    # --- keys and mouse

    def action_move(self, rows: int) -> None:
        """Move the cursor."""
        self.cursor = max(0, min(self.cursor + rows, len(self.rows) - 1))
        self._moved()

    def action_page(self, way: int) -> None:
        """Move by a screen."""
        self.action_move(way * max(self.size.height - 1, 1))

    def action_edge(self, end: int) -> None:
        """Go to the first or last row."""
        self.cursor = max(len(self.rows) - 1, 0) if end else 0
        self._moved()

    def action_open(self) -> None:
        """Unfold or fold a cause of several; choose what does not unfold."""
        row = self.row
        if row is None:
            return
        if row.member is None and len(members_of(row.cause)) > 1:
            self._fold(row.cause, row.cause.id not in self._unfolded)
        else:
            self.post_message(self.Chosen(row))

    def action_unfold(self) -> None:
        """Show what a cause is made of; where that is shown, go to its first."""
        row = self.row
        if row is None or row.member is not None or len(members_of(row.cause)) < 2:
            return
        if row.cause.id in self._unfolded:
            self.action_move(1)
        else:
            self._fold(row.cause, True)

    def action_fold(self) -> None:
        """Fold the cause under the cursor, from anywhere in it."""
        if self.row is not None and self.row.cause.id in self._unfolded:
            self._fold(self.row.cause, False)

    def _fold(self, cause: Cause, unfolded: bool) -> None:
        member = self.rows[self.cursor].member
        self.cursor -= 0 if member is None else member + 1
        (self._unfolded.add if unfolded else self._unfolded.discard)(cause.id)
        self._lay_out()
        self._moved()

    def on_click(self, event: events.Click) -> None:
        """Select a row; a second click opens it."""
        number = event.y + int(self.scroll_offset.y)
        if number < len(self.rows):
            same, self.cursor = number == self.cursor, number
            self._moved()
            if same:
                self.action_open()

    def on_resize(self) -> None:
        """Keep the cursor in sight."""
        self._lay_out()
        self._moved()


def since(cause: Cause, now: float) -> str:
    """Since when it stands: a time of day, a date where that was not within a day."""
    if not cause.since:
        return ""
    return strftime("%H:%M" if now - cause.since < 86400 else "%b %d", localtime(cause.since))
