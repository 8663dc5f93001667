"""Glyph, word and colour token of everything that a cell can be. No state is told by colour alone."""

from __future__ import annotations

from typing import NamedTuple

from kubeshield_tui.judgement.disagreements import CODES
from kubeshield_tui.model.vantage import VantageStatus
from kubeshield_tui.model.verdict import Verdict
from kubeshield_tui.report.glyphs import ASCII, DISAGREES, DISAGREES_ASCII, GLYPHS
from kubeshield_tui.session.store import Cell
from kubeshield_tui.session.what_if import Effect, Then


class Alphabet(NamedTuple):
    """One set of symbols."""

    verdicts: dict[Verdict, str]
    asking: str
    unknown: str
    ready: str
    broken: str
    waiting: str
    folded: str
    unfolded: str
    line: str
    bar_full: str
    bar_empty: str
    dot: str
    disagrees: str
    across: str
    allows: str
    denies: str
    unsure: str
    points: str
    decides: str
    """Before each line of a rule that decides."""
    nearly: str
    """Before each line that nearly matched."""
    would_expose: str
    would_open: str
    would_maybe: str


UNICODE = Alphabet(
    GLYPHS, "…", " ", "●", "✖", "○", "▸", "▾", "│", "━", "─", "·", DISAGREES, "─", "✓", "✗", "?", "▲", "▌", "~",
    would_expose="◆", would_open="◇", would_maybe="?",
)  # fmt: skip
PLAIN = Alphabet(
    ASCII, ":", " ", "o", "X", ".", ">", "v", "|", "=", "-", "-", DISAGREES_ASCII, "-", "+", "x", "?", "^", "|", "~",
    would_expose="@", would_open="&", would_maybe="%",
)  # fmt: skip

STALE = "*"
"""Stands before a row of a cluster whose API is lost."""

STATUS_TOKENS = {
    VantageStatus.WAITING: "quiet",
    VantageStatus.OPENING: "quiet",
    VantageStatus.READY: "reachable",
    VantageStatus.LOST: "lost",
    VantageStatus.FAILED: "exposed",
    VantageStatus.CLOSED: "quiet",
}


def status_glyph(alphabet: Alphabet, status: VantageStatus) -> str:
    """Glyph of a vantage's health."""
    if status is VantageStatus.READY:
        return alphabet.ready
    if status in {VantageStatus.FAILED, VantageStatus.LOST}:
        return alphabet.broken
    return alphabet.waiting


def token_of(cell: Cell) -> str:
    """Colour token of a cell: a block that is one failure away is told from a layered one."""
    if cell.observation is None:
        return "untested"
    verdict = cell.verdict
    if verdict is None:
        return "quiet"
    if verdict is Verdict.BLOCKED and cell.judgement is not None and (cell.judgement.depth or 0) >= 2:
        return "layered"
    return str(verdict)


def short(cell: Cell, alphabet: Alphabet) -> str:
    """A cell in two characters, glyph and depth; more where rules and reality disagree, and while it is asked again."""
    if cell.observation is None:
        if cell.untested is not None:
            return alphabet.verdicts[Verdict.UNTESTED]
        return alphabet.asking if cell.asking else alphabet.unknown
    glyph = alphabet.verdicts[cell.verdict] if cell.verdict else alphabet.asking
    judgement = cell.judgement
    depth = "" if judgement is None or judgement.depth is None else judgement.depth
    differs = alphabet.disagrees if judgement is not None and judgement.comparison.code in CODES else ""
    return f"{glyph}{depth}{differs}{alphabet.asking if cell.asking else ''}"


def imagined(then: Then, cell: Cell, alphabet: Alphabet) -> tuple[str, str]:
    """A cell as it would be: text in as many characters as `short` takes, and colour token."""
    depth = "" if then.imagined.depth.least is None else then.imagined.depth.least
    match then.effect:
        case Effect.EXPOSES:
            return f"{alphabet.would_expose}{depth}", "exposed"
        case Effect.OPENS:
            return f"{alphabet.would_open}{depth}", "simulated"
        case Effect.UNKNOWN:
            return alphabet.would_maybe, "unproven"
    glyph = alphabet.verdicts[cell.verdict] if cell.verdict else alphabet.asking
    return f"{glyph}{depth}", "blocked" if then.imagined.depth.least == 1 else "layered"


def word(cell: Cell) -> str:
    """A cell's word."""
    if cell.observation is None:
        return "untested" if cell.untested else ""
    return str(cell.verdict or "")
