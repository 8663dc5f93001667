"""A cell's page: what was declared, predicted and observed, its proof and its evidence, as lines. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from textwrap import wrap

from kubeshield_tui.judgement.chain import first_denying
from kubeshield_tui.judgement.disagreements import CODES
from kubeshield_tui.judgement.sentence import declared
from kubeshield_tui.model.cluster import PolicyRecord
from kubeshield_tui.model.ids import CellKey
from kubeshield_tui.model.observation import HttpExchange, Observation, State, TlsFacts
from kubeshield_tui.model.opinion import Inspection, SecondOpinion
from kubeshield_tui.model.prediction import Predicted
from kubeshield_tui.model.verdict import Judgement
from kubeshield_tui.session.firewalls import Firewalls
from kubeshield_tui.session.query import policies_of
from kubeshield_tui.session.store import Cell, Store
from kubeshield_tui.ui.firewall import firewall_lines
from kubeshield_tui.ui.summary import age
from kubeshield_tui.ui.widgets.pager import Line

LABEL = 13
LAYER_TOKENS = {Predicted.ALLOW: "", Predicted.DENY: "layered", Predicted.UNKNOWN: "quiet"}
SECTIONS = ("answer", "conversation", "second look", "policies", "firewall", "raw")
"""Headings, in order; digits lead to them."""


def cell_page(
    store: Store, firewalls: Firewalls, key: CellKey, now: float, width: int, *, raw_rules: bool = False
) -> list[Line]:
    """All lines of a cell's page. `raw_rules`: with the rules of hosts as they were read."""
    cell = store.cell(key)
    parts = [
        _answer(store, key, cell, now, width),
        _conversation(cell),
        _second_look(store, key, now, width),
        _policies(store, key),
        firewall_lines(store, firewalls, key, now, width, raw=raw_rules),
        _raw(cell, width),
    ]
    lines: list[Line] = []
    for number, (name, part) in enumerate(zip(SECTIONS, parts, strict=True), 1):
        lines.append(())
        lines.append(((f" {number} ", "quiet"), (name.upper(), "heading")))
        lines.extend(part)
    return lines


def section_line(lines: list[Line], number: int) -> int:
    """Line of a section's heading."""
    wanted = SECTIONS[number - 1].upper()
    return next((index for index, line in enumerate(lines) if len(line) == 2 and line[1][0] == wanted), 0)


def _pair(label: str, text: str, token: str = "", width: int = 0) -> Iterator[Line]:
    pieces = wrap(text, max(width - LABEL - 4, 20)) if width else [text]
    for number, piece in enumerate(pieces or [""]):
        yield ((f"   {label if number == 0 else '':<{LABEL}}", "quiet"), (piece, token))


def _answer(store: Store, key: CellKey, cell: Cell, now: float, width: int) -> Iterator[Line]:
    judgement, observation = cell.judgement, cell.observation
    if observation is None:
        yield from _pair("observed", cell.why or "not asked yet", "quiet", width)
        return
    if judgement is not None:
        yield from _declared(judgement, width)
    yield from _pair("observed", _observed(observation, now), "strong", width)
    if told := _told(observation):
        yield from _pair("told", told, "", width)
    if observation.simulated:
        yield from _pair("", "simulated by the training range: no packet decided it", "simulated", width)
    if judgement is not None:
        yield from _proof(judgement, observation, width)
    if cell.history:
        changes = [f"{past.state} ({past.reason}) until {age(now - past.at)}" for past in reversed(cell.history)]
        yield from _pair("before", "; ".join(changes), "quiet", width)
    yield from _findings(store, key, width)


