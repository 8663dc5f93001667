"""The firewall section of a cell's page: what the rules of each host on its way make of this visitor. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from textwrap import wrap

from kubeshield_tui.evidence.hosts import HostLayer, How, Visit, decider_text, explain
from kubeshield_tui.evidence.netfilter.gathered import Gathered
from kubeshield_tui.evidence.netfilter.result import Outcome, Result, Step
from kubeshield_tui.model.evidence import HostWitness, Support, Witness
from kubeshield_tui.model.ids import CellKey
from kubeshield_tui.model.prediction import Predicted
from kubeshield_tui.model.vantage import VantageKind
from kubeshield_tui.session.firewalls import Firewalls, Stop
from kubeshield_tui.session.store import Store
from kubeshield_tui.ui.summary import age
from kubeshield_tui.ui.widgets.pager import Line

LABEL = 13
STEPS = 24
"""Steps of a path that are shown: one through thousands of rules meets few of them."""
MISSES = 4
LAYERS = {
    "vantage-egress": "the vantage's own host",
    "source-firewall": "the node of the vantage's pod",
    "node-firewall": "the host that holds the target",
}
TOKENS = {Predicted.ALLOW: "reachable", Predicted.DENY: "blocked", Predicted.UNKNOWN: "unproven"}


def firewall_lines(
    store: Store, firewalls: Firewalls, key: CellKey, now: float, width: int, *, raw: bool
) -> Iterator[Line]:
    """Lines of the section. `raw`: with the rules as they were read."""
    stops = firewalls.way(key)
    witness = store.witnesses.get(key)
    if witness is not None:
        yield from _witness(witness, now, width)
    if not stops:
        yield from _pair("", _nobody(store, key), "quiet", width)
    for number, stop in enumerate(stops, 1):
        yield from _stop(store, number, stop, now, width)
    told = {id(stop.gathered): stop.gathered for stop in stops if stop.gathered is not None}
    own = firewalls.gathered(key.vantage)
    if own is not None:
        told[id(own)] = own
    for gathered in told.values():
        yield from _as_read(gathered, now, width, raw=raw)


def _pair(label: str, text: str, token: str = "", width: int = 0) -> Iterator[Line]:
    pieces = wrap(text, max(width - LABEL - 4, 20)) if width else [text]
    for number, piece in enumerate(pieces or [""]):
        yield ((f"   {label if number == 0 else '':<{LABEL}}", "quiet"), (piece, token))


def _nobody(store: Store, key: CellKey) -> str:
    vantage = store.vantages.get(key.vantage)
    if vantage is not None and vantage.spec.kind in {VantageKind.SCRIPT, VantageKind.NMAP}:
        return "its answers come from a file: no host on its way can be read"
    return "no host on this way is known whose rules can be read: an SSH host or node:NODE as a vantage would be one"


# --- one host


def _stop(store: Store, number: int, stop: Stop, now: float, width: int) -> Iterator[Line]:
    yield ()
    yield ((f"   {number} ", "quiet"), (stop.host, "strong"), (f"  {LAYERS[stop.layer]} ({stop.layer})", "quiet"))
    yield from _pair("visitor", _visitor(stop.visit), "", width)
    layer = stop.judged(now)
    if stop.gathered is None or layer is None:
        yield from _pair("rules", _unread(store, stop), "unproven", width)
        return
    over = f" over {stop.reader}" if stop.reader is not None else ""
    words = f"{layer.verdict.upper()}{_how(layer)}   read {age(stop.gathered.age(now))}{over}"
    yield from _pair("verdict", words, TOKENS[layer.verdict], width)
    yield from _pair("decides" if layer.verdict is not Predicted.UNKNOWN else "unknown", layer.decider, "strong", width)
    if layer.rule is not None and layer.rule.counter is not None:
        yield from _pair("", f"{layer.rule.counter[0]} packets when it was read", "quiet", width)
    if any(layer.nat):
        yield from _pair("translated", _translated(layer.nat), "", width)
    result = explain(stop.gathered, stop.visit)
    yield from _path(result, width)
    for assumption in layer.assumptions:
        yield from _pair("assumed", assumption, "unproven", width)
    for front in stop.gathered.in_front:
        yield from _pair("in front", f"{front.what}: it decides before these rules", "unproven", width)


def _visitor(visit: Visit) -> str:
    target = f"[{visit.target}]" if ":" in visit.target else visit.target
    return f"{visit.source or 'an address that is not known'} -> {target}:{visit.port}/{visit.protocol}"


def _unread(store: Store, stop: Stop) -> str:
    reader = store.vantages.get(stop.reader) if stop.reader is not None else None
    if reader is None:
        return f"not read: --vantage node:{stop.host} (or ssh:HOST) would be the way to them"
    how = "over SSH" if reader.spec.host else "by a pod made for it, after your yes"
    return f"not read: w reads them {how}"


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


def _translated(nat: tuple[str, str]) -> str:
    to, by = nat
    return ", ".join(part for part in (f"to {to}" if to else "", f"he comes as {by}" if by else "") if part)


def _path(result: Result, width: int) -> Iterator[Line]:
    """The way of the outcome, one line a step; of several outcomes each with what it takes."""
    several = len(result.outcomes) > 1
    for number, outcome in enumerate(result.outcomes[:4], 1):
        if several:
            answer = f" with {outcome.answer}" if outcome.answer else ""
            yield from _pair(f"way {number}", f"{outcome.verdict}{answer}: {decider_text(outcome.decider)}", "", width)
            for assumption in outcome.assumptions:
                yield from _pair("  if", f"{assumption.where}: {assumption.text}", "unproven", width)
        if number == 1:
            yield from _steps(outcome)
            yield from _near_misses(outcome, width)
    more = len(result.outcomes) - 4
    if more > 0:
        yield from _pair("", f"... {more} more ways", "quiet")


def _steps(outcome: Outcome) -> Iterator[Line]:
    shown = [step for step in outcome.trace if step.leg == "syn" or step.leg == outcome.leg]
    label = "path"
    for step in shown[:STEPS]:
        yield from _pair(label, _step(step, outcome), "strong" if step.decider == outcome.decider else "quiet")
        label = ""
    if len(shown) > STEPS:
        yield from _pair("", f"... {len(shown) - STEPS} more steps", "quiet")


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
        yield from _pair("near miss", f"{decider_text(miss.decider)}: {miss.condition} does not hold", "quiet", width)


# --- witnesses


def _witness(witness: Witness, now: float, width: int) -> Iterator[Line]:
    if witness.error:
        yield from _pair("witness", f"{witness.error}, {age(now - witness.at)}", "quiet", width)
        return
    sent = f"{witness.sent} sent between two readings, answer {witness.answer}, {age(now - witness.at)}"
    yield from _pair("witness", sent, "", width)
    yield from _pair("", witness.sentence, "strong", width)
    for host in witness.hosts:
        yield from _of_host(host, width)


def _of_host(host: HostWitness, width: int) -> Iterator[Line]:
    token = {Support.SUPPORTS: "reachable", Support.REFUTES: "exposed", Support.NOTHING: "quiet"}[host.support]
    yield from _pair("", f"{host.host}: {host.sentence}", token, width)
    if any(host.translated):
        yield from _pair("", f"  really translated: {_translated(host.translated)}", "", width)
    for moved in host.moved:
        yield from _pair("", f"  +{moved.counted}  {moved.rule}", "quiet" if moved.on_path else "unproven", width)


# --- as it was read


def _as_read(gathered: Gathered, now: float, width: int, *, raw: bool) -> Iterator[Line]:
    yield ()
    missing: Sequence[str] = [f"{source.item} ({source.status}: {source.detail})" for source in gathered.unread]
    if missing:
        yield from _pair("not read", f"on {gathered.host}: {'; '.join(missing)}", "unproven", width)
    size = sum(len(source.text) for source in gathered.sources.values())
    words = f"{gathered.host}, {size / 1024:.0f} kB, {age(gathered.age(now))}"
    yield from _pair("as read", words if raw else f"{words}: W shows it", "quiet", width)
    for source in gathered.sources.values() if raw else ():
        yield from _pair(str(source.status), f"{source.tool} on {source.host}  {source.detail}", "strong")
        for line in source.text.splitlines():
            yield from _pair("", line, "quiet")
