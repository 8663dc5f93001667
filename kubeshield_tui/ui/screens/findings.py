"""What someone should act on, the worst first."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.screen import Screen
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from kubeshield_tui.model.expectation import Severity
from kubeshield_tui.model.finding import Finding
from kubeshield_tui.model.ids import CellKey
from kubeshield_tui.report.document import ranked
from kubeshield_tui.session.store import Store
from kubeshield_tui.ui.widgets.lines import Lines
from kubeshield_tui.ui.widgets.pager import Line

if TYPE_CHECKING:
    from kubeshield_tui.ui.app import KubeShieldApp

_COLOURS = {
    Severity.CRITICAL: "bold $verdict-exposed",
    Severity.HIGH: "$verdict-exposed",
    Severity.MEDIUM: "$verdict-unproven",
}


class FindingsScreen(Screen[CellKey]):
    """Returns the cell to go to."""

    DEFAULT_CSS = """
    FindingsScreen #title { background: $panel; }
    FindingsScreen OptionList { height: 1fr; border: none; background: $background; scrollbar-size: 1 1; }
    FindingsScreen OptionList:focus { border: none; }
    FindingsScreen #more { height: auto; max-height: 12; background: $panel; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,f", "back", "Back")]
    keys: ClassVar[Line] = ((" esc", "heading"), (" back  ", "quiet"), ("enter", "heading"), (" to the cell", "quiet"))

    def __init__(self, store: Store) -> None:
        super().__init__()
        self._findings = ranked(store.findings.values())

    def compose(self) -> ComposeResult:
        """The list, and more about the chosen one."""
        yield Lines(((f" {len(self._findings)} findings", "strong"),), id="title")
        yield OptionList(*(Option(_prompt(finding)) for finding in self._findings))
        yield Lines(id="more", wraps=True)
        yield Lines(self.keys)

    def on_mount(self) -> None:
        """Take the colours."""
        palette = cast("KubeShieldApp", self.app).palette
        for lines in self.query(Lines):
            lines.palette = palette
        self.query_one(OptionList).focus()

    @on(OptionList.OptionHighlighted)
    def _highlighted(self, event: OptionList.OptionHighlighted) -> None:
        finding = self._findings[event.option_index]
        lines: list[Line] = [((f" because  {line}", ""),) for line in finding.because]
        lines.extend(((f" verify   {line}", "simulated"),) for line in finding.verify)
        lines.append(((f" remedy   {finding.remedy}", "reachable"),))
        self.query_one("#more", Lines).show(*lines)

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        finding = self._findings[event.option_index]
        self.dismiss(CellKey(finding.endpoint, finding.vantage))

    def action_back(self) -> None:
        """Close."""
        self.dismiss(None)


def _prompt(finding: Finding) -> Content:
    colour = _COLOURS.get(finding.severity, "$text-muted")
    return Content.assemble((f" {finding.severity.upper():<9}", colour), finding.title)
