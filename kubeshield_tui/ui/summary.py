"""The lines around the grid: what is wrong, how far we are, what the cell under the cursor says. Pure."""

from __future__ import annotations

from time import localtime, strftime

from kubeshield_tui.model.event import WatchStatus
from kubeshield_tui.model.ids import CellKey
from kubeshield_tui.model.vantage import VantageKind, VantageStatus
from kubeshield_tui.model.verdict import Verdict
from kubeshield_tui.session.query import lost_clusters, pace
from kubeshield_tui.session.store import Store
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


def age(seconds: float) -> str:
    """How long ago, for people."""
    seconds = max(seconds, 0)
    if seconds < 90:
        return f"{seconds:.0f} s ago"
    return f"{seconds / 60:.0f} min ago" if seconds < 5400 else f"{seconds / 3600:.1f} h ago"


def legend(alphabet: Alphabet) -> Line:
    """Glyphs with their words."""
    pieces: list[Piece] = [(" ", "")]
    for verdict in Verdict:
        pieces.extend(((f"{alphabet.verdicts[verdict]} ", str(verdict)), (f"{verdict}  ", "quiet")))
    pieces.append(("digit: layers that would still hold  ", "quiet"))
    pieces.append((f"{alphabet.disagrees} rules and reality disagree", "quiet"))
    return tuple(pieces)
