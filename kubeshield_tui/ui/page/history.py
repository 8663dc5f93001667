"""What a cell was before: its states and verdicts with their times, the newest first. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from time import localtime, strftime

from kubeshield_tui.ui.page.lines import pair
from kubeshield_tui.ui.page.view import CellView
from kubeshield_tui.ui.summary import age
from kubeshield_tui.ui.widgets.pager import LABEL, Line

DAY = 86_400.0


def history(view: CellView) -> Iterator[Line]:
    """One line a state that it was in."""
    cell, now = view.cell, view.now
    if view.observation is not None:
        state, reason = view.observation.state, view.observation.reason
        verdict = str(cell.verdict or "")
        since = cell.changed_at or view.observation.at
        yield _line(f"since {_clock(since, now)}", f"{state} ({reason})", verdict, age(now - since))
    for past in reversed(cell.history):
        words = f"{past.state} ({past.reason})"
        yield _line(f"until {_clock(past.at, now)}", words, str(past.verdict or ""), age(now - past.at))
    if not cell.history:
        yield from pair("", "it was nothing else since this session began", "quiet", view.width)


def _line(when: str, words: str, verdict: str, ago: str) -> Line:
    return (
        ("   ", LABEL),
        (f"{when:<21} ", "quiet"),
        (f"{words:<28} ", ""),
        (f"{verdict.upper():<11}", verdict),
        (ago, "quiet"),
    )


def _clock(at: float, now: float) -> str:
    return strftime("%H:%M:%S" if now - at < DAY else "%Y-%m-%d %H:%M:%S", localtime(at))
