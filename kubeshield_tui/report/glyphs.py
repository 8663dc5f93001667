"""One glyph a verdict, with an ASCII twin: never colour alone."""

from __future__ import annotations

from kubeshield_tui.model.verdict import Verdict

DISAGREES, DISAGREES_ASCII = "≠", "/"
"""Marks a cell where rules and reality disagree."""
GLYPHS = {
    Verdict.EXPOSED: "✖",
    Verdict.REACHABLE: "●",
    Verdict.BLOCKED: "■",
    Verdict.UNPROVEN: "□",
    Verdict.DEAD: "○",
    Verdict.BROKEN: "!",
    Verdict.LOST: "~",
    Verdict.UNTESTED: "·",
}
ASCII = {
    Verdict.EXPOSED: "X",
    Verdict.REACHABLE: "o",
    Verdict.BLOCKED: "#",
    Verdict.UNPROVEN: "?",
    Verdict.DEAD: "-",
    Verdict.BROKEN: "!",
    Verdict.LOST: "~",
    Verdict.UNTESTED: ".",
}
