"""What someone should act on, a line for each cause, the worst first."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from textwrap import wrap
from typing import TYPE_CHECKING, ClassVar, cast

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import Screen

from kubeshield_tui.model.cause import Cause
from kubeshield_tui.model.expectation import SEVERITIES
from kubeshield_tui.model.ids import CellKey, finding_id
from kubeshield_tui.session.query import causes_of
from kubeshield_tui.session.store import Store
from kubeshield_tui.ui.summary import clock
from kubeshield_tui.ui.widgets.cause_list import SEVERITY_TOKENS, CauseList, Row
from kubeshield_tui.ui.widgets.lines import Lines
from kubeshield_tui.ui.widgets.pager import Line, Piece

if TYPE_CHECKING:
    from kubeshield_tui.ui.app import KubeShieldApp

REFRESH_SECONDS = 1.0
REFRESH_SHARE = 0.05
"""Most of the time that grouping may take: in a very large estate the list moves less often instead."""
LABEL = 10


class FindingsScreen(Screen[CellKey]):
    """Returns the cell to go to."""

    DEFAULT_CSS = """
    FindingsScreen #title { background: $panel; }
    FindingsScreen CauseList { height: 3fr; }
    FindingsScreen VerticalScroll { height: 2fr; background: $panel; scrollbar-size: 1 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,f", "back", "Back")]
    keys: ClassVar[Line] = (
        (" esc", "heading"), (" back  ", "quiet"), ("enter", "heading"), (" cells, then the cell  ", "quiet"),
        ("left right", "heading"), (" fold, unfold  ", "quiet"), ("tab", "heading"), (" read on", "quiet"),
    )  # fmt: skip

    def __init__(self, store: Store) -> None:
        super().__init__()
        self.store = store
        self._revision = -1
        self._not_before = 0.0
        self._read: object = None
        """What the lower part tells of."""

    def compose(self) -> ComposeResult:
        """How many, the list, and more about the chosen one."""
        yield Lines(id="title")
        yield CauseList(self.store, cast("KubeShieldApp", self.app).alphabet)
        with VerticalScroll():
            yield Lines(id="more", wraps=True)
        yield Lines(self.keys)

    def on_mount(self) -> None:
        """Take the colours, and keep it live."""
        palette = cast("KubeShieldApp", self.app).palette
        for lines in self.query(Lines):
            lines.palette = palette
        self.query_one(CauseList).palette = palette.on_background()
        self.query_one(CauseList).focus()
        self._pull()
        self.set_interval(REFRESH_SECONDS, self._pull)

    def _pull(self) -> None:
        began = time.monotonic()
        if began < self._not_before:
            return
        changes = self.store.changes_since(self._revision)
        if self._revision < 0 or changes.findings or changes.structure:
            causes = causes_of(self.store)
            self.query_one("#title", Lines).show(_title(causes))
            self.query_one(CauseList).show(causes)
            self._not_before = time.monotonic() + (time.monotonic() - began) / REFRESH_SHARE
        elif changes.cells:
            self.query_one(CauseList).refresh()
        self._revision = changes.revision

    @on(CauseList.Highlighted)
    def _highlighted(self) -> None:
        row = self.query_one(CauseList).row
        lines = [] if row is None else list(self._more(row))
        self.query_one("#more", Lines).show(*lines)
        if row is not None and row.identity != self._read:
            self._read = row.identity
            self.query_one(VerticalScroll).scroll_home(animate=False)

    def on_resize(self) -> None:
        """Lines are wrapped to the width."""
        self._highlighted()

    def _more(self, row: Row) -> Iterator[Line]:
        """Why, how to see it, what to do: of a cause, or of one of its cells."""
        cause, finding = row.cause, None
        if row.member is not None and row.key is not None:
            finding = self.store.findings.get(finding_id(cause.code, *row.key))
        shown = finding or cause
        yield ((f" {shown.title}", "strong"),)
        at = self.store.raised_at.get(finding.id, 0.0) if finding is not None else cause.since
        yield from self._labelled("where", _where(row, at), "quiet")
        for line in shown.because:
            yield from self._labelled("because", line, "")
        for line in shown.verify:
            yield from self._labelled("verify", line, "simulated")
        yield from self._labelled("remedy", shown.remedy, "reachable")

    def _labelled(self, label: str, text: str, token: str) -> Iterator[Line]:
        width = max((self.size.width or 80) - LABEL - 4, 20)
        for number, piece in enumerate(wrap(text, width, break_on_hyphens=False)):
            yield ((f" {'' if number else label:<{LABEL}}", "quiet"), (piece, token))

    @on(CauseList.Chosen)
    def _chosen(self, message: CauseList.Chosen) -> None:
        if message.row.key is not None:
            self.dismiss(message.row.key)
        else:
            self.notify("this is about no cell of the grid", timeout=2)

    def action_back(self) -> None:
        """Close."""
        self.dismiss(None)


def _title(causes: tuple[Cause, ...]) -> Line:
    """How many there are, how bad, and in how many cells they show."""
    counts = Counter(cause.severity for cause in causes)
    pieces: list[Piece] = [(f" {len(causes)} finding{'s' * (len(causes) != 1)}   ", "strong")]
    pieces.extend(
        (f"{counts[severity]} {severity}  ", SEVERITY_TOKENS.get(severity, "quiet"))
        for severity in reversed(SEVERITIES)
        if counts[severity]
    )
    if cells := len({key for cause in causes for key in cause.cells}):
        pieces.append((f" in {cells:,} cell{'s' * (cells != 1)}", "quiet"))
    return tuple(pieces)


def _where(row: Row, since: float) -> str:
    """What it is about, from the outside in, who reaches it, and since when."""
    cause, key = row.cause, row.key
    object_ = "/".join(part for part in (cause.namespace, cause.object) if part)
    parts = [cause.cluster, object_, cause.component, key and f"from {key.vantage}"]
    if cause.reached_from:
        parts.append(f"reached from {len(cause.reached_from)}")
    if since:
        parts.append(f"since {clock(since)}")
    return f"{cause.code}: {', '.join(part for part in parts if part)}"
