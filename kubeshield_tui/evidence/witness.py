"""Two readings of a host around a probe: which rules counted it, and whether its connection got through. Pure.

A rule that counted nothing was not met: that refutes a prediction. One that counted may have counted others: at least
as many packets as were sent supports it, fewer say nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from kubeshield_tui.evidence.hosts import Visit, decider_text, explain, firewall_layer
from kubeshield_tui.evidence.netfilter.conntrack import Fate, Tracked, fate_of
from kubeshield_tui.evidence.netfilter.gathered import Gathered
from kubeshield_tui.evidence.netfilter.result import Decider
from kubeshield_tui.evidence.netfilter.ruleset import Field, Notrack
from kubeshield_tui.evidence.netfilter.shadowed import what_it_does
from kubeshield_tui.model.evidence import HostWitness, RuleCount, Support
from kubeshield_tui.model.prediction import Predicted
from kubeshield_tui.model.record import Record

MOVED_LIMIT = 12
"""Rules that are shown of those that counted."""
_TABLE = re.compile(r"\*(\w+)\s*")
_POLICY = re.compile(r":(\S+) (ACCEPT|DROP) \[(\d+):\d+\]\s*")
_ENDS = frozenset({"drop", "reject"})


class Place(NamedTuple):
    """Where a counter stands: `number` is None for a chain's policy."""

    family: str
    table: str
    chain: str
    number: int | None


class Count(NamedTuple):
    """What stands there."""

    text: str
    """The rule without its counters, to know whether it is still the same."""
    packets: int
    shown: str
    ends: bool
    """Whether it ends a packet's way."""


class Reading(NamedTuple):
    """A host with the connections of the probe's target."""

    gathered: Gathered
    tracked: Sequence[Tracked] | None
    """None where they could not be read."""


def counters(gathered: Gathered, family: str) -> dict[Place, Count]:
    """Return what the rules counted that packets of a family meet.

    A place that two backends have both is left out: which of them decided can't be told.
    """
    found: dict[Place, Count] = {}
    twice: set[Place] = set()
    for place, count in (*_of_rules(gathered, family), *_of_policies(gathered, family)):
        if place in found:
            twice.add(place)
        found[place] = count
    return {place: count for place, count in found.items() if place not in twice}


def witness_host(before: Reading, after: Reading, fresh: Sequence[Tracked], visit: Visit, sent: int) -> HostWitness:
    """Compare two readings of a host around `sent` connections; `fresh` are those that began between them."""
    layer = firewall_layer(before.gathered, visit, before.gathered.at)
    old, new = counters(before.gathered, visit.family), counters(after.gathered, visit.family)
    place = _place(layer.rule) if layer.verdict is not Predicted.UNKNOWN else None
    counted = _delta(old, new, place)
    path = {_place(step.decider) for outcome in explain(before.gathered, visit).outcomes for step in outcome.trace}
    moved = _moved(old, new, path, sent)
    support = _support(counted, sent)
    fate = _fate(before, after, fresh, visit.family)
    translated = next((each.translated for each in fresh), ("", ""))
    return HostWitness(
        host=before.gathered.host,
        predicted=str(layer.verdict),
        decider=layer.decider,
        counted=counted,
        support=support,
        moved=moved,
        fate=str(fate),
        translated=translated,
        sentence=_sentence(layer.verdict, support, counted, sent, fate),
    )


def conclusion(hosts: Sequence[HostWitness], *, is_open: bool, is_reset: bool) -> str:
    """Say in one sentence where the connection got to. `is_reset`: the target, or a rule, answered with a reset."""
    if is_open:
        return "it was let through all the way"
    read = [host for host in hosts if host.fate not in {Fate.UNREAD, Fate.UNTRACKED}]
    if not read:
        return "no host's connections could be read"
    passed: HostWitness | None = None
    for host in read:
        if host.fate == Fate.NOTHING:
            return _lost_at(host, passed, is_reset=is_reset)
        if passed is not None and passed.fate == Fate.PASSED_ON and host.fate != Fate.PASSED_ON:
            where = f"the answer died between them, or on {host.host}"
            return _answer_lost_at(host) or f"{host.host} saw an answer go back and {passed.host} did not: {where}"
        passed = host
    assert passed is not None
    if passed.fate == Fate.PASSED_ON:
        return f"{passed.host} passed it on and saw no answer: it died behind {passed.host}, or its answer did"
    return _answer_lost_at(passed) or f"{passed.host} passed it on and saw an answer go back"


def _answer_lost_at(host: HostWitness) -> str:
    """Return the sentence for a host whose rules should, by what they counted, have ended what it saw; else empty."""
    if host.predicted == Predicted.DENY and host.support is Support.SUPPORTS:
        return f"{host.host} saw an answer go back, and it died there: {host.decider}"
    return ""


def _lost_at(host: HostWitness, passed: HostWitness | None, *, is_reset: bool) -> str:
    ended = next((each.rule for each in host.moved if each.on_path), "")
    if host.predicted == Predicted.DENY and host.support is Support.SUPPORTS:
        return f"it died on {host.host}: {host.decider}"
    if is_reset:
        return f"{host.host} keeps no entry: a reset takes it away, so that tells nothing of where it was refused"
    before = f"{passed.host} passed it on; " if passed is not None else ""
    hint = f"; counted: {ended}" if ended and host.predicted != Predicted.ALLOW else ""
    where = "it died there or on the way to it" if passed is not None else "it died there or never came"
    return f"{before}{host.host} has no entry of it: {where}{hint}"


