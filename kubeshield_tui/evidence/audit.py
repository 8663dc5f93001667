"""What a host's rules give away by themselves, without a probe: doors open to everybody, rules without effect. Pure.

Doors are found by asking the rules with an outside source, not by looking for a pattern: what an earlier rule, another
table or a route does counts as it does for a packet. Nothing is sent. What is not certain is not said.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from shlex import quote
from typing import NamedTuple

from kubeshield_tui.evidence.hosts import HostLayer, decider_text, firewall_layer, visit_of
from kubeshield_tui.evidence.netfilter.gathered import FAMILIES, Gathered
from kubeshield_tui.evidence.netfilter.listeners import listening
from kubeshield_tui.evidence.netfilter.result import Decider
from kubeshield_tui.evidence.netfilter.ruleset import Chain, Rule, Table
from kubeshield_tui.evidence.netfilter.shadowed import Shadowed, Unmet, shadowed, unmet, what_it_does
from kubeshield_tui.evidence.netfilter.words import address_text
from kubeshield_tui.model.expectation import Severity
from kubeshield_tui.model.prediction import Predicted
from kubeshield_tui.model.record import Record

CONTROL_PLANE = {
    6443: "kube-apiserver",
    2379: "etcd",
    2380: "etcd, peers",
    10250: "kubelet",
    10255: "kubelet, read-only",
    10257: "kube-controller-manager",
    10259: "kube-scheduler",
    10249: "kube-proxy, metrics",
}
"""Ports that strangers have no business with; a node's own, where they listen at all."""
OUTSIDE = {"ip": ("93.184.216.34", "45.33.32.156"), "ip6": ("2606:2800:220:1::1", "2600:3c01::1")}
"""Sources that no rule has reason to name: what both may do, everybody may. They are asked about, never sent to."""
METADATA = "169.254.169.254"
MADE_BY_PROGRAMS = (
    "KUBE-", "cali-", "CILIUM_", "OLD_CILIUM_", "DOCKER", "FLANNEL", "CNI-", "CNI_", "LIBVIRT_", "WEAVE", "ANTREA",
    "KUBE_", "service-", "endpoint-", "external-", "firewall-", "nodeport", "mark-for-masq", "policy_", "IN_", "FWD_",
    "FWDI_", "FWDO_", "PRE_", "POST_", "filter_", "nat_", "mangle_", "ufw-", "f2b-",
)  # fmt: skip
"""Beginnings of chains that a program writes: rules there that none met are its way of working."""
SHOWN = 12
"""Rules that one finding lists."""


class RuleFinding(Record, frozen=True):
    """Something about a host's rules that someone should know."""

    code: str
    about: tuple[str, ...]
    """What it is about beside the host, for its id: the table and chain, or empty."""
    severity: Severity
    title: str
    because: tuple[str, ...]
    verify: tuple[str, ...]
    remedy: str


class _Door(NamedTuple):
    port: int
    what: str
    layer: HostLayer


def audit(gathered: Gathered, now: float, *, is_node: bool, pods: Sequence[str] = ()) -> Iterator[RuleFinding]:
    """Yield what is wrong with a host's rules. `pods`: addresses of pods on it, to ask what they may reach.

    A host that is no node of a cluster is not held to a node's doors.
    """
    if is_node:
        yield from _doors(gathered, now)
        yield from _metadata(gathered, now, pods)
    yield from _shadowed(gathered)
    yield from _unmet(gathered)


# --- doors


def _doors(gathered: Gathered, now: float) -> Iterator[RuleFinding]:
    by_decider: dict[tuple[str, str, str, int | None], list[_Door]] = {}
    for family in FAMILIES:
        for own in _own_addresses(gathered, family):
            for port, what in CONTROL_PLANE.items():
                layer = _for_everybody(gathered, family, own, port, now)
                if layer is not None and layer.rule is not None:
                    rule = layer.rule
                    key = (rule.family or "", rule.table or "", rule.chain or "", rule.index)
                    by_decider.setdefault(key, []).append(_Door(port, f"{what} {own}:{port}", layer))
    for (_, table, chain, index), doors in by_decider.items():
        yield _wall_is_missing(gathered, doors) if index is None else _rule_admits(gathered, doors, (table, chain))