def _declared(judgement: Judgement, width: int) -> Iterator[Line]:
    depth = "" if judgement.depth is None else f"   depth {judgement.depth}, at most {judgement.depth_max}"
    yield from _pair("verdict", f"{judgement.verdict.upper()}{depth}", str(judgement.verdict), width)
    for label, text in declared(judgement.expectation):
        token = "unproven" if label in {"undecided", "expired"} else "simulated" if label == "exception" else ""
        yield from _pair(label, text, token, width)
    yield from _pair("rules say", f"{judgement.prediction.verdict}: {judgement.prediction.because}", "quiet", width)
    differs = "exposed" if judgement.comparison.code in CODES else "quiet"
    yield from _pair("compared", f"{judgement.comparison.code}: {judgement.comparison.sentence}", differs, width)


def _observed(observation: Observation, now: float) -> str:
    words = f"{observation.state}, {observation.reason}"
    if observation.latency_ms is not None:
        words += f" in {observation.latency_ms:.1f} ms"
    count = len(observation.attempts)
    tries = f"{count} attempt{'s' if count != 1 else ''}"
    return f"{words}, posture {observation.posture}, {tries}, {age(now - observation.at)}"


def _told(observation: Observation) -> str:
    """What the answers mean and what they tell of the server."""
    facts = ", ".join(f"{name} {value}" for name, value in observation.identified)
    return "; ".join(part for part in (observation.detail, facts) if part)


def _proof(judgement: Judgement, observation: Observation, width: int) -> Iterator[Line]:
    yield from _layers(judgement, width)
    proof = judgement.proof
    if observation.state not in {State.FILTERED, State.CLOSED}:
        return
    alive = f"{proof.target_by} saw it open around this answer" if proof.target_by else "no vantage saw it open then"
    yield from _pair("target", alive, "reachable" if proof.target_alive else "unproven", width)
    reached = f"this vantage reached {proof.vantage_by} then" if proof.vantage_by else "it reached nothing then"
    yield from _pair("vantage", reached, "reachable" if proof.vantage_alive else "unproven", width)
    if proof.missing:
        yield from _pair("missing", proof.missing, "unproven", width)


def _layers(judgement: Judgement, width: int) -> Iterator[Line]:
    """The visitor's way through the layers, who decides marked."""
    denying, differs = first_denying(judgement.layers), judgement.comparison.code in CODES
    for layer in judgement.layers:
        token, mark = LAYER_TOKENS[layer.verdict], ""
        if layer is denying:
            mark = "  <- should have decided" if differs else "  <- decides"
        force = {True: "", False: " (not in force)", None: " (whether it is in force is not known)"}[layer.enforced]
        yield from _pair("layer", f"{layer.layer}: {layer.verdict}{force}. {layer.decider}{mark}", token, width)
    if judgement.next_decider:
        yield from _pair("without it", judgement.next_decider, "", width)
    if judgement.listener:
        yield from _pair("listener", judgement.listener, "", width)


def _findings(store: Store, key: CellKey, width: int) -> Iterator[Line]:
    for finding in store.findings.values():
        if (finding.endpoint, finding.vantage) == key:
            yield ()
            yield from _pair("finding", f"{finding.severity.upper()} {finding.title}", "exposed", width)
            for command in finding.verify:
                yield from _pair("verify", command)
            yield from _pair("remedy", finding.remedy, "", width)


def _conversation(cell: Cell) -> Iterator[Line]:
    observation = cell.observation
    if observation is None:
        return
    for number, attempt in enumerate(observation.attempts, 1):
        yield from _pair(f"attempt {number}", f"{attempt.state} {attempt.reason} {attempt.ms:8.1f} ms")
    for step in observation.steps:
        yield from _pair(step.name, f"{step.ms:8.1f} ms  {step.detail}", "" if step.ok else "unproven")
    if observation.icmp is not None:
        icmp = observation.icmp
        yield from _pair("icmp", f"v{icmp.family} type {icmp.type} code {icmp.code} from {icmp.source}", "unproven")
    if observation.banner:
        yield from _pair("greeting", observation.banner)
    yield from _tls(observation.tls)
    for exchange in observation.http:
        yield from _exchange(exchange, 20)