# --- connections


def _fate(before: Reading, after: Reading, fresh: Sequence[Tracked], family: str) -> Fate:
    if before.tracked is None or after.tracked is None:
        return Fate.UNREAD
    fate = fate_of(fresh)
    if fate is Fate.NOTHING and not before.tracked and not _tracks(before.gathered, family):
        return Fate.UNTRACKED
    return fate


def _tracks(gathered: Gathered, family: str) -> bool:
    """Whether the rules that packets of a family meet have the kernel keep their connections, all of them."""
    asks = False
    for table in gathered.firewall(family).ruleset.tables:
        if table.family not in {family, "inet"}:
            continue
        for chain in table.chains.values():
            asks = asks or (chain.type == "nat" and bool(chain.hook))
            for rule in chain.rules:
                if any(isinstance(statement, Notrack) for statement in rule.statements):
                    return False
                asks = asks or any(name.startswith("ct ") for name in _fields(rule.statements))
    return asks


def _fields(thing: object) -> Iterator[str]:
    """Yield the names of all fields that a rule asks for."""
    if isinstance(thing, Field):
        yield thing.name
    elif isinstance(thing, tuple):
        for part in thing:
            yield from _fields(part)
    elif isinstance(thing, Record):
        for name in thing.__struct_fields__:
            yield from _fields(getattr(thing, name))


# --- counters


def _of_rules(gathered: Gathered, family: str) -> Iterator[tuple[Place, Count]]:
    for table in gathered.firewall(family).ruleset.tables:
        if table.family not in {family, "inet", "netdev"}:
            continue
        for chain in table.chains.values():
            last = None
            for rule in chain.rules:
                if rule.counter is None or rule.index == last:
                    continue  # of a line that became several rules each has the line's counter
                last = rule.index
                decider = Decider(
                    family=table.family, table=table.name, chain=chain.name, index=rule.index, handle=rule.handle,
                    text=rule.text,
                )  # fmt: skip
                place = Place(table.family, table.name, chain.name, rule.index)
                ends = what_it_does(rule) in _ENDS
                yield place, Count(_bare(rule.text), rule.counter[0], decider_text(decider), ends)


def _bare(text: str) -> str:
    return re.sub(r"\bcounter packets \d+ bytes \d+", "counter", text)


def _of_policies(gathered: Gathered, family: str) -> Iterator[tuple[Place, Count]]:
    """Policies of the old backend count; those of nft's chains do not, though iptables-save prints a nought."""
    items = ("iptables", "iptables-legacy") if family == "ip" else ("ip6tables", "ip6tables-legacy")
    seen: set[str] = set()
    for item in items:
        text = gathered.text(item)
        if text in seen or not gathered.is_old(item):
            continue
        seen.add(text)
        table = ""
        for line in text.splitlines():
            if begun := _TABLE.fullmatch(line):
                table = begun[1]
            elif policy := _POLICY.fullmatch(line):
                said = f"policy {policy[2].lower()}"
                shown = f"{family} {table} {policy[1]}: {said}"
                yield Place(family, table, policy[1], None), Count(said, int(policy[3]), shown, policy[2] == "DROP")


def _place(rule: Decider | None) -> Place | None:
    if rule is None or rule.table is None or rule.chain is None:
        return None
    return Place(rule.family or "", rule.table, rule.chain, rule.index)


def _delta(old: dict[Place, Count], new: dict[Place, Count], place: Place | None) -> int | None:
    """Packets counted between the readings; None where there is no counter, or no longer the same rule."""
    before, after = (old.get(place), new.get(place)) if place is not None else (None, None)
    if before is None or after is None or before.text != after.text or after.packets < before.packets:
        return None
    return after.packets - before.packets


def _moved(
    old: dict[Place, Count], new: dict[Place, Count], path: set[Place | None], sent: int
) -> tuple[RuleCount, ...]:
    """Return rules of the predicted way that counted, and others that may have ended it."""
    found = []
    for place, count in new.items():
        delta = _delta(old, new, place)
        if delta and (place in path or (count.ends and delta >= sent)):
            found.append(RuleCount(rule=count.shown, counted=delta, on_path=place in path))
    found.sort(key=lambda each: each.on_path)  # what was not predicted first: it is what is looked for
    return tuple(found[:MOVED_LIMIT])


# --- words


def _support(counted: int | None, sent: int) -> Support:
    if counted is None or sent < 1:
        return Support.NOTHING
    if counted == 0:
        return Support.REFUTES
    return Support.SUPPORTS if counted >= sent else Support.NOTHING


def _sentence(verdict: Predicted, support: Support, counted: int | None, sent: int, fate: Fate) -> str:
    match support:
        case Support.REFUTES:
            said = f"{sent} sent, and the rule that should decide counted none: not the way that was predicted"
        case Support.SUPPORTS:
            said = f"the rule that should decide counted {counted} while {sent} were sent"
        case Support.NOTHING if counted is None:
            said = "what should decide does not count"
        case Support.NOTHING:
            said = f"the rule that should decide counted {counted} of {sent}"
    if verdict is Predicted.UNKNOWN:
        said = "the rules could not decide"
    told = {
        Fate.UNREAD: "connections were not read",
        Fate.UNTRACKED: "connections are not tracked there",
        Fate.NOTHING: "no connection was kept",
        Fate.PASSED_ON: "passed on, no answer came by",
        Fate.ANSWERED: "passed on, an answer came by",
        Fate.ACCEPTED: "accepted",
    }[fate]
    return f"{said}; {told}"