def _own_addresses(gathered: Gathered, family: str) -> Iterator[str]:
    for interface in gathered.network(family).interfaces or ():
        for own in interface.addresses:
            if own.family == family and own.is_global and not own.secondary and interface.name != "lo":
                yield address_text(own.number, family)


def _for_everybody(gathered: Gathered, family: str, own: str, port: int, now: float) -> HostLayer | None:
    """The answer to strangers where they are let in to something that listens; None where they are not."""
    if gathered.listeners is not None:
        found = listening(gathered.listeners, family, "tcp", own, port)
        if not any(not each.is_loopback for each in found):
            return None
    layer = None
    for source in OUTSIDE[family]:
        visit = visit_of(source, own, port)
        layer = firewall_layer(gathered, visit, now) if visit else None
        if layer is None or layer.verdict is not Predicted.ALLOW:
            return None
    return layer


def _wall_is_missing(gathered: Gathered, doors: Sequence[_Door]) -> RuleFinding:
    layer = doors[0].layer
    return RuleFinding(
        code="input-policy-accept",
        about=(),
        severity=Severity.LOW,
        title=f"{gathered.host} has no wall of its own before {_ports(doors)}",
        because=(
            *_listed(f"{door.what}: any source is let in" for door in doors),
            f"nothing refuses it: {layer.decider}",
        ),
        verify=_verify(gathered, layer.rule),
        remedy="Give the node an input policy of drop, with rules for its own traffic: the control plane's addresses "
        "to 10250, the nodes and load balancers to 6443, etcd's peers to 2379 and 2380. A cloud's security group does "
        "the same, and is the only wall then.",
    )


def _rule_admits(gathered: Gathered, doors: Sequence[_Door], about: tuple[str, ...]) -> RuleFinding:
    layer = doors[0].layer
    return RuleFinding(
        code="any-source-accept",
        about=about,
        severity=Severity.MEDIUM,
        title=f"A rule of {gathered.host} admits any source to {_ports(doors)}",
        because=(*_listed(f"{door.what}: any source is let in" for door in doors), f"by {_rule_line(layer.rule)}"),
        verify=_verify(gathered, layer.rule),
        remedy="Name the sources in that rule: the control plane's addresses for 10250, the nodes, load balancers and "
        "admins for 6443, etcd's peers for 2379 and 2380.",
    )


def _ports(doors: Sequence[_Door]) -> str:
    return ", ".join(str(port) for port in dict.fromkeys(door.port for door in doors))


# --- metadata


def _metadata(gathered: Gathered, now: float, pods: Sequence[str]) -> Iterator[RuleFinding]:
    for pod in pods[:1]:
        visit = visit_of(pod, METADATA, 80)
        layer = firewall_layer(gathered, visit, now) if visit else None
        if layer is None or layer.verdict is not Predicted.ALLOW:
            continue
        yield RuleFinding(
            code="metadata-forwarded",
            about=(),
            severity=Severity.LOW,
            title=f"{gathered.host} hands its pods' requests on to {METADATA}",
            because=(f"from a pod at {pod} to {METADATA}:80: {layer.decider}", *layer.assumptions),
            verify=_verify(gathered, layer.rule),
            remedy=f"Drop what pods send to {METADATA}/32 (forward, and input where the node serves it itself), or "
            "deny it by NetworkPolicy; on a cloud require session tokens with a hop limit of 1.",
        )


# --- rules without effect


def _shadowed(gathered: Gathered) -> Iterator[RuleFinding]:
    found = {
        _place(each.table, each.chain, each.rule): each
        for family in FAMILIES
        for each in shadowed(gathered.firewall(family).ruleset)
    }
    wrong = [each for each in found.values() if each.contradicts]
    again = [each for each in found.values() if not each.contradicts and not _is_made(each.chain)]
    if wrong:
        yield _never_reached(gathered, wrong, "rule-shadowed", Severity.LOW, "what they say is never done")
    if again:
        yield _never_reached(gathered, again, "rule-repeated", Severity.INFO, "earlier ones do the same")


