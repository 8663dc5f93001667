"""A yes for objects that would be created, each of them named."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static


class ConsentScreen(ModalScreen[bool]):
    """Returns whether they may be created; anything but `y` is a no."""

    DEFAULT_CSS = """
    ConsentScreen { align: center middle; }
    ConsentScreen Static { width: 90%; max-width: 110; height: auto; padding: 1 3; background: $panel; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "Yes"),
        Binding("n,escape,enter,q", "answer(False)", "No"),
    ]

    def __init__(self, question: str, objects: Sequence[str]) -> None:
        super().__init__()
        self._question = question
        self._objects = objects

    def compose(self) -> ComposeResult:
        """One box."""
        listed = "\n\n".join(self._objects)
        yield Static(Content.assemble(self._question, "\n\n", listed, "\n\n", ("y creates them, n does not", "bold")))

    def action_answer(self, said: bool) -> None:
        """Close."""
        self.dismiss(said)
