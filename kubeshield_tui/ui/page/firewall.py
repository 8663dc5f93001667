"""What the rules of each host on a cell's way make of its visitor. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kubeshield_tui.evidence.hosts import HostLayer, How, Visit, decider_text, explain
from kubeshield_tui.evidence.netfilter.gathered import Gathered
from kubeshield_tui.evidence.netfilter.result import Outcome, Result, Step
from kubeshield_tui.model.prediction import Predicted
from kubeshield_tui.model.vantage import VantageKind
from kubeshield_tui.session.firewalls import Stop
from kubeshield_tui.ui.page.lines import TOKENS, pair, said
from kubeshield_tui.ui.page.view import CellView
from kubeshield_tui.ui.summary import age
from kubeshield_tui.ui.widgets.pager import Line

STEPS = 24
"""Steps of a path that are shown: one through thousands of rules meets few of them."""
MISSES = 4


def nobody(view: CellView) -> str:
    """Say why no host's rules are shown."""
    vantage = view.vantage
    if vantage is not None and vantage.spec.kind in {VantageKind.SCRIPT, VantageKind.NMAP}:
        return "its answers come from a file: no host on its way can be read"
    return "no host on this way is known whose rules can be read: an SSH host or node:NODE as a vantage would be one"


def unread(view: CellView, stop: Stop) -> str:
    """Say how the rules of a host can be had."""
    reader = view.store.vantages.get(stop.reader) if stop.reader is not None else None
    if reader is None:
        return f"not read: --vantage node:{stop.host} (or ssh:HOST) would be the way to them"
    how = "over SSH" if reader.spec.host else "by a pod made for it, after your yes"
    return f"not read: w reads them {how}"


# --- one host


def stop_lines(view: CellView, stop: Stop) -> Iterator[Line]:
    """What one host makes of the visitor: verdict, decider, translations, the path of rules, near misses."""
    now, width = view.now, view.width
    yield from pair("visitor", _visitor(stop.visit), "", width)
    layer = stop.judged(now)
    if stop.gathered is None or layer is None:
        yield from pair("rules", unread(view, stop), "unproven", width)
        return
    over = f" over {stop.reader}" if stop.reader is not None else ""
    words = f"{said(layer.verdict)}{_how(layer)}   read {age(stop.gathered.age(now))}{over}"
    yield from pair("verdict", words, TOKENS[layer.verdict], width)
    yield from pair("decides" if layer.verdict is not Predicted.UNKNOWN else "unknown", layer.decider, "strong", width)
    if layer.rule is not None and layer.rule.counter is not None:
        yield from pair("", f"{layer.rule.counter[0]} packets when it was read", "quiet", width)
    if any(layer.nat):
        yield from pair("translated", translated(layer.nat), "", width)
    result = explain(stop.gathered, stop.visit)
    yield from _path(result, width)
    for assumption in layer.assumptions:
        yield from pair("assumed", assumption, "unproven", width)
    for front in stop.gathered.in_front:
        yield from pair("in front", f"{front.what}: it decides before these rules", "unproven", width)


def _visitor(visit: Visit) -> str:
    target = f"[{visit.target}]" if ":" in visit.target else visit.target
    return f"{visit.source or 'an address that is not known'} -> {target}:{visit.port}/{visit.protocol}"


def _how(layer: HostLayer) -> str:
    match layer.how:
        case How.PASSED:
            return ""
        case How.DROP:
            return ": silence"
        case How.REJECT:
            return f": rejected with {layer.answer or 'an answer that is not known'}"
        case How.NO_ROUTE:
            return f": no route{f', answered with {layer.answer}' if layer.answer else ''}"
        case How.LATE:
            return f": after the handshake{f', with {layer.answer}' if layer.answer else ''}"
        case How.SEVERAL:
            return ": in one of several ways"


def translated(nat: tuple[str, str]) -> str:
    """Say where destination and source are translated to."""
    to, by = nat
    return ", ".join(part for part in (f"to {to}" if to else "", f"he comes as {by}" if by else "") if part)


def _path(result: Result, width: int) -> Iterator[Line]:
    """The way of the outcome, one line a step; of several outcomes each with what it takes."""
    several = len(result.outcomes) > 1
    for number, outcome in enumerate(result.outcomes[:4], 1):
        if several:
            answer = f" with {outcome.answer}" if outcome.answer else ""
            yield from pair(f"way {number}", f"{outcome.verdict}{answer}: {decider_text(outcome.decider)}", "", width)
            for assumption in outcome.assumptions:
                yield from pair("  if", f"{assumption.where}: {assumption.text}", "unproven", width)
        if number == 1:
            yield from _steps(outcome)
            yield from _near_misses(outcome, width)
    more = len(result.outcomes) - 4
    if more > 0:
        yield from pair("", f"... {more} more ways", "quiet")


def _steps(outcome: Outcome) -> Iterator[Line]:
    shown = [step for step in outcome.trace if step.leg == "syn" or step.leg == outcome.leg]
    label = "path"
    for step in shown[:STEPS]:
        yield from pair(label, _step(step, outcome), "strong" if step.decider == outcome.decider else "quiet")
        label = ""
    if len(shown) > STEPS:
        yield from pair("", f"... {len(shown) - STEPS} more steps", "quiet")


def _step(step: Step, outcome: Outcome) -> str:
    decider = step.decider
    place = " ".join(part for part in (decider.family, decider.table, decider.chain) if part)
    rule = "" if decider.index is None else f" rule {decider.index + 1}"
    leg = f"{step.leg} " if step.leg != "syn" or outcome.leg != "syn" else ""
    effect = f"  {step.effect}" if decider.chain is not None else decider.text
    mark = "  <- decides" if decider == outcome.decider else ""
    return f"{leg}{step.hook:<12} {place}{rule}{effect}{mark}"


def _near_misses(outcome: Outcome, width: int) -> Iterator[Line]:
    found = [miss for miss in outcome.misses if miss.leg in {"syn", outcome.leg}]
    for miss in found[:MISSES]:
        yield from pair("near miss", f"{decider_text(miss.decider)}: {miss.condition} does not hold", "quiet", width)


# --- as it was read


def as_read(view: CellView, stops: Sequence[Stop]) -> Iterator[Line]:
    """What was read of the hosts on the way, and of the vantage's own; the text itself where the view is raw."""
    told = {id(stop.gathered): stop.gathered for stop in stops if stop.gathered is not None}
    own = view.firewalls.gathered(view.key.vantage)
    if own is not None:
        told[id(own)] = own
    for gathered in told.values():
        yield from _one(view, gathered)


def _one(view: CellView, gathered: Gathered) -> Iterator[Line]:
    yield ()
    missing = [f"{source.item} ({source.status}: {source.detail})" for source in gathered.unread]
    if missing:
        yield from pair("not read", f"on {gathered.host}: {'; '.join(missing)}", "unproven", view.width)
    size = sum(len(source.text) for source in gathered.sources.values())
    words = f"{gathered.host}, {size / 1024:.0f} kB, {age(gathered.age(view.now))}"
    yield from pair("as read", words if view.raw else f"{words}: W shows it", "quiet", view.width)
    for source in gathered.sources.values() if view.raw else ():
        yield from pair(str(source.status), f"{source.tool} on {source.host}  {source.detail}", "strong")
        for line in source.text.splitlines():
            yield from pair("", line, "quiet")
