"""One sentence that must be read."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static


class NoticeScreen(ModalScreen[bool]):
    """Returns whether to go back to the first screen."""

    DEFAULT_CSS = """
    NoticeScreen { align: center middle; }
    NoticeScreen Static { width: 80%; max-width: 90; height: auto; padding: 1 3; background: $panel; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter,escape,space", "done", "OK")]

    def __init__(self, sentence: str, *, can_go_back: bool) -> None:
        super().__init__()
        self._sentence = sentence
        self._can_go_back = can_go_back

    def compose(self) -> ComposeResult:
        """One box."""
        how = "enter goes back" if self._can_go_back else "enter leaves"
        yield Static(Content.assemble(self._sentence, "\n\n", (how, "$text-muted")))

    def action_done(self) -> None:
        """Close."""
        self.dismiss(self._can_go_back)
