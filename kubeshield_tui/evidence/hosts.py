"""What one host's rules make of a visitor, as one layer of defence: allow, deny or unknown, how, and by which rule.

As the layer would say if it stood alone. What was not read, is old, or is decided by a program in front of these rules
is unknown, never `allow`. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from msgspec.structs import replace

from kubeshield_tui.evidence.netfilter.datapaths import on_way
from kubeshield_tui.evidence.netfilter.gathered import STALE_SECONDS, Gathered
from kubeshield_tui.evidence.netfilter.packet import Packet
from kubeshield_tui.evidence.netfilter.result import LEGS, Decider, Outcome, Result
from kubeshield_tui.evidence.netfilter.routing import Ask, Decision, Hop, Routing
from kubeshield_tui.evidence.netfilter.words import address, address_text
from kubeshield_tui.model.prediction import Predicted
from kubeshield_tui.model.record import Record

REMEMBERED = 100_000
"""Answers kept of one reading."""
EPHEMERAL_PORT = 50_000
"""Source port that is asked about: in the range that clients draw from. A rule that names one is rare."""
WAYS = 4
"""Translations of one visitor that are followed on to the next host."""


class How(StrEnum):
    """How a visitor is refused, as he meets it."""

    PASSED = ""
    DROP = "drop"
    """Silence: dropped on the way out or back."""
    REJECT = "reject"
    NO_ROUTE = "no-route"
    """By the routes rather than by a rule."""
    LATE = "late"
    """The handshake passes; what follows it does not."""
    SEVERAL = "several"
    """Refused in any case, in one of several ways."""


class Visit(Record, frozen=True):
    """A connection as it reaches a host, or begins on it."""

    family: str
    """ip or ip6."""
    protocol: str
    """tcp or udp."""
    source: str
    """Address; empty where it is not known."""
    target: str
    port: int
    begins_here: bool = False


class HostLayer(Record, frozen=True):
    """The answer of one host."""

    host: str
    verdict: Predicted
    how: How = How.PASSED
    answer: str = ""
    """How it is rejected: `tcp-reset`, `icmp-port-unreachable`, ...; empty where it is not, or in several ways."""
    decider: str = ""
    """What decides, in one line; why it is unknown."""
    rule: Decider | None = None
    """The rule, policy or route that decides; None where several may."""
    rules: tuple[Decider, ...] = ()
    """All that may decide."""
    nat: tuple[str, str] = ("", "")
    """Where the destination is translated to, as address and port, and the source's address; empty where they stay."""
    onward: tuple[Visit, ...] = ()
    """The visitor as he leaves the host, or would if he were let: several where it is drawn who answers."""
    astray: bool = False
    """There are more ways onward than are told, or some that are not known."""
    assumptions: tuple[str, ...] = ()
    at: float = 0.0
    """Seconds since the epoch when the host was read."""


def visit_of(source: str, target: str, port: int, protocol: str = "tcp", *, begins_here: bool = False) -> Visit | None:
    """Make a visit of addresses as they are written; None where the target is no address."""
    if address(target) is None:
        return None
    family = "ip6" if ":" in target else "ip"
    fits = address(source) is not None and (":" in source) == (family == "ip6")
    return Visit(
        family=family,
        protocol=protocol,
        source=source if fits else "",
        target=target,
        port=port,
        begins_here=begins_here,
    )


def own_source(gathered: Gathered, target: str) -> str:
    """Return the address that a host itself would come as to a target; empty where that is not certain."""
    family = "ip6" if ":" in target else "ip"
    routing = gathered.firewall(family).routing
    device = _device_to(routing, family, target)
    own = routing.own_address(family, device, address(target)) if device else None
    return target if device == "lo" else "" if own is None else address_text(own, family)


