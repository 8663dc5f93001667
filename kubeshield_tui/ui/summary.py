"""The lines around the grid: what is wrong, how far we are, what the cell under the cursor says. Pure."""

from __future__ import annotations

from time import localtime, strftime

from kubeshield_tui.judgement.chain import holding
from kubeshield_tui.model.event import WatchStatus
from kubeshield_tui.model.ids import CellKey
from kubeshield_tui.model.vantage import VantageKind, VantageStatus
from kubeshield_tui.model.verdict import Verdict
from kubeshield_tui.session.layers_off import LeftOut
from kubeshield_tui.session.one_failure import OneFailure
from kubeshield_tui.session.query import endpoint_depth, lost_clusters, pace
from kubeshield_tui.session.store import Store
from kubeshield_tui.session.what_if import Effect, WhatIf
from kubeshield_tui.ui.symbols import STALE, STATUS_TOKENS, Alphabet, status_glyph
from kubeshield_tui.ui.widgets.layout import short_name
from kubeshield_tui.ui.widgets.pager import Line, Piece

BAR = 10
WORDS = {WatchStatus.FAILED: "out of date", WatchStatus.SLOW: "late"}
HEADLINE = (Verdict.EXPOSED, Verdict.BROKEN, Verdict.UNPROVEN, Verdict.LOST)


def title_line(store: Store, now: float, width: int) -> Line:
    """Which estate this is, and whether it is live."""
    pieces: list[Piece] = [(" KubeShield ", "strong"), (f" {store.title} ", "heading")]
    if "prod" in store.title.lower():
        pieces.append((" PRODUCTION ", "exposed"))
    if store.simulated:
        pieces.append((" SIMULATED ", "simulated"))
    versions = ", ".join(inventory.cluster.version for inventory in store.clusters.values())
    if versions:
        pieces.append((f" {versions}", "quiet"))
    pieces.extend(_state(store, now))
    if width >= 100:
        pieces.append((f"   {len(store.endpoints)} endpoints from {len(store.vantages)} vantages", "quiet"))
        created = len(store.objects)
        pieces.append((f"   {created} objects of ours there" if created else "   reads only", "quiet"))
    return tuple(pieces)


def _state(store: Store, now: float) -> list[Piece]:
    """Whether the picture is live: what stands of a cluster that can't be followed is as it was then."""
    if store.ended:
        return [(f"   ended {clock(store.now)}", "quiet")]
    if store.paused:
        return [(f"   PAUSED {clock(now)}", "broken")]
    lost = lost_clusters(store)
    several = len(store.clusters) > 1
    said = [
        (f"   API{f' of {name}' if several else ''} lost since {clock(since)}, its rows: {STALE}", "broken")
        for name, since in lost.items()
    ]
    return said if lost and not several else [(f"   {store.phase} {clock(now)}", "quiet"), *said]


def _out_of_date(store: Store) -> list[Piece]:
    """Kinds that are not followed, or late, in clusters that are."""
    lost = lost_clusters(store)
    names: dict[str, list[str]] = {}
    for watch in store.watches.values():
        if watch.status is not WatchStatus.FOLLOWED and watch.cluster not in lost:
            names.setdefault(WORDS[watch.status], []).append(watch.what.partition(".")[0])
    return [
        (f"{word}: {', '.join(kinds[:3])}{' ...' * (len(kinds) > 3)}   ", "broken") for word, kinds in names.items()
    ]


def clock(at: float) -> str:
    """A time of day here."""
    return strftime("%H:%M:%S", localtime(at))


