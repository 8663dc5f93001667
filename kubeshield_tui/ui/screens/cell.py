"""Everything about one cell, live."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Sequence
from pathlib import Path
from typing import ClassVar

from textual.binding import Binding, BindingType

from kubeshield_tui.model.ids import CellKey
from kubeshield_tui.session.control import SessionControl
from kubeshield_tui.session.query import keys_of_row
from kubeshield_tui.ui.detail import SECTIONS, cell_page, section_line
from kubeshield_tui.ui.screens.page import PageScreen
from kubeshield_tui.ui.selftest import offer_self_test
from kubeshield_tui.ui.widgets.layout import row_label
from kubeshield_tui.ui.widgets.pager import Line, Pager

REFRESH_SECONDS = 0.5


class CellScreen(PageScreen[None]):
    """One cell."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *(Binding(str(number), f"section({number})", name, show=False) for number, name in enumerate(SECTIONS, 1)),
        Binding("r", "again", "Ask again", id="page.ask"),
        Binding("w", "rulesets", "Read rulesets", id="page.rulesets"),
        Binding("m", "opinion('cell')", "Ask nmap", id="page.nmap"),
        Binding("M", "opinion('row')", "Ask nmap from everywhere", show=False, id="page.nmap_row"),
        Binding("i", "inspect", "Inspect", id="page.inspect"),
        Binding("s", "save", "Save", id="page.save"),
        Binding("p", "self_test", "Prove enforcement", show=False, id="page.self_test"),
    ]
    keys: ClassVar[Line] = (
        (" esc", "heading"), (" back  ", "quiet"), ("1-6", "heading"), (" sections  ", "quiet"),
        ("/", "heading"), (" find  ", "quiet"), ("r", "heading"), (" again  ", "quiet"),
        ("m", "heading"), (" nmap  ", "quiet"), ("i", "heading"), (" inspect  ", "quiet"),
        ("w", "heading"), (" rulesets  ", "quiet"), ("s", "heading"), (" save", "quiet"),
    )  # fmt: skip

    def __init__(self, session: SessionControl, key: CellKey) -> None:
        super().__init__()
        self.session = session
        self.store = session.store
        self.key = key

    def on_mount(self) -> None:
        """Keep it live."""
        self.set_interval(REFRESH_SECONDS, self.fill)

    def title_lines(self) -> Sequence[Line]:
        """What this cell is, and its verdict."""
        endpoint = self.store.endpoints.get(self.key.endpoint)
        cell = self.store.cell(self.key)
        name = row_label(endpoint) if endpoint else self.key.endpoint
        verdict = str(cell.verdict or "")
        return (((f" {name}", "strong"), (f"  from {self.key.vantage}   ", "quiet"), (verdict.upper(), verdict)),)

    def page_lines(self) -> Sequence[Line]:
        """The page."""
        return cell_page(self.store, self.key, time.time(), self.size.width or 80)

    def action_section(self, number: int) -> None:
        """Go to a section."""
        pager = self.query_one(Pager)
        pager.scroll_to(0, section_line(list(pager.lines), number), animate=False)

    def action_again(self) -> None:
        """Ask this cell again."""
        count = self.session.ask_again((self.key,))
        self.notify("asking again" if count else "this can't be asked", markup=False, timeout=2)

    def action_self_test(self) -> None:
        """Offer to show whether this cell's cluster enforces policies."""
        offer_self_test(self, self.session, self.key)

    def action_opinion(self, what: str) -> None:
        """Ask nmap of this cell, or of its endpoint from every vantage."""
        keys = (self.key,) if what == "cell" else keys_of_row(self.store, self.key)
        self.notify("asking nmap ...", markup=False, timeout=2)
        self.run_worker(self._look(self.session.hear_opinions(keys)), group="opinions", exit_on_error=False)

    def action_inspect(self) -> None:
        """Hold the whole safe conversation with this endpoint."""
        self.notify("inspecting: safe requests, nothing is followed ...", markup=False, timeout=2)
        self.run_worker(self._look(self.session.inspect(self.key)), group="inspect", exit_on_error=False)

    async def _look(self, asked: Awaitable[None]) -> None:
        await asked
        self.fill()
        self.action_section(SECTIONS.index("second look") + 1)

    def action_rulesets(self) -> None:
        """Read the rulesets of this cell's host."""
        vantage = self.store.vantages.get(self.key.vantage)
        if vantage is None or not vantage.spec.host:
            self.notify("rulesets are read over SSH vantages", markup=False)
            return
        self.run_worker(self._read_rulesets(), exclusive=True, group="rulesets", exit_on_error=False)

    async def _read_rulesets(self) -> None:
        self.notify("reading rulesets, read-only ...", markup=False, timeout=2)
        await self.session.collect_host(self.key.vantage)
        self.fill()
        self.action_section(SECTIONS.index("firewall") + 1)

    def action_save(self) -> None:
        """Save the page as text."""
        safe = "".join(
            letter if letter.isalnum() or letter in ".-" else "_" for letter in f"{self.key[0]}@{self.key[1]}"
        )
        path = Path(f"kubeshield-{safe}.txt").absolute()
        text = "\n".join("".join(piece for piece, _ in line) for line in [*self.title_lines(), *self.page_lines()])
        try:
            path.touch(mode=0o600)
            path.write_text(text + "\n", encoding="utf-8")
        except OSError as error:
            self.notify(f"can't write {path}: {error.strerror}", severity="error", markup=False)
        else:
            self.notify(f"saved {path}", markup=False)