def _never_reached(
    gathered: Gathered, found: Sequence[Shadowed], code: str, severity: Severity, why: str
) -> RuleFinding:
    first = found[0]
    return RuleFinding(
        code=code,
        about=(),
        severity=severity,
        title=f"{_rules(found)} of {gathered.host} can never be reached: {why}",
        because=_listed(
            f"{_rule_text(each.table, each.chain, each.rule)}; all its packets end at rule {each.by.index + 1}: "
            f"{each.by.text}"
            for each in found
        ),
        verify=_verify(gathered, _decider(first.table, first.chain, first.rule)),
        remedy="Move the rule before the one that takes its packets, or take it out.",
    )


def _unmet(gathered: Gathered) -> Iterator[RuleFinding]:
    found = {
        _place(each.table, each.chain, each.rule): each
        for family in FAMILIES
        for each in unmet(gathered.firewall(family).ruleset)
        if not _is_made(each.chain)
    }
    if found:
        yield _never_met(gathered, list(found.values()))


def _never_met(gathered: Gathered, found: Sequence[Unmet]) -> RuleFinding:
    first = found[0]
    return RuleFinding(
        code="rule-never-met",
        about=(),
        severity=Severity.INFO,
        title=f"{_rules(found)} of {gathered.host} met no packet since counting began",
        because=_listed(
            f"{_rule_text(each.table, each.chain, each.rule)}; others of its chain counted {each.walked}"
            for each in found
        ),
        verify=_verify(gathered, _decider(first.table, first.chain, first.rule)),
        remedy="See whether they are still wanted: an accept that nobody needs is a door. Counters begin when the "
        "rules are loaded.",
    )


# --- words


def _is_made(chain: Chain) -> bool:
    return chain.name.startswith(MADE_BY_PROGRAMS)


def _rules(found: Sequence[object]) -> str:
    return f"{len(found)} rule{'s' if len(found) != 1 else ''}"


def _place(table: Table, chain: Chain, rule: Rule) -> tuple[str, str, str, str, int]:
    return (table.origin, table.family, table.name, chain.name, rule.index)


def _decider(table: Table, chain: Chain, rule: Rule) -> Decider:
    return Decider(
        family=table.family, table=table.name, chain=chain.name, index=rule.index, handle=rule.handle, text=rule.text,
        counter=rule.counter,
    )  # fmt: skip


def _rule_text(table: Table, chain: Chain, rule: Rule) -> str:
    does = what_it_does(rule)
    return f"{_rule_line(_decider(table, chain, rule))}{f' ({does})' if does and does not in rule.text.lower() else ''}"


def _rule_line(rule: Decider | None) -> str:
    if rule is None:
        return "no rule"
    counter = "" if rule.counter is None else f" [{rule.counter[0]} packets]"
    return f"{decider_text(rule)}{counter}"


def _listed(lines: Iterable[str]) -> tuple[str, ...]:
    told = list(dict.fromkeys(lines))
    more = len(told) - SHOWN
    return (*told[:SHOWN], *((f"... {more} more",) if more > 0 else ()))


def _verify(gathered: Gathered, rule: Decider | None) -> tuple[str, ...]:
    """Commands on the host that show the chain. Names are the host's, perhaps: each is one word, whatever it is."""
    if rule is None or rule.table is None or rule.chain is None:
        return ("on the host: nft list ruleset; ip route show table all",)
    if rule.text.startswith("-A ") or (rule.index is None and rule.chain.isupper() and rule.family in FAMILIES):
        tool = "ip6tables" if rule.family == "ip6" else "iptables"
        return (f"on {gathered.host}: {tool} -t {quote(rule.table)} -nvL {quote(rule.chain)} --line-numbers",)
    chain = f"{rule.family} {quote(rule.table)} {quote(rule.chain)}"
    return (f"on {gathered.host}: nft -a list chain {chain}",)
