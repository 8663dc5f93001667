"""What would be created, and a yes or a no to exactly that."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static


class ConsentScreen(ModalScreen[bool]):
    """Returns whether these objects may be created. Enter is no yes: it opens cells and may have been meant for one."""

    DEFAULT_CSS = """
    ConsentScreen { align: center middle; }
    ConsentScreen Static { width: 80%; max-width: 100; height: auto; padding: 1 3; background: $panel; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "Create them"),
        Binding("escape,n", "answer(False)", "Leave"),
    ]

    def __init__(self, why: str, objects: Sequence[str]) -> None:
        super().__init__()
        self._why = why
        self._objects = tuple(objects)

    def compose(self) -> ComposeResult:
        """One box."""
        objects = "".join(f"\n  {line}" for line in self._objects)
        how = "y creates them and removes them at the end    n, esc leaves"
        yield Static(Content.assemble(self._why, "\n", objects, "\n\n", (how, "$text-muted")))

    def action_answer(self, answer: bool) -> None:
        """Close."""
        self.dismiss(answer)
