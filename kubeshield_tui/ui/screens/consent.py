"""A yes for objects that would be created, each of them named."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static


class ConsentScreen(ModalScreen[bool]):
    """Returns whether they may be created; anything but `y` is a no."""

    DEFAULT_CSS = """
    ConsentScreen { align: center middle; }
    ConsentScreen Vertical { width: 90%; max-width: 116; height: auto; max-height: 95%; padding: 1 3; }
    ConsentScreen Vertical { background: $panel; }
    ConsentScreen VerticalScroll { height: auto; max-height: 100%; scrollbar-size: 1 1; }
    ConsentScreen #keys { dock: bottom; height: 2; padding-top: 1; background: $panel; text-style: bold; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "Yes"),
        Binding("n,escape,enter,q", "answer(False)", "No"),
    ]

    def __init__(self, question: str, objects: Sequence[str], keys: str = "y creates them, n does not") -> None:
        super().__init__()
        self._keys = keys
        self._question = question
        self._objects = objects

    def compose(self) -> ComposeResult:
        """One box, whose keys stay in sight however long the list is."""
        with Vertical():
            with VerticalScroll():
                yield Static(Content("\n\n".join((self._question, *self._objects))), id="listed")
            yield Static(self._keys, id="keys")

    def action_answer(self, said: bool) -> None:
        """Close."""
        self.dismiss(said)