def _exchange(exchange: HttpExchange, most: int) -> Iterator[Line]:
    yield from _pair("request", f"{exchange.method} {exchange.path}   {exchange.ms:.1f} ms", "strong")
    yield from _pair("", f"{exchange.status or 'no status'} {exchange.reason}")
    yield from chain.from_iterable(_pair("", f"{name}: {value}", "quiet") for name, value in exchange.headers)
    body = exchange.body.splitlines()
    yield from chain.from_iterable(_pair("", line, "quiet") for line in body[:most])
    if len(body) > most:
        yield from _pair("", f"... {len(body) - most} more lines", "quiet")


def opinion_line(opinion: SecondOpinion) -> str:
    """A second opinion in one sentence."""
    return opinion.error or f"{opinion.state} ({opinion.reason}); {opinion.agreement}"


def _second_look(store: Store, key: CellKey, now: float, width: int) -> Iterator[Line]:
    opinion, inspection = store.opinions.get(key), store.inspections.get(key)
    if opinion is None and inspection is None:
        yield from _pair("", "m asks nmap; i holds the whole safe conversation", "quiet", width)
    if opinion is not None:
        token = "exposed" if opinion.differs else "quiet" if opinion.error else ""
        yield from _pair("nmap", f"{opinion_line(opinion)}, {age(now - opinion.at)}", token, width)
        if not opinion.error:
            yield from _pair("", opinion.by, "quiet")
    if inspection is not None:
        yield from _inspection(inspection, now, width)


def _inspection(inspection: Inspection, now: float, width: int) -> Iterator[Line]:
    if not inspection.through:
        yield from _pair("inspected", f"{inspection.error}, {age(now - inspection.at)}", "quiet", width)
        return
    told = f"through {inspection.through} in {inspection.seconds:.1f} s, {age(now - inspection.at)}"
    yield from _pair("inspected", told, "strong", width)
    if inspection.error:
        yield from _pair("", inspection.error, "unproven", width)
    yield from _tls(inspection.tls)
    if inspection.trust:
        yield from _pair("trust", inspection.trust, "", width)
    for exchange in inspection.exchanges:
        yield from _exchange(exchange, 200)


def _tls(tls: TlsFacts | None) -> Iterator[Line]:
    if tls is None:
        return
    yield from _pair("tls", f"{tls.version or 'no handshake'} {tls.cipher} {tls.alpn}".rstrip())
    if tls.client_certificate:
        yield from _pair("", f"client certificate {tls.client_certificate} {tls.alert}".rstrip(), "reachable")
    if tls.certificate is not None:
        certificate = tls.certificate
        yield from _pair("certificate", f"{certificate.subject}, issued by {certificate.issuer}")
        yield from _pair("", ", ".join(certificate.names[:12]))
        yield from _pair("", f"{certificate.not_before} to {certificate.not_after}")
        yield from _pair("", f"sha256 {certificate.sha256}", "quiet")


def _policies(store: Store, key: CellKey) -> Iterator[Line]:
    endpoint, vantage = store.endpoints.get(key.endpoint), store.vantages.get(key.vantage)
    if endpoint is None or vantage is None:
        return
    found = policies_of(store, endpoint, vantage)
    if not found:
        unread = any("networkpolicies" in denied.what for denied in store.denied)
        yield from _pair("", "could not be read" if unread else "none selects either end", "quiet")
    for selected in found:
        policy = selected.policy
        end = f"{selected.direction.lower()} of {selected.pod} ({selected.end})"
        yield from _pair("policy", f"{policy.namespace}/{policy.name} selects {end}", "strong")
        yield from _spec(policy)


def _spec(policy: PolicyRecord) -> Iterator[Line]:
    return chain.from_iterable(_pair("", line, "quiet") for line in policy.spec.splitlines())


def _raw(cell: Cell, width: int) -> Iterator[Line]:
    if cell.observation is not None:
        yield from _pair("", cell.observation.raw or "nothing", "quiet", width)
