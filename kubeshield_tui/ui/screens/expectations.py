"""What is declared: every line with what it came to, and what someone should look at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from textwrap import wrap

from kubeshield_tui.model.expectation import DeclaredLine, LineKind
from kubeshield_tui.session.store import Store
from kubeshield_tui.ui.screens.page import PageScreen
from kubeshield_tui.ui.widgets.pager import Line

REFRESH_SECONDS = 1.0
LABEL = 13
HEADINGS = {
    LineKind.EXCEPTION: "exceptions: they win over all else until they expire",
    LineKind.RULE: "rules: of those that match a cell the last decides",
    LineKind.TARGETS: "targets file, over the baseline",
    LineKind.BASELINE: "baseline",
}


class ExpectationsScreen(PageScreen[None]):
    """All lines of the expectations, the kinds that win first."""

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
            if kind is LineKind.TARGETS and not any(line.matched for line in of_kind):
                continue
            if of_kind:
                shown.append(())
                shown.append(((f" {heading}", "heading"),))
                shown.extend(piece for line in of_kind for piece in _lines(line, self.size.width or 80))
        return shown or [((" the first sweep is not over yet", "quiet"),)]


def _lines(line: DeclaredLine, width: int) -> Iterator[Line]:
    token = "" if line.decided else "quiet"
    place = "" if line.kind is LineKind.BASELINE else f"{line.where}  "
    yield ((f"   {line.must or 'as each says':<{LABEL}}", token), (place, "quiet"), (line.name, token or "strong"))
    doubt = f", {line.undecided} not decidable" if line.undecided else ""
    speaks = f"decides {line.decided} of the {line.matched} cells that it speaks of" if line.matched else "no cell here"
    yield from _wrapped(speaks + doubt, "quiet", width)
    if line.waiver is not None:
        waiver = line.waiver
        yield from _wrapped(f"{waiver.owner}, until {waiver.expires}: {waiver.reason}", "simulated", width)
    for note in line.notes:
        yield from _wrapped(note, "unproven", width)


def _wrapped(text: str, token: str, width: int) -> Iterator[Line]:
    for piece in wrap(text, max(width - LABEL - 6, 20)):
        yield ((f"   {'':<{LABEL}}{piece}", token),)
