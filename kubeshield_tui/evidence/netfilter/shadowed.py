"""Rules that no packet can reach, and rules that none ever met. Pure.

Said only where it is certain: a rule is shadowed when an earlier one of its chain, of plain conditions alone, ends the
walk for every packet that meets all of the later one's conditions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

from kubeshield_tui.evidence.netfilter.elements import Elements, Interval, Value
from kubeshield_tui.evidence.netfilter.ruleset import (
    ANY_BIT,
    EQUAL,
    Assign,
    Bits,
    Chain,
    Constant,
    Expression,
    Field,
    Match,
    Notrack,
    Opaque,
    Reject,
    Rule,
    Ruleset,
    SetName,
    Table,
    Verdict,
)
from kubeshield_tui.evidence.netfilter.words import PROTOCOLS

CHAIN_LIMIT = 2_000
"""Rules of a chain that are compared with each other: longer chains are a program's, not a person's."""
TAKERS_LIMIT = 100
"""Rules of ranges and prefixes that later ones of their chain are compared with."""
COUNTED = 100
"""Packets that a chain must have seen before a rule without any says something."""
ENDS = frozenset({"accept", "drop", "return", "goto"})
STEADY = frozenset(
    {"ip saddr", "ip daddr", "ip6 saddr", "ip6 daddr", "ip protocol", "ip6 nexthdr", "meta l4proto", "meta nfproto",
     "meta protocol", "meta iifname", "meta oifname", "meta iif", "meta oif", "tcp sport", "tcp dport", "udp sport",
     "udp dport", "th sport", "th dport", "tcp flags", "icmp type", "icmp code", "icmpv6 type", "icmpv6 code"}
)  # fmt: skip
"""Fields that stay what they are while a chain is walked, unless a rule sets them."""
PROTOCOL_FIELDS = frozenset({"meta l4proto", "ip protocol"})
TRACKED = frozenset({"ct state", "ct direction", "ct status"})
"""These too, unless a rule takes the packet out of connection tracking."""


class Shadowed(NamedTuple):
    """A rule that is never reached, and the one that takes all its packets."""

    table: Table
    chain: Chain
    rule: Rule
    by: Rule

    @property
    def contradicts(self) -> bool:
        """Whether the one that takes the packets does something else with them: the later rule's will is not done."""
        return what_it_does(self.rule) != what_it_does(self.by)


class Unmet(NamedTuple):
    """A rule with a verdict that counted nothing, though its chain was walked."""

    table: Table
    chain: Chain
    rule: Rule
    walked: int
    """Packets that others of the chain counted."""


def shadowed(ruleset: Ruleset) -> Iterator[Shadowed]:
    """Yield every rule that certainly no packet reaches."""
    everything = list(_statements(ruleset.tables))
    steady = STEADY if any(isinstance(each, Notrack) for each in everything) else STEADY | TRACKED
    steady -= {each.field for each in everything if isinstance(each, Assign)}
    if any(isinstance(each, Opaque) for each in everything):
        steady = frozenset()  # who knows what it changes
    for table in ruleset.tables:
        for chain in table.chains.values():
            if len(chain.rules) <= CHAIN_LIMIT:
                yield from _in_chain(table, chain, steady)


def unmet(ruleset: Ruleset) -> Iterator[Unmet]:
    """Yield rules with a verdict of their own that counted nothing while their chain counted."""
    for table in ruleset.tables:
        for chain in table.chains.values():
            walked = max((rule.counter[0] for rule in chain.rules if rule.counter), default=0)
            for rule in chain.rules if walked >= COUNTED else ():
                if rule.counter and rule.counter[0] == 0 and what_it_does(rule) in {"accept", "drop", "reject"}:
                    yield Unmet(table, chain, rule, walked)


def what_it_does(rule: Rule) -> str:
    """Return a rule's own verdict: accept, drop, reject, return, `goto X`; empty where it has none."""
    last = rule.statements[-1] if rule.statements else None
    if isinstance(last, Verdict):
        return f"{last.kind} {last.target}".strip()
    return "reject" if isinstance(last, Reject) else ""


def _statements(tables: Sequence[Table]) -> Iterator[object]:
    for table in tables:
        for chain in table.chains.values():
            for rule in chain.rules:
                yield from rule.statements


def _in_chain(table: Table, chain: Chain, steady: frozenset[str]) -> Iterator[Shadowed]:
    takers = _Takers(table)
    for _, line in groupby(chain.rules, key=lambda rule: rule.index):
        rules = list(line)  # several where one line of iptables matches in several ways
        found = [takers.of(_leading(rule)) for rule in rules]
        if None not in found and found[0] is not None:
            yield Shadowed(table, chain, rules[0], found[0])
            continue
        for rule in rules:
            own = _leading(rule)
            if len(own) == len(rule.statements) - 1 and _ends(rule, table) and _is_steady(own, steady, table):
                takers.add(rule, own)


