"""What someone should act on, the worst first."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
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
    FindingsScreen VerticalScroll { height: auto; max-height: 50%; background: $panel; scrollbar-size: 1 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,f", "back", "Back")]
    keys: ClassVar[Line] = (
        (" esc", "heading"), (" back  ", "quiet"), ("enter", "heading"), (" to the cell  ", "quiet"),
        ("tab", "heading"), (" read on", "quiet"),
    )  # fmt: skip

    def __init__(self, store: Store) -> None:
        super().__init__()
        self._findings = ranked(store.findings.values())

    def compose(self) -> ComposeResult:
        """The list, and more about the chosen one."""
        yield Lines(((f" {len(self._findings)} findings", "strong"),), id="title")
        yield OptionList(*(Option(_prompt(finding)) for finding in self._findings))
        with VerticalScroll():
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
        lines: list[Line] = [((f" where    {_where(finding)}", "quiet"),)]
        lines.extend(((f" because  {line}", ""),) for line in finding.because)
        lines.extend(((f" verify   {line}", "simulated"),) for line in finding.verify)
        lines.append(((f" remedy   {finding.remedy}", "reachable"),))
        self.query_one("#more", Lines).show(*lines)
        self.query_one(VerticalScroll).scroll_home(animate=False)

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        finding = self._findings[event.option_index]
        if finding.endpoint:
            self.dismiss(CellKey(finding.endpoint, finding.vantage))
        else:
            self.notify("this is about no cell of the grid", timeout=2)

    def action_back(self) -> None:
        """Close."""
        self.dismiss(None)


def _where(finding: Finding) -> str:
    """What a finding is about, from the outside in, and how many reach it."""
    object_ = "/".join(part for part in (finding.namespace, finding.object) if part)
    parts = [finding.cluster, object_, finding.component, finding.vantage and f"from {finding.vantage}"]
    if finding.reached_from:
        parts.append(f"reached from {len(finding.reached_from)}")
    return f"{finding.code}: {', '.join(part for part in parts if part)}"


def _prompt(finding: Finding) -> Content:
    colour = _COLOURS.get(finding.severity, "$text-muted")
    return Content.assemble((f" {finding.severity.upper():<9}", colour), finding.title)