def headline(store: Store, alphabet: Alphabet, now: float) -> Line:
    """What is wrong with this estate, in two seconds; then how far the sweep is."""
    pieces: list[Piece] = [(" ", "")]
    for verdict in HEADLINE:
        count = store.verdicts[verdict]
        if count:
            pieces.append((f"{alphabet.verdicts[verdict]} {count} {verdict}   ", str(verdict)))
    if len(pieces) == 1:
        calm = ("nothing exposed   ", "reachable") if store.answers else ("no answer yet   ", "quiet")
        pieces.append(calm)
    pieces.extend(_out_of_date(store))
    if store.not_enforced:
        pieces.append((f"{alphabet.disagrees} {store.not_enforced} not enforced   ", "exposed"))
    if store.one_failure_away:
        shown = f"{alphabet.verdicts[Verdict.BLOCKED]}1 {store.one_failure_away} one failure away   "
        pieces.append((shown, "blocked"))
    pieces.extend(_progress(store, alphabet, now))
    pieces.extend((f"cluster {context} failed   ", "exposed") for context in store.failed_clusters)
    if store.denied:
        pieces.append((f"{len(store.denied)} not readable", "quiet"))
    return tuple(pieces)


def _progress(store: Store, alphabet: Alphabet, now: float) -> list[Piece]:
    if not store.total:
        return []
    done = store.answered / store.total
    if done >= 1:
        return []
    moving = pace(store, now)
    full = int(done * BAR)
    bar = alphabet.bar_full * full + alphabet.bar_empty * (BAR - full)
    rate = f" {moving.per_second:.0f}/s" if moving.per_second else ""
    left = "" if moving.seconds_left is None else f" {moving.seconds_left // 60:.0f}:{moving.seconds_left % 60:02.0f}"
    return [(f"{bar} {store.answered:,}/{store.total:,} {done:.0%}{rate}{left}   ", "simulated")]


def vantage_line(store: Store, alphabet: Alphabet) -> Line:
    """Each vantage with its health and zone; why, where one is not well."""
    pieces: list[Piece] = [(" ", "")]
    for vantage in store.vantages.values():
        glyph = status_glyph(alphabet, vantage.status)
        kind = "" if vantage.spec.kind is VantageKind.LOCAL else f"{vantage.spec.kind}:"
        well = vantage.status in {VantageStatus.READY, VantageStatus.CLOSED}
        note = str(vantage.zone) if well else f"{vantage.status} {vantage.detail[:60]}".strip()
        pieces.extend(
            (
                (f"{glyph} ", STATUS_TOKENS[vantage.status]),
                (f"{kind}{short_name(vantage)}", ""),
                (f" {note}   ", "quiet" if well else STATUS_TOKENS[vantage.status]),
            )
        )
    return tuple(pieces)


def cell_line(store: Store, key: CellKey | None, now: float) -> Line:
    """The cell under the cursor in one sentence."""
    if key is None:
        return ((" enter folds the group", "quiet"),)
    cell = store.cell(key)
    if cell.observation is None:
        why = cell.why or ("asking" if cell.asking else "not asked yet")
        return ((f" {key.vantage}: {why}", "quiet"),)
    sentence = cell.judgement.sentence if cell.judgement else cell.observation.detail
    token = str(cell.verdict) if cell.verdict in {Verdict.EXPOSED, Verdict.BROKEN} else ""
    return ((f" {sentence}", token), (f"  {age(now - cell.observation.at)}", "quiet"))


def depth_line(store: Store, key: CellKey) -> Line:
    """How many layers hold the cell, which ones, and its endpoint at its weakest."""
    judgement = store.cell(key).judgement
    if judgement is None or judgement.depth is None:
        return ()
    more = (judgement.depth_max or 0) - judgement.depth
    names = ", ".join(holding(judgement.layers, judgement.verdict)) or "nothing would hold"
    unsure = f", {more} more not known" if more else ""
    pieces: list[Piece] = [(f"  depth {judgement.depth}", "strong"), (f": {names}{unsure}", "")]
    weakest = endpoint_depth(store, key.endpoint)
    if weakest is not None and weakest < judgement.depth:
        pieces.append((f"   at its weakest {weakest}", "quiet"))
    return tuple(pieces)


