"""The page of one cell, from the answers down to the raw line. Pure."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from itertools import dropwhile

from kubeshield_tui.ui.page.answers import answers
from kubeshield_tui.ui.page.conversation import conversation, raw
from kubeshield_tui.ui.page.findings import findings
from kubeshield_tui.ui.page.history import history
from kubeshield_tui.ui.page.layers import layers
from kubeshield_tui.ui.page.lines import heading
from kubeshield_tui.ui.page.path import path
from kubeshield_tui.ui.page.proof import proof
from kubeshield_tui.ui.page.view import CellView
from kubeshield_tui.ui.page.witnesses import witnesses
from kubeshield_tui.ui.widgets.pager import Line

PARTS: dict[str, Callable[[CellView], Iterator[Line]]] = {
    "answers": answers,
    "path": path,
    "layers": layers,
    "proof": proof,
    "witnesses": witnesses,
    "history": history,
    "findings": findings,
    "conversation": conversation,
    "raw": raw,
}
SECTIONS = tuple(PARTS)
"""Headings, in order; digits lead to them."""


def cell_page(view: CellView) -> list[Line]:
    """All lines of a cell's page."""
    lines: list[Line] = []
    for number, (name, part) in enumerate(PARTS.items(), 1):
        if lines:
            lines.append(())
        lines.append(heading(number, name))
        lines.extend(dropwhile(operator.not_, part(view)))
    return lines


def section_line(lines: Sequence[Line], name: str) -> int:
    """Line of a section's heading."""
    wanted = heading(SECTIONS.index(name) + 1, name)
    return next((index for index, line in enumerate(lines) if line == wanted), 0)
