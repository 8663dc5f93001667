"""What is declared: every line with what it came to, and what someone should look at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kubeshield_tui.model.expectation import DeclaredLine, LineKind
from kubeshield_tui.session.store import Store
from kubeshield_tui.ui.screens.page import PageScreen
from kubeshield_tui.ui.widgets.pager import Line

REFRESH_SECONDS = 1.0
HEADINGS = {
    LineKind.BASELINE: "baseline",
    LineKind.TARGETS: "targets file",
    LineKind.RULE: "your rules: of those that match a cell the last decides",
    LineKind.EXCEPTION: "exceptions: they win over rules until they expire",
}


class ExpectationsScreen(PageScreen[None]):
    """All lines of the expectations, in the order in which later ones win."""

    def __init__(self, store: Store) -> None:
        super().__init__()
        self.store = store

    def on_mount(self) -> None:
        """Keep it live."""
        self.set_interval(REFRESH_SECONDS, self.fill)

    def title_lines(self) -> Sequence[Line]:
        """How many lines, and whether anything is to be looked at."""
        lines = self.store.expectations
        notes = sum(len(line.notes) for line in lines)
        asks = f"  {notes} to look at" if notes else ""
        return (((f" Expectations: {len(lines)} lines", "strong"), (asks, "unproven")),)

    def page_lines(self) -> Sequence[Line]:
        """Each line under the heading of its kind."""
        shown: list[Line] = []
        for kind, heading in HEADINGS.items():
            of_kind = [line for line in self.store.expectations if line.kind is kind]
            if of_kind:
                shown.append(())
                shown.append(((f" {heading}", "heading"),))
                shown.extend(piece for line in of_kind for piece in _lines(line))
        return shown or [((" the first sweep is not over yet", "quiet"),)]


def _lines(line: DeclaredLine) -> Iterator[Line]:
    token = "" if line.decided else "quiet"
    place = "" if line.kind is LineKind.BASELINE else f"{line.where}  "
    yield ((f"   {line.must or 'as each says':<13}", token), (place, "quiet"), (line.name, token or "strong"))
    undecided = f", {line.undecided} not decidable" if line.undecided else ""
    yield ((f"   {'':<13}decides {line.decided} of the {line.matched} cells that it speaks of{undecided}", "quiet"),)
    if line.waiver is not None:
        waiver = line.waiver
        yield ((f"   {'':<13}{waiver.owner}, until {waiver.expires}: {waiver.reason}", "simulated"),)
    for note in line.notes:
        yield ((f"   {'':<13}{note}", "unproven"),)
