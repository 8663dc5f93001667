"""The grid with what stands around it: the screen that is open all day."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, ClassVar, cast

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Input, Static

from kubeshield_tui.model.ids import CellKey
from kubeshield_tui.session.control import SessionControl
from kubeshield_tui.session.layers_off import LeftOut, of_cell, of_walls
from kubeshield_tui.session.one_failure import OneFailure
from kubeshield_tui.session.query import keys_of_column, keys_of_row, lost_clusters
from kubeshield_tui.ui.imagining import Imagining
from kubeshield_tui.ui.page.witnesses import opinion_line
from kubeshield_tui.ui.proving import ask_controls
from kubeshield_tui.ui.selftest import offer_self_test
from kubeshield_tui.ui.summary import (
    cell_line,
    depth_line,
    headline,
    imagined_legend,
    legend,
    title_line,
    vantage_line,
    wall_lines,
    what_if_line,
    what_if_words,
)
from kubeshield_tui.ui.widgets.lines import Lines
from kubeshield_tui.ui.widgets.matrix import Matrix
from kubeshield_tui.ui.widgets.pager import Line

if TYPE_CHECKING:
    from kubeshield_tui.ui.app import KubeShieldApp

FRAME_HZ = 20
"""Faster is not readable and costs CPU."""
LINES_HZ = 5
"""How often the numbers around the grid move: nobody reads a rate twenty times a second."""
SMALLEST = (60, 15)
"""Columns and rows below which a sentence is shown instead."""
TALL = 30
"""Rows from which on there is room to say more."""
KEYS: Line = (
    (" enter", "heading"), (" open  ", "quiet"), ("/", "heading"), (" filter  ", "quiet"),
    ("f", "heading"), (" findings  ", "quiet"), ("n", "heading"), (" next  ", "quiet"),
    ("d", "heading"), (" drop layer  ", "quiet"), ("p", "heading"), (" prove  ", "quiet"),
    ("?", "heading"), (" keys  ", "quiet"),
    ("q", "heading"), (" quit", "quiet"),
)  # fmt: skip


class AuditScreen(Screen[None]):
    """Live until the session ends."""

    DEFAULT_CSS = """
    AuditScreen #top { background: $panel; }
    AuditScreen #what-if { display: none; height: auto; background: $warning; color: auto 90%; text-style: bold; }
    AuditScreen #walls { display: none; background: $panel; }
    AuditScreen.-one-failure #walls { display: block; }
    AuditScreen.-imagined #what-if { display: block; }
    AuditScreen #cell { height: 2; background: $panel; }
    AuditScreen.-tall #cell { height: 3; }
    AuditScreen #filter { display: none; height: 1; border: none; padding: 0 1; background: $panel; }
    AuditScreen #filter.-open { display: block; }
    AuditScreen.-tiny Matrix, AuditScreen.-tiny Lines, AuditScreen.-tiny #what-if { display: none; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "filter", "Filter", id="grid.filter"),
        Binding("f", "findings", "Findings", id="grid.findings"),
        Binding("v", "vantages", "Vantages", show=False, id="grid.vantages"),
        Binding("x", "expectations", "Expectations", show=False, id="grid.expectations"),
        Binding("space", "pause", "Pause", show=False, id="grid.pause"),
        Binding("r", "again('cell')", "Ask again", id="grid.ask"),
        Binding("R", "again('row')", "Ask the row again", show=False, id="grid.ask_row"),
        Binding("C", "again('column')", "Ask the column again", show=False, id="grid.ask_column"),
        Binding("m", "opinion('cell')", "Ask nmap of the cell", show=False, id="grid.nmap"),
        Binding("M", "opinion('column')", "Ask nmap of the column", show=False, id="grid.nmap_column"),
        Binding("p", "prove", "Prove", show=False, id="grid.prove"),
        Binding("P", "self_test", "Prove enforcement", show=False, id="grid.self_test"),
        Binding("d", "drop", "Drop a layer", show=False, id="grid.drop"),
        Binding("1", "one_failure", "One failure away", show=False, id="grid.one_failure"),
        Binding("colon", "app.command_palette", "Palette", show=False, id="grid.palette"),
        Binding("escape", "clear", "Back to all that is", show=False),
    ]

    def __init__(self, session: SessionControl) -> None:
        super().__init__()
        self.session = session
        self.store = session.store
        self._revision = 0
        self._lines_at = 0.0
        self._matrix = Matrix(self.store, self.kubeshield.alphabet)
        self._imagining = Imagining(self, self.store, session.chains, self._matrix.lens, self._look_anew)

    @property
    def kubeshield(self) -> KubeShieldApp:
        """The app, with its type."""
        return cast("KubeShieldApp", self.app)

    def compose(self) -> ComposeResult:
        """Title, headline, vantages; the grid; the cell's sentence; legend and keys."""
        yield Lines(id="top")
        yield Static(id="what-if")
        yield Lines(id="walls")
        yield self._matrix
        yield Input(placeholder="filter: name, address, namespace or verdict", id="filter")
        yield Lines(id="cell", wraps=True)
        yield Lines(id="bottom")
        columns, rows = SMALLEST
        yield Static(f"This needs a terminal of {columns} x {rows}; make it larger.", id="tiny")

    def on_mount(self) -> None:
        """Start pulling."""
        self._paint()
        self.app.theme_changed_signal.subscribe(self, lambda _: self._paint())
        self._matrix.focus()
        self.set_interval(1 / FRAME_HZ, self.tick)
        self.tick()

    def _paint(self) -> None:
        palette = self.kubeshield.palette
        self._matrix.set_palette(palette)
        for lines in self.query(Lines):
            lines.palette = palette
            lines.refresh()

    def on_resize(self, event: events.Resize) -> None:
        """Say so where there is no room."""
        self.set_class(event.size.width < SMALLEST[0] or event.size.height < SMALLEST[1], "-tiny")
        self.set_class(event.size.height >= TALL, "-tall")

    def tick(self) -> None:
        """Pull what changed since the last frame."""
        changes = self.store.changes_since(self._revision)
        matrix, one_failure = self._matrix, self._matrix.lens.one_failure
        self._imagining.follow(changes)
        if one_failure is not None and changes.structure:
            one_failure.follow()
        if (one_failure is not None and one_failure.update(changes.cells)) or changes.structure:
            matrix.rebuild()
        if changes.cells:
            matrix.touch(changes.cells)
        if changes.status:
            matrix.show_lost(lost_clusters(self.store))
        if changes.vantages:
            matrix.refresh_line(1)
        self._revision = changes.revision
        soon = changes.structure or changes.vantages or changes.status
        if soon or time.monotonic() - self._lines_at >= 1 / LINES_HZ:
            self._show_lines()

    def _show_lines(self) -> None:
        self._lines_at = time.monotonic()
        now, store, alphabet = time.time(), self.store, self.kubeshield.alphabet
        top = [title_line(store, now, self.size.width), headline(store, alphabet, now), vantage_line(store, alphabet)]
        if store.simulated and self.size.height >= TALL:
            top.append(((f" SIMULATED: {store.simulated}", "simulated"),))
        self.query_one("#top", Lines).show(*top)
        self._show_cell(now)
        signs = legend(alphabet) if self._matrix.lens.what_if is None else imagined_legend(alphabet)
        bottom = [KEYS] if self.size.height < TALL else [signs, KEYS]
        self.query_one("#bottom", Lines).show(*bottom)
        self._show_lens()

    def _show_lens(self) -> None:
        """Say over the grid what of it is looked at, and above all whether it is real."""
        imagining, lens, alphabet = self._imagining, self._matrix.lens, self.kubeshield.alphabet
        self.set_class(imagining.chosen is not None, "-imagined")
        if imagining.chosen is not None:
            words = what_if_words(imagining.chosen, lens.what_if, imagining.working, alphabet)
            self.query_one("#what-if", Static).update(Content(words))
        room = 2 if self.size.height < TALL else 4
        self.set_class(lens.one_failure is not None, "-one-failure")
        if lens.one_failure is not None:
            self.query_one("#walls", Lines).show(*wall_lines(lens.one_failure, alphabet, room))

    def _look_anew(self) -> None:
        """Draw what is looked at now, whole."""
        self._matrix.refresh()
        self._show_lines()

    @on(Matrix.CursorMoved)
    def _cursor_moved(self) -> None:
        self._show_cell(time.time())
        self._matrix.refresh_line(1)

    def _show_cell(self, now: float) -> None:
        key, chosen, what_if = self._matrix.cursor_key, self._imagining.chosen, self._matrix.lens.what_if
        if key is not None and chosen is not None and what_if is not None:
            line = what_if_line(self.store, key, chosen, what_if)
        else:
            line = (*cell_line(self.store, key, now), *(depth_line(self.store, key) if key is not None else ()))
        self.query_one("#cell", Lines).show(line)

    @on(Matrix.CellOpened)
    def _cell_opened(self, message: Matrix.CellOpened) -> None:
        self.open_cell(message.key)

    def open_cell(self, key: CellKey) -> None:
        """Show everything about a cell."""
        from kubeshield_tui.ui.screens.cell import CellScreen

        self.app.push_screen(CellScreen(self.session, key))

    def go_to(self, key: CellKey | None) -> None:
        """Put the cursor on a cell."""
        if key is not None:
            self._matrix.go_to(key)

    def action_findings(self) -> None:
        """List what someone should act on."""
        from kubeshield_tui.ui.screens.findings import FindingsScreen

        self.app.push_screen(FindingsScreen(self.store), self.go_to)

    def action_vantages(self) -> None:
        """Show every vantage with its health."""
        from kubeshield_tui.ui.screens.vantages import VantagesScreen

        self.app.push_screen(VantagesScreen(self.session))

    def action_expectations(self) -> None:
        """Show what is declared, and what each line came to."""
        from kubeshield_tui.ui.screens.expectations import ExpectationsScreen

        self.app.push_screen(ExpectationsScreen(self.store))

    def action_pause(self) -> None:
        """Stop asking, or go on."""
        self.session.pause(not self.store.paused)

    def action_again(self, what: str) -> None:
        """Ask a cell, its row or its column again."""
        key = self._matrix.cursor_key
        if key is None:
            return
        keys = {"cell": (key,), "row": keys_of_row(self.store, key), "column": keys_of_column(self.store, key)}[what]
        count = self.session.ask_again(keys)
        self.notify(f"asking {count} of {len(keys)} again" if count else "this can't be asked", markup=False, timeout=2)

    def action_opinion(self, what: str) -> None:
        """Ask nmap of a cell or a column; the answers stand in the cells' pages, differences are told here."""
        key = self._matrix.cursor_key
        if key is not None:
            keys = (key,) if what == "cell" else keys_of_column(self.store, key)
            self.notify(f"asking nmap of {len(keys)} cells ...", markup=False, timeout=3)
            self.run_worker(self._hear(tuple(keys)), group="opinions", exit_on_error=False)

    async def _hear(self, keys: tuple[CellKey, ...]) -> None:
        await self.session.hear_opinions(keys)
        heard = [opinion for key in keys if (opinion := self.store.opinions.get(key)) is not None]
        if len(heard) == 1:
            self.notify(f"{heard[0].by}: {opinion_line(heard[0])}", markup=False, timeout=8)
            return
        silent = [opinion for opinion in heard if opinion.error]
        differs = sum(opinion.differs for opinion in heard)
        said = f"nmap agrees on {len(heard) - len(silent) - differs} cells, differs on {differs}"
        self.notify(f"{said}, says nothing of {len(silent)}", markup=False, timeout=8)

    def action_drop(self) -> None:
        """Choose what to leave out of the model, or put it back."""
        if self._imagining.chosen is not None:
            self._imagining.stop()
            return
        from kubeshield_tui.ui.screens.drop import DropScreen

        key, one_failure = self._matrix.cursor_key, self._matrix.lens.one_failure or OneFailure(self.store)
        offered = [(each, "in this cell") for each in of_cell(self.store.cell(key).judgement if key else None)]
        for wall in of_walls(one_failure.walls):
            count = one_failure.walls[wall.words]
            note = f"{count} {'cell is' if count == 1 else 'cells are'} behind it alone"
            offered = [each for each in offered if each[0] != wall]
            offered.append((wall, note))
        self.app.push_screen(DropScreen(offered), self._dropped)

    def _dropped(self, chosen: LeftOut | None) -> None:
        if chosen is not None:
            self._imagining.start(chosen)

    def action_one_failure(self) -> None:
        """Show only rows with blocks that one failure would open, or all again."""
        lens = self._matrix.lens
        lens.one_failure = OneFailure(self.store) if lens.one_failure is None else None
        self._matrix.rebuild()
        self._show_lines()

    def action_prove(self) -> None:
        """Ask the controls that a block of this cell is proven by, then the cell."""
        key = self._matrix.cursor_key
        if key is not None:
            ask_controls(self, self.session, key)

    def action_self_test(self) -> None:
        """Offer to show whether the cell's cluster enforces policies."""
        key = self._matrix.cursor_key
        if key is not None:
            offer_self_test(self, self.session, key)

    def action_filter(self) -> None:
        """Open the filter's line."""
        line = self.query_one("#filter", Input)
        line.add_class("-open")
        line.focus()

    def action_clear(self) -> None:
        """Put back what was left out; else show all rows again."""
        if self._imagining.chosen is not None:
            self._imagining.stop()
            return
        if self._matrix.lens.one_failure is not None:
            self.action_one_failure()
            return
        line = self.query_one("#filter", Input)
        line.value = ""
        line.remove_class("-open")
        self._matrix.focus()

    @on(Input.Changed, "#filter")
    def _filter_changed(self, event: Input.Changed) -> None:
        matrix = self._matrix
        matrix.wanted = event.value.strip()
        matrix.rebuild()

    @on(Input.Submitted, "#filter")
    def _filter_taken(self) -> None:
        self._matrix.focus()
