"""What someone should act on in this cell, how to see it without this program, and the remedy. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from kubeshield_tui.ui.page.lines import pair
from kubeshield_tui.ui.page.remedies import applied, proposals
from kubeshield_tui.ui.page.view import CellView
from kubeshield_tui.ui.widgets.pager import Line


def findings(view: CellView) -> Iterator[Line]:
    """Findings of the cell, each with because, verify and remedy."""
    width, found = view.width, False
    for finding in view.store.findings.values():
        if (finding.endpoint, finding.vantage) != view.key:
            continue
        if found:
            yield ()
        found = True
        yield from pair("finding", f"{finding.severity.upper()} {finding.title}", "exposed", width)
        for number, reason in enumerate(finding.because):
            yield from pair("because" if number == 0 else "", reason, "", width)
        for number, command in enumerate(finding.verify):
            yield from pair("verify" if number == 0 else "", command, "strong", width)
        yield from pair("remedy", finding.remedy, "", width)
    if not found:
        yield from pair("", "nothing to act on here", "quiet", width)
    yield from applied(view)
    if found:
        yield from proposals(view)
