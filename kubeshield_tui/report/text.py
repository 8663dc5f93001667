"""An audit as text for people: what is wrong first, then the grid, then what could not be measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from textwrap import wrap

from kubeshield_tui.cluster.rights import lost_without
from kubeshield_tui.judgement.disagreements import CODES
from kubeshield_tui.model.cause import Cause
from kubeshield_tui.model.ids import CellKey
from kubeshield_tui.model.observation import Reason
from kubeshield_tui.model.verdict import Verdict
from kubeshield_tui.report.enforced import self_test_line
from kubeshield_tui.report.glyphs import ASCII, DISAGREES, DISAGREES_ASCII, GLYPHS
from kubeshield_tui.session.coverage import untested
from kubeshield_tui.session.query import causes_of, grouped
from kubeshield_tui.session.store import Store

WIDTH = 100
"""Columns that prose is wrapped to."""


def report_text(store: Store, *, ascii_only: bool = False) -> str:
    """Print a store; ends in a line feed."""
    parts = [_head(store), _findings(store), _grid(store, ascii_only), _coverage(store)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _head(store: Store) -> str:
    counts = ", ".join(f"{store.verdicts[verdict]} {verdict}" for verdict in Verdict if store.verdicts[verdict])
    if store.not_enforced:
        counts += f"; {store.not_enforced} let in against the rules"
    if store.one_failure_away:
        counts += f"; {store.one_failure_away} one failure away"
    lines = [
        f"{store.title}: {len(store.endpoints)} endpoints from {len(store.vantages)} vantages: {counts or 'nothing'}"
    ]
    for inventory in store.clusters.values():
        told = ", ".join(f"{each.what} {each.name}" for each in inventory.cluster.recognised)
        lines.append(f"cluster {inventory.cluster.id}: {told or 'nothing tells what it is'}")
    lines.extend(f"self-test of {test.cluster}: {self_test_line(test)}" for test in store.self_tests.values())
    if store.simulated:
        lines.append(f"SIMULATED: {store.simulated}")
    return "\n".join(lines)


def _findings(store: Store) -> str:
    return "\n\n".join("\n".join(_finding_lines(cause)) for cause in causes_of(store))


def _finding_lines(cause: Cause) -> Iterator[str]:
    yield f"{cause.severity.upper():<9}{cause.title}"
    for label, lines in (("because", cause.because), ("verify", cause.verify), ("remedy", (cause.remedy,))):
        for line in lines:
            for number, piece in enumerate(wrap(line, WIDTH - 19) if label != "verify" else [line]):
                yield f"         {label if not number else '':<10}{piece}"


def _grid(store: Store, ascii_only: bool) -> str:
    if not store.endpoints or not store.vantages:
        return ""
    glyphs, differs = (ASCII, DISAGREES_ASCII) if ascii_only else (GLYPHS, DISAGREES)
    names = {key: f"  {endpoint.name} {endpoint.host}:{endpoint.port}" for key, endpoint in store.endpoints.items()}
    first = max(len(name) for name in names.values())
    widths = {vantage: max(len(vantage), 12) for vantage in store.vantages}
    lines = [" " * first + "  " + "  ".join(f"{vantage:<{width}}" for vantage, width in widths.items())]
    for group, endpoints in grouped(store).items():
        lines.append(group)
        for endpoint in endpoints:
            cells = []
            for vantage, width in widths.items():
                cell = store.cell(CellKey(endpoint.id, vantage))
                verdict = cell.verdict if cell.observation else Verdict.UNTESTED
                judged = cell.judgement if cell.observation else None
                depth = "" if judged is None or judged.depth is None else str(judged.depth)
                mark = differs if judged is not None and judged.comparison.code in CODES else ""
                word = f"{glyphs[verdict or Verdict.UNTESTED]}{depth}{mark} {verdict or Verdict.UNTESTED}"
                cells.append(f"{word:<{width}}")
            lines.append(f"{names[endpoint.id]:<{first}}  {'  '.join(cells)}".rstrip())
    return "\n".join(line.rstrip() for line in lines)


def _coverage(store: Store) -> str:
    left_out = Counter(item.reason for item in untested(store))
    total = sum(left_out.values())
    lines = [f"measured {store.total - total} of {store.total} cells"]
    if left_out[Reason.OUT_OF_SCOPE]:
        lines[0] += f"; {left_out[Reason.OUT_OF_SCOPE]} out of scope (another target from there)"
    lines.extend(
        f"EXPECTATIONS: {declared.shown}: {note}" for declared in store.expectations for note in declared.notes
    )
    for denied in store.denied:
        lost = lost_without(denied.what)
        lines.append(f"not readable: {denied.what} ({denied.why}){f'; not seen: {lost}' if lost else ''}")
    for inventory in store.clusters.values():
        lines.extend(f"not asked: {skipped.name}: {skipped.why}" for skipped in inventory.skipped)
    lines.extend(f"INCOMPLETE: {line}" for line in store.incomplete)
    lines.extend(f"removed: {object_}" for _, object_ in store.removed)
    lines.extend(f"LEFT BEHIND: {left.object}: {left.why}" for left in store.left)
    return "\n".join(lines)