def what_if_words(chosen: LeftOut, what_if: WhatIf | None, working: WhatIf | None, alphabet: Alphabet) -> str:
    """The banner over a grid that is not real."""
    head = f" WHAT IF  without {chosen.words}: "
    if what_if is None:
        done = working.done / working.total if working is not None and working.total else 0
        return f"{head}working it out, {done:.0%}. The grid is still as it was measured; d or esc stops."
    counts = what_if.counts
    exposed, unsure = counts[Effect.EXPOSES], counts[Effect.UNKNOWN]
    opening = exposed + counts[Effect.OPENS]
    told = f"{opening} {'cell' if opening == 1 else 'cells'} would open"
    if exposed:
        told += f", {'all' if exposed == opening else exposed} of which must be blocked ({alphabet.would_expose})"
    if unsure:
        told += f", {unsure} not known ({alphabet.would_maybe})"
    return f"{head}{told}. Nothing was changed; d or esc puts back."


def what_if_line(store: Store, key: CellKey, chosen: LeftOut, what_if: WhatIf) -> Line:
    """The cell under the cursor as it would be."""
    then, judgement = what_if.of(key), store.cell(key).judgement
    endpoint = store.endpoints.get(key.endpoint)
    name = endpoint.name if endpoint is not None else key.endpoint
    head = f" without {chosen.words}, {name} from {key.vantage}: "
    now = "" if judgement is None else f" Now {judgement.verdict}, depth {judgement.depth}."
    if then is None:
        return ((head, "quiet"), ("as it is.", ""), (now, "quiet"))
    token = {Effect.EXPOSES: "exposed", Effect.OPENS: "simulated", Effect.UNKNOWN: "unproven"}.get(then.effect, "")
    depth = then.imagined.depth.least
    because = then.imagined.prediction.because
    return ((head, "quiet"), (f"{then.effect}, depth {depth}; ", token), (f"{because}.", ""), (now, "quiet"))


def wall_lines(one_failure: OneFailure, alphabet: Alphabet, room: int) -> tuple[Line, ...]:
    """What all these blocks hang on: one line a wall, the one with the most cells first."""
    count = len(one_failure)
    glyph = alphabet.verdicts[Verdict.BLOCKED]
    head = f" ONE FAILURE AWAY  {glyph}1 {count} proven {'block' if count == 1 else 'blocks'}, one wall each"
    lines: list[Line] = [((head, "strong"), ("   d drops a wall in the model; 1 or esc shows all rows", "quiet"))]
    walls = sorted(one_failure.walls.items(), key=lambda wall: (-wall[1], wall[0]))
    for domain, cells in walls[:room]:
        behind = "cell behind this one wall" if cells == 1 else "cells behind this one wall"
        lines.append(((f"   {domain}: ", "blocked"), (f"{cells} {behind}", "")))
    if len(walls) > room:
        rest = sum(cells for _, cells in walls[room:])
        lines.append(((f"   and {rest} behind {len(walls) - room} other{'s' * (len(walls) - room > 1)}", "quiet"),))
    return tuple(lines)


def age(seconds: float) -> str:
    """How long ago, for people."""
    seconds = max(seconds, 0)
    if seconds < 90:
        return f"{seconds:.0f} s ago"
    return f"{seconds / 60:.0f} min ago" if seconds < 5400 else f"{seconds / 3600:.1f} h ago"


def imagined_legend(alphabet: Alphabet) -> Line:
    """Glyphs of a grid that is not real."""
    return (
        (f" {alphabet.would_expose} ", "exposed"), ("would open, must be blocked  ", "quiet"),
        (f"{alphabet.would_open} ", "simulated"), ("would open  ", "quiet"),
        (f"{alphabet.would_maybe} ", "unproven"), ("not known  ", "quiet"),
        ("digit: layers that would still hold  ", "quiet"), ("grey: as it is", "untested"),
    )  # fmt: skip


def legend(alphabet: Alphabet) -> Line:
    """Glyphs with their words."""
    pieces: list[Piece] = [(" ", "")]
    for verdict in Verdict:
        pieces.extend(((f"{alphabet.verdicts[verdict]} ", str(verdict)), (f"{verdict}  ", "quiet")))
    pieces.append(("digit: layers that would still hold  ", "quiet"))
    pieces.append((f"{alphabet.disagrees} rules and reality disagree", "quiet"))
    return tuple(pieces)