class _Takers:
    """Rules that end the walk for all that meets their conditions, by one exact value that they ask for.

    Only a rule that asks for the same value can be shadowed by such a one: long chains of addresses stay quick.
    """

    def __init__(self, table: Table) -> None:
        self._table = table
        self._any: list[tuple[Rule, Sequence[Match]]] = []
        self._by_value: dict[tuple[str, Value], list[tuple[Rule, Sequence[Match]]]] = {}

    def add(self, rule: Rule, asks: Sequence[Match]) -> None:
        key = next((key for each in asks if (key := _exact(each)) is not None), None)
        if key is not None:
            self._by_value.setdefault(key, []).append((rule, asks))
        elif len(self._any) < TAKERS_LIMIT:
            self._any.append((rule, asks))

    def of(self, own: Sequence[Match]) -> Rule | None:
        """Return the first that takes all that meets these conditions."""
        exact = (self._by_value.get(key, ()) for each in own if (key := _exact(each)) is not None)
        near = [taker for takers in (self._any, *exact) for taker in takers]
        fit = [by for by, asks in near if all(_follows(each, own, self._table) for each in asks)]
        return min(fit, key=lambda rule: rule.index, default=None)


def _exact(condition: Match) -> tuple[str, Value] | None:
    left, right = condition.left, condition.right
    if condition.operator != EQUAL or not isinstance(left, Field) or not isinstance(right, Constant):
        return None
    if left.name in PROTOCOL_FIELDS or isinstance(right.value, Interval):
        return None  # what asks for a port of TCP asks for TCP, though in other words
    return left.name, right.value


def _leading(rule: Rule) -> Sequence[Match]:
    """Return the conditions that stand before anything else: only they are all met when the rule does something."""
    found: list[Match] = []
    for statement in rule.statements:
        if not isinstance(statement, Match):
            break
        found.append(statement)
    return found


def _ends(rule: Rule, table: Table) -> bool:
    """Whether a rule ends the walk for all that meets its conditions, whatever that is."""
    last = rule.statements[-1]
    if isinstance(last, Verdict):
        return last.kind in ENDS
    # In a table of both families a reject with ICMP takes one of them, and a reset takes TCP, without a word.
    return isinstance(last, Reject) and (last.answer.startswith("icmpx") or table.origin != "nft")


def _is_steady(conditions: Sequence[Match], steady: frozenset[str], table: Table) -> bool:
    return all(
        _fields(each.left) <= steady and not (isinstance(each.right, SetName) and _is_dynamic(each.right, table))
        for each in conditions
    )


def _fields(expression: Expression) -> frozenset[str]:
    if isinstance(expression, Field):
        return frozenset({expression.name})
    if isinstance(expression, Bits):
        return _fields(expression.left) | _fields(expression.right)
    return frozenset() if isinstance(expression, Constant) else frozenset({"?"})


def _is_dynamic(name: SetName, table: Table) -> bool:
    found = table.sets.get(name.name)
    return found is None or found.dynamic


def _follows(wanted: Match, given: Sequence[Match], table: Table) -> bool:
    """Whether a condition holds whenever all the given ones do."""
    return any(_implies(each, wanted, table) for each in given)


def _implies(given: Match, wanted: Match, table: Table) -> bool:
    if given == wanted:
        return True
    if _is_protocol(wanted, given, table):
        return True
    if given.left != wanted.left or not isinstance(wanted.left, Field) or given.operator != wanted.operator:
        return False
    if wanted.operator == ANY_BIT:
        mine, other = _number(given.right), _number(wanted.right)
        return mine is not None and other is not None and mine & ~other == 0
    return wanted.operator == EQUAL and _within(given.right, wanted.right, table)


def _is_protocol(wanted: Match, given: Match, table: Table) -> bool:
    """Whether a field that only packets of the wanted protocol have is asked for: `tcp dport` is TCP's."""
    if not isinstance(wanted.left, Field) or wanted.left.name not in PROTOCOL_FIELDS or wanted.operator != EQUAL:
        return False
    if wanted.left.name == "ip protocol" and table.family != "ip":
        return False  # a packet of IPv6 has no such field
    asked = given.left.name.partition(" ")[0] if isinstance(given.left, Field) else ""
    return asked in {"tcp", "udp"} and _number(wanted.right) == PROTOCOLS[asked]


def _number(right: object) -> int | None:
    return right.value if isinstance(right, Constant) and isinstance(right.value, int) else None


def _within(mine: object, other: object, table: Table) -> bool:
    """Whether all values of one right side are values of the other."""
    values = _values(_named(mine, table))
    held = _named(other, table)
    if values is None:
        return False
    if isinstance(held, Elements):
        return all(not isinstance(value, Interval) and held.find(value) for value in values)
    if not isinstance(held, Constant):
        return False
    return all(_holds(held.value, value) for value in values)


def _named(right: object, table: Table) -> object:
    """A named set that nothing changes is its elements."""
    if not isinstance(right, SetName):
        return right
    found = table.sets.get(right.name)
    return None if found is None or found.dynamic else found.elements


def _values(right: object) -> Sequence[Value | Interval] | None:
    if isinstance(right, Constant):
        return (right.value,)
    if isinstance(right, Elements) and right.complete and right.otherwise is None:
        exact = tuple(right.exact)
        return exact if len(exact) == len(right) else None
    return None


def _holds(held: Value | Interval, value: Value | Interval) -> bool:
    if not isinstance(held, Interval):
        return held == value
    if isinstance(value, Interval):
        return held.holds(value.low) and held.holds(value.high)
    return not isinstance(value, tuple) and held.holds(value)
