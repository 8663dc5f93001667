"""All keys, and what the signs mean."""

from __future__ import annotations

from collections.abc import Sequence

from kubeshield_tui.model.verdict import Verdict
from kubeshield_tui.ui.screens.page import PageScreen
from kubeshield_tui.ui.widgets.pager import Line

MEANINGS = {
    Verdict.EXPOSED: "answers, and must not be reachable from there",
    Verdict.REACHABLE: "answers, and may",
    Verdict.BLOCKED: "does not answer, and that is proven: the target lives and this vantage reaches others",
    Verdict.UNPROVEN: "does not answer, but one of the two controls is missing",
    Verdict.DEAD: "nothing listens there, seen from anywhere; the path may well be open",
    Verdict.BROKEN: "must be reachable and is not",
    Verdict.LOST: "the vantage was lost before the answer; it says nothing of the target",
    Verdict.UNTESTED: "not asked from there: another target, or the vantage could not ask",
}
KEYS = (
    ("arrows, hjkl", "move"),
    ("enter", "open the cell; on a heading fold it"),
    ("n  N", "next, previous exposed or broken cell; what would open, or is one failure away, where that is shown"),
    ("/", "filter by name, address, namespace or verdict; esc clears"),
    ("f", "findings by cause, the worst first; enter lists the cells, and goes to the cell"),
    ("v", "vantages with their health"),
    ("x", "expectations: what each declared line came to, what has expired or is unused"),
    ("r  R  C", "ask the cell, its row, its column again"),
    ("m  M", "ask nmap of the cell, of its column; in a cell M asks from every vantage"),
    ("d", "drop a layer in the model: the grid shows what would be open; d or esc puts back, nothing is changed"),
    ("1", "one failure away: only rows with proven blocks that one wall alone holds, and these walls"),
    ("p", "prove the cell: ask the controls that tell a block from silence, then the cell"),
    ("P", "prove that the cell's cluster enforces policies, or not: shows what it creates, asks for a yes"),
    ("space", "pause, go on"),
    (":", "command palette, themes"),
    ("e", "save the screen as SVG"),
    ("a  S  u", "in a cell: propose a policy that closes it and apply it after your yes; save it; take it back"),
    ("y  Y", "copy the marked line, the page"),
    ("w  W", "in a cell: read the rules of the hosts on its way, read-only; show them as they were read"),
    ("t", "in a cell: witness, a probe between two readings: which rule counted it, where it died"),
    ("i", "in a cell: inspect, the whole safe conversation with the endpoint"),
    ("s", "in a cell: save the page as text"),
    ("1-9", "in a cell: answers, path, layers, proof, witnesses, history, findings, conversation, raw"),
    ("q", "leave: vantages are closed and what was created is removed"),
)

DISAGREES = "rules and reality disagree: the cell's page says who should have decided, and what came instead"


class HelpScreen(PageScreen[None]):
    """Keys and signs."""

    def title_lines(self) -> Sequence[Line]:
        """The title."""
        return (((" Keys and signs", "strong"),),)

    def page_lines(self) -> Sequence[Line]:
        """The page."""
        alphabet = self.kubeshield.alphabet
        lines: list[Line] = [()]
        lines.extend(((f"   {key:<14}", "heading"), (text, "")) for key, text in KEYS)
        lines.append(())
        for verdict, text in MEANINGS.items():
            lines.append(((f"   {alphabet.verdicts[verdict]} {verdict:<12}", str(verdict)), (text, "")))
        lines.append(((f"   {alphabet.disagrees} {'behind them':<12}", "exposed"), (DISAGREES, "")))
        lines.append(())
        lines.append((("   The digit behind a sign is the depth: layers that would still hold if one failed.", ""),))
        lines.append((("   What is not known is never counted as a layer, and never as a block.", "quiet"),))
        return lines
