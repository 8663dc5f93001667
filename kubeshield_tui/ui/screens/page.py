"""A screen that is one page of lines, with a title, a search line and its keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar, cast

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.widgets import Input

from kubeshield_tui.ui.widgets.lines import Lines
from kubeshield_tui.ui.widgets.pager import Line, Pager

if TYPE_CHECKING:
    from kubeshield_tui.ui.app import KubeShieldApp

R = TypeVar("R")


class PageScreen(Screen[R], Generic[R]):
    """Subclasses say what the title, the lines and the keys are."""

    DEFAULT_CSS = """
    PageScreen #title { background: $panel; }
    PageScreen #search { display: none; height: 1; border: none; padding: 0 1; background: $panel; }
    PageScreen #search.-open { display: block; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "back", "Back"),
        Binding("slash", "search", "Search"),
        Binding("n", "next(1)", "Next match", show=False),
        Binding("N", "next(-1)", "Previous match", show=False),
        Binding("y", "copy", "Copy the line", show=False, id="page.copy"),
        Binding("Y", "copy_all", "Copy the page", show=False, id="page.copy_all"),
    ]
    keys: ClassVar[Line] = ((" esc", "heading"), (" back  ", "quiet"), ("/", "heading"), (" search", "quiet"))

    @property
    def kubeshield(self) -> KubeShieldApp:
        """The app, with its type."""
        return cast("KubeShieldApp", self.app)

    def title_lines(self) -> Sequence[Line]:
        """Lines above the page."""
        return ()

    def page_lines(self) -> Sequence[Line]:
        """Lines of the page."""
        return ()

    def compose(self) -> ComposeResult:
        """Title, page, search, keys."""
        yield Lines(id="title")
        yield Pager()
        yield Input(placeholder="search", id="search")
        yield Lines(id="keys")

    def on_mount(self) -> None:
        """Fill it."""
        palette = self.kubeshield.palette
        self.query_one(Pager).palette = palette
        for lines in self.query(Lines):
            lines.palette = palette
        self.query_one("#keys", Lines).show(self.keys)
        self.query_one(Pager).focus()
        self.fill()

    def fill(self) -> None:
        """Show what is so now."""
        self.query_one("#title", Lines).show(*self.title_lines())
        self.query_one(Pager).show(self.page_lines())

    def on_resize(self) -> None:
        """Lines are wrapped to the width."""
        self.fill()

    def action_back(self) -> None:
        """Close the search, then the screen."""
        line = self.query_one("#search", Input)
        if line.has_class("-open"):
            line.remove_class("-open")
            self.query_one(Pager).search("")
            self.query_one(Pager).focus()
        else:
            self.dismiss(None)

    def action_search(self) -> None:
        """Open the search's line."""
        line = self.query_one("#search", Input)
        line.add_class("-open")
        line.focus()

    def action_next(self, way: int) -> None:
        """Go to the next match."""
        pager = self.query_one(Pager)
        pager.search(pager.wanted, way)

    def action_copy(self) -> None:
        """Copy the marked line."""
        self._copy(self.query_one(Pager).copied(), "the line")

    def action_copy_all(self) -> None:
        """Copy the whole page."""
        self._copy(self.page_text(), "the page")

    def page_text(self) -> str:
        """Title and page as text."""
        lines = [*self.title_lines(), *self.page_lines()]
        return "".join("".join(piece for piece, _ in line).rstrip() + "\n" for line in lines)

    def _copy(self, text: str, what: str) -> None:
        # The terminal is asked (OSC 52); none answers whether it did.
        self.app.copy_to_clipboard(text)
        self.notify(f"copied {what}", markup=False, timeout=2)

    @on(Input.Changed, "#search")
    def _search_changed(self, event: Input.Changed) -> None:
        self.query_one(Pager).search(event.value)

    @on(Input.Submitted, "#search")
    def _search_taken(self) -> None:
        self.query_one(Pager).focus()
