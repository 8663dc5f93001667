"""Choose what to leave out of the model: one key for a whole kind of layers, or any of them marked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static
from textual.widgets.selection_list import Selection

from kubeshield_tui.session.layers_off import KINDS, LeftOut, together
from kubeshield_tui.ui.widgets.choices import Choices

LETTERS = ("p", "n", "c", "a")
"""Of KINDS."""


class DropScreen(ModalScreen[LeftOut | None]):
    """Returns what to leave out; None: nothing."""

    DEFAULT_CSS = """
    DropScreen { align: center middle; }
    DropScreen Vertical { width: 90%; max-width: 110; height: auto; max-height: 90%; padding: 1 2; background: $panel; }
    DropScreen Choices { height: auto; max-height: 16; border: none; padding: 0; background: $panel; }
    DropScreen Choices:focus { border: none; }
    DropScreen Static { height: auto; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        *(Binding(letter, f"kind({number})", show=False) for number, letter in enumerate(LETTERS)),
        Binding("enter", "take", "Imagine it", priority=True),
        Binding("escape,d,q", "leave", "Back"),
        Binding("j", "move(1)", "Down", show=False),
        Binding("k", "move(-1)", "Up", show=False),
    ]

    def __init__(self, offered: Sequence[tuple[LeftOut, str]]) -> None:
        """`offered`: what else than the kinds can be left out, each with what is known of it."""
        super().__init__()
        kinds = [(letter, each, "everywhere") for letter, each in zip(LETTERS, KINDS, strict=True)]
        self._all = (*kinds, *(("", each, note) for each, note in offered))

    def compose(self) -> ComposeResult:
        """One box."""
        selections = [
            Selection(Content.assemble(f"{letter:<3}{each.words}", (f"   {note}", "dim")), str(number))
            for number, (letter, each, note) in enumerate(self._all)
        ]
        with Vertical():
            yield Static(Content.assemble(("Drop a layer", "bold"), " in the model, and see what would be open.\n"))
            yield Choices(*selections)
            yield Static(Content("\nenter the marked or highlighted   space mark several   p n c a at once   esc back"))

    def on_mount(self) -> None:
        """Begin at the top."""
        self.query_one(Choices).focus()

    def action_move(self, way: int) -> None:
        """Go on by one."""
        choices = self.query_one(Choices)
        if way > 0:
            choices.action_cursor_down()
        else:
            choices.action_cursor_up()

    def action_kind(self, number: int) -> None:
        """Leave out a whole kind."""
        self.dismiss(KINDS[number])

    def action_take(self) -> None:
        """Leave out what is marked, or else what is highlighted."""
        choices = self.query_one(Choices)
        chosen = [int(value) for value in choices.selected] or [choices.highlighted or 0]
        self.dismiss(together(self._all[number][1] for number in sorted(chosen)))

    def action_leave(self) -> None:
        """Leave out nothing."""
        self.dismiss(None)