def firewall_layer(gathered: Gathered, visit: Visit, now: float) -> HostLayer:
    """Return what a host's rules and routes make of a visit, judged at a time (seconds since the epoch).

    Remembered for each visit: asking again costs nothing.
    """
    layer = gathered.answers.get(visit)
    if layer is None:
        if len(gathered.answers) >= REMEMBERED:
            gathered.answers.clear()
        layer = gathered.answers[visit] = _answer(gathered, visit)
    assert isinstance(layer, HostLayer)
    if gathered.is_stale(now) and layer.verdict is not Predicted.UNKNOWN:
        minutes = int(gathered.age(now) // 60)
        return replace(
            layer,
            verdict=Predicted.UNKNOWN,
            decider=f"read {minutes} min ago, more than {int(STALE_SECONDS // 60)}: it said {layer.verdict}, "
            f"{layer.decider}",
        )
    return layer


def explain(gathered: Gathered, visit: Visit) -> Result:
    """Return every outcome with its path and near misses: what `firewall_layer` sums up. Remembered too."""
    key = ("explained", visit)
    result = gathered.answers.get(key)
    if result is None:
        packet, _, _ = _packet(gathered, visit)
        result = gathered.answers[key] = gathered.firewall(visit.family).judge(packet, LEGS, explain=True)
    assert isinstance(result, Result)
    return result


def _answer(gathered: Gathered, visit: Visit) -> HostLayer:
    if bridged := _bridged(gathered, visit):
        verdict, why = bridged
        onward = (replace(visit, begins_here=False),)
        return HostLayer(host=gathered.host, verdict=verdict, decider=why, onward=onward, at=gathered.at)
    packet, devices, assumptions = _packet(gathered, visit)
    result = gathered.firewall(visit.family).judge(packet)
    layer = _summed(gathered, visit, result, assumptions)
    routing = gathered.firewall(visit.family).routing
    leaving = tuple(_device_to(routing, visit.family, each.target) for each in layer.onward)
    front = on_way(gathered.in_front, (*devices, *leaving))
    if front:
        others = ", ".join(each.what for each in front[:3])
        said = f"{layer.verdict}, {layer.decider}" if layer.verdict is not Predicted.UNKNOWN else layer.decider
        layer = replace(
            layer,
            verdict=Predicted.UNKNOWN,
            decider=f"another datapath may decide before: {others}; the rules say {said}",
        )
    return layer


# --- the question


def _packet(gathered: Gathered, visit: Visit) -> tuple[Packet, tuple[str, ...], tuple[str, ...]]:
    """Return the packet to ask about, the devices on its way (empty name: not known), and what is assumed for it."""
    routing = gathered.firewall(visit.family).routing
    target = address(visit.target) or 0
    arrives, assumptions = "", []
    if not visit.begins_here:
        arrives = _device_to(routing, visit.family, visit.source)
        if arrives:
            assumptions.append(f"it arrives over {arrives}, the host's way back to {visit.source}")
    if not gathered.has("qdiscs") and not gathered.has("bpf"):
        assumptions.append("no tc program is in front: neither tc nor bpftool could be asked")
    if not gathered.has("links"):
        assumptions.append("no XDP program is in front: links were not read")
    if gathered.asks_source_ports:
        assumptions.append(f"it comes from an ephemeral port ({EPHEMERAL_PORT})")
    leaves = _device_to(routing, visit.family, visit.target)
    is_local = routing.is_local(visit.family, target)
    hook = "output" if visit.begins_here else "forward" if is_local is False else "input"
    packet = Packet(
        family=visit.family,
        protocol=visit.protocol,
        src=visit.source,
        dst=visit.target,
        sport=EPHEMERAL_PORT,
        dport=visit.port,
        iif=arrives,
        hook=hook,
    )
    devices = (leaves,) if visit.begins_here else (arrives,) if hook == "input" else (arrives, leaves)
    return packet, devices, tuple(assumptions)


def _hop_to(routing: Routing, family: str, text: str) -> Hop | None:
    """Return the one hop that leads to an address, `lo` for an own one; None where that is not certain."""
    number = address(text)
    if number is None or not routing.knows(family):
        return None
    decision = routing.decide(Ask(family=family, destination=number))
    if not isinstance(decision, Decision):
        return None
    if decision.kind == "local":
        return Hop(device="lo")
    return decision.hops[0] if decision.kind == "unicast" and len(decision.hops) == 1 else None


def _device_to(routing: Routing, family: str, text: str) -> str:
    """Return the one device that leads to an address; empty where that is not certain."""
    hop = _hop_to(routing, family, text)
    return "" if hop is None else hop.device


def next_hop(gathered: Gathered, text: str) -> str | None:
    """Return the gateway on a host's way to an address: empty for one on link, or its own; None where that is open."""
    family = "ip6" if ":" in text else "ip"
    hop = _hop_to(gathered.firewall(family).routing, family, text)
    if hop is None:
        return None
    return "" if hop.gateway is None else address_text(hop.gateway, family)


def _bridged(gathered: Gathered, visit: Visit) -> tuple[Predicted, str] | None:
    """Tell of a visit that a bridge of the host hands on: whether IP's rules are asked is a setting."""
    if visit.begins_here:
        return None
    routing = gathered.firewall(visit.family).routing
    bridge = _bridge_of(routing, visit)
    settings = gathered.bridges.get(bridge)
    if settings is None:
        return None
    name = "iptables" if visit.family == "ip" else "ip6tables"
    if not gathered.has("sysctls"):
        return Predicted.UNKNOWN, f"bridged on {bridge}: whether rules are asked at all was not read (sysctls)"
    if not (routing.setting(f"net.bridge.bridge-nf-call-{name}") or settings.get(f"nf_call_{name}")):
        if gathered.bridge_tables:
            return Predicted.UNKNOWN, f"bridged on {bridge}: only bridge tables are asked, and they are not judged"
        return Predicted.ALLOW, f"bridged on {bridge}: bridge-nf-call-{name} is off, so no rule is asked"
    if gathered.bridge_tables:
        return Predicted.UNKNOWN, f"bridged on {bridge}: bridge tables see it too, and they are not judged"
    return None


def _bridge_of(routing: Routing, visit: Visit) -> str:
    """Return the device that both ends are on link of; empty where there is none."""
    hops = [_hop_to(routing, visit.family, text) for text in (visit.source, visit.target)]
    devices = {hop.device if hop is not None and hop.gateway is None else "" for hop in hops}
    return devices.pop() if len(devices) == 1 else ""


# --- the answer


def _summed(gathered: Gathered, visit: Visit, result: Result, assumptions: Sequence[str]) -> HostLayer:
    outcomes = result.outcomes
    accepted = [outcome for outcome in outcomes if outcome.verdict == "accept"]
    first = outcomes[0]
    how, answer = _how(first, visit)
    rules = tuple(dict.fromkeys(outcome.decider for outcome in outcomes))
    deciders = list(dict.fromkeys(map(decider_text, rules)))
    onward, astray = _onward(visit, accepted or outcomes)
    base = HostLayer(
        host=gathered.host,
        verdict=Predicted.ALLOW,
        rule=first.decider if len(deciders) == 1 else None,
        rules=rules,
        decider="; or ".join(deciders[:WAYS]),
        nat=((first.nat or {}).get("dnat", ""), _end((first.nat or {}).get("snat", ""), "", 0)[0]),
        onward=onward,
        astray=astray,
        assumptions=(*assumptions, *dict.fromkeys(each.text for each in first.assumptions)),
        at=gathered.at,
    )
    if len(accepted) == len(outcomes):
        return base
    if not accepted:
        hows = {_how(outcome, visit) for outcome in outcomes}
        if len(hows) > 1:
            how, answer = How.SEVERAL, ""
        return replace(base, verdict=Predicted.DENY, how=how, answer=answer)
    ways = "; ".join(dict.fromkeys(f"{_outcome_text(each)} if {_conditions(each)}" for each in outcomes[:4]))
    return replace(base, verdict=Predicted.UNKNOWN, decider=ways, rule=None)


def _how(outcome: Outcome, visit: Visit) -> tuple[How, str]:
    if outcome.verdict == "accept":
        return How.PASSED, ""
    if outcome.leg == "ack":
        return How.LATE, outcome.answer or ""
    if outcome.leg == "syn-ack":
        return How.DROP, ""  # whatever becomes of the answer, the visitor hears nothing
    by_route = outcome.decider.chain is None
    if by_route and visit.begins_here and outcome.verdict == "reject":
        return How.NO_ROUTE, ""  # his own socket fails: nothing is sent, and nothing answers
    if outcome.verdict == "reject":
        return How.NO_ROUTE if by_route else How.REJECT, outcome.answer or ""
    return How.NO_ROUTE if by_route and "blackhole" in outcome.decider.text else How.DROP, ""


def decider_text(decider: Decider) -> str:
    """Say what decides in one line: `ip filter INPUT rule 3 (handle 27): -A INPUT -p tcp -j DROP`."""
    if decider.chain is None:
        return decider.text
    place = " ".join(part for part in (decider.family, decider.table, decider.chain) if part)
    if decider.index is None:
        return f"{place}: {decider.text}" if place else decider.text
    handle = "" if decider.handle is None else f" (handle {decider.handle})"
    return f"{place} rule {decider.index + 1}{handle}: {decider.text}"


def _outcome_text(outcome: Outcome) -> str:
    words = outcome.verdict if not outcome.answer else f"{outcome.verdict} with {outcome.answer}"
    return words if outcome.leg == "syn" else f"{words} of the {outcome.leg}"


def _conditions(outcome: Outcome) -> str:
    return " and ".join(dict.fromkeys(f"{each.where}: {each.text}" for each in outcome.assumptions)) or "nothing else"


def _onward(visit: Visit, outcomes: Sequence[Outcome]) -> tuple[tuple[Visit, ...], bool]:
    """Return the visitor as he goes on, translated, and whether that is not all; an unknown source stays empty."""
    found: dict[Visit, None] = {}
    astray = False
    for outcome in outcomes:
        nat = outcome.nat or {}
        target, port = _end(nat.get("dnat", ""), visit.target, visit.port)
        source, _ = _end(nat.get("snat", ""), visit.source, 0)
        if target:
            found[replace(visit, source=source, target=target, port=port, begins_here=False)] = None
        else:
            astray = True
    return tuple(found)[:WAYS], astray or len(found) > WAYS


def _end(text: str, host: str, port: int) -> tuple[str, int]:
    """Read an end as a translation prints it; a host that is not known becomes empty."""
    if not text:
        return host, port
    name, colon, told = text.rpartition(":")
    if not colon or (":" in name and not name.startswith("[")):
        name, told = text, ""
    name = name.strip("[]")
    return ("" if name == "?" else name), int(told) if told.isdecimal() else port
