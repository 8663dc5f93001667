"""Lines of a page: labelled text that wraps, headings, answers with a word in front. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import wrap

from rich.cells import cell_len

from kubeshield_tui.model.prediction import Predicted
from kubeshield_tui.ui.widgets.pager import CUT, LABEL, WRAPPED, Line, Piece

LABEL_WIDTH = 13
INDENT = LABEL_WIDTH + 3
"""Column in which text begins."""
WORD_WIDTH = 9
LEAST = 20
"""Columns that text gets on the narrowest screen."""
TOKENS = {Predicted.ALLOW: "reachable", Predicted.DENY: "blocked", Predicted.UNKNOWN: "unproven"}
"""Colour token of what rules say."""


def said(verdict: Predicted) -> str:
    """What rules say, in a word: a denial stands out without colour."""
    return "DENY" if verdict is Predicted.DENY else str(verdict)


def heading(number: int, name: str) -> Line:
    """A section's heading."""
    return ((f" {number} ", LABEL), (name.upper(), "heading"))


def pair(label: str, text: str, token: str = "", width: int = 0) -> Iterator[Line]:
    """A label and its text, wrapped where a width is given; what is copied is the text, whole."""
    pieces = _wrapped(text, width - INDENT - 1) if width else [text]
    for number, piece in enumerate(pieces):
        first: Piece = (f"   {label:<{LABEL_WIDTH}}", LABEL) if number == 0 else (" " * INDENT, WRAPPED)
        yield (first, (piece, token))


def unbroken(text: str, token: str, width: int) -> Iterator[Line]:
    """A text that is cut wherever the line ends, for what has no words."""
    room = max(width - INDENT - 1, LEAST)
    for start in range(0, len(text), room):
        yield ((" " * INDENT, CUT if start else LABEL), (text[start : start + room], token))


def answer(label: str, word: Piece, text: str, width: int, right: Piece = ("", ""), most: int = 0) -> Iterator[Line]:
    """A label, a word, its text, and something at the right edge of the first line. `most`: lines at most."""
    beside = len(right[0]) + 2 if right[0] else 0
    pieces = _wrapped(text, width - INDENT - WORD_WIDTH - 2, beside)
    if most and len(pieces) > most:
        pieces = [*pieces[: most - 1], f"{pieces[most - 1]} …"]
    for number, piece in enumerate(pieces):
        if number:
            yield ((" " * (INDENT + WORD_WIDTH + 1), WRAPPED), (piece, ""))
            continue
        name = f"   {label:<{LABEL_WIDTH}}"
        line: Line = ((name, LABEL), (f"{word[0]:<{WORD_WIDTH}} ", word[1]), (piece, ""))
        yield to_the_right(line, right, width) if right[0] else line


def to_the_right(line: Line, right: Piece, width: int) -> Line:
    """Put something at the right edge of a line, two columns from what stands there at least."""
    used = sum(cell_len(text) for text, _ in line)
    gap = max(width - used - len(right[0]) - 2, 2)
    return (*line, (" " * gap, ""), right)


def plain(line: Line) -> str:
    """A line without its colours."""
    return "".join(text for text, _ in line)


def _wrapped(text: str, width: int, beside: int = 0) -> list[str]:
    """Lines of a text. `beside`: columns that the first leaves free at its end."""
    if beside > width - LEAST:
        beside = 0
    # Words stay whole: an address or a path that is cut in two can't be copied.
    lines = wrap(text, max(width, LEAST), initial_indent=" " * beside, break_long_words=False, break_on_hyphens=False)
    return [line.lstrip() for line in lines] or [""]
