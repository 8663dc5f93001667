"""A ruleset made ready to be walked: which chains a hook runs in which order, which rules of a long chain can match."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from kubeshield_tui.evidence.netfilter.elements import Elements, Interval, Value
from kubeshield_tui.evidence.netfilter.fields import READERS
from kubeshield_tui.evidence.netfilter.flow import Flow
from kubeshield_tui.evidence.netfilter.ruleset import (
    EQUAL,
    AnyOf,
    Assign,
    Bits,
    Chain,
    Constant,
    Doubt,
    Field,
    Joined,
    Mapped,
    Match,
    Opaque,
    Rule,
    Ruleset,
    SetName,
    Statement,
    Table,
    Translate,
    Unsure,
    Update,
    VerdictMap,
)

SEEING = {"ip": ("ip", "inet", "netdev"), "ip6": ("ip6", "inet", "netdev")}
"""Families of tables that a routed packet meets; bridge and arp tables see other traffic."""
NAT_HOOKS = ("prerouting", "output", "input", "postrouting")
LONG_CHAIN = 16
"""Rules from which on a chain gets an index."""
KEY_LIMIT = 64
"""Values of one condition that the index takes; with more the rule is looked at always."""


class Base(NamedTuple):
    """A base chain with its table."""

    table: Table
    chain: Chain


class Program:
    """A ruleset with what walking needs; made once, used for any number of packets."""

    def __init__(self, ruleset: Ruleset) -> None:
        self.ruleset = ruleset
        self._plans: dict[tuple[str, str, bool], tuple[Base, ...]] = {}
        self._indexes: dict[int, _Index] = {}
        self._tracks: dict[str, bool] = {}
        self._reads: tuple[frozenset[str], frozenset[str]] | None = None

    def chains(self, family: str, hook: str, *, nat: bool) -> tuple[Base, ...]:
        """Return the base chains of a hook in the order in which they run.

        Of two with one priority the one that was registered last runs first, as the kernel inserts hooks.
        """
        key = (family, hook, nat)
        if key not in self._plans:
            found = [
                Base(table, chain)
                for table in self.ruleset.tables
                if table.family in SEEING[family]
                for chain in table.chains.values()
                if chain.hook == hook and (chain.type == "nat") == nat
            ]
            found.reverse()
            found.sort(key=lambda base: base.chain.priority)
            self._plans[key] = tuple(found)
        return self._plans[key]

    def translates(self, family: str) -> bool:
        """Whether any chain translates: all four hooks then bind connections, also those that have no chain."""
        return any(self.chains(family, hook, nat=True) for hook in NAT_HOOKS)

    def tracks(self, family: str) -> bool:
        """Whether any rule needs conntrack: only then does the kernel track, and enter chains of type nat at all."""
        if family not in self._tracks:
            self._tracks[family] = any(
                _needs_conntrack(statement)
                for table in self.ruleset.tables
                if table.family in SEEING[family]
                for chain in table.chains.values()
                for rule in chain.rules
                for statement in rule.statements
            )
        return self._tracks[family]

    def rules(self, chain: Chain, start: int, flow: Flow) -> Iterator[tuple[int, Rule]]:
        """Yield the rules of a chain from `start` on that can match, with their places; the others surely do not."""
        if len(chain.rules) < LONG_CHAIN or flow.assigned:
            yield from enumerate(chain.rules[start:] if start else chain.rules, start)
            return
        index = self._indexes.get(id(chain))
        if index is None:
            index = self._indexes[id(chain)] = _Index(chain.rules)
        yield from ((at, chain.rules[at]) for at in index.candidates(flow) if at >= start)

    def reads_field(self, name: str) -> bool:
        """Whether any rule looks at a field; a change of one that nobody reads makes no difference."""
        return name in self._all_reads()[0]

    def reads_set(self, name: str) -> bool:
        """Whether any rule looks into a set."""
        return name in self._all_reads()[1]

    def _all_reads(self) -> tuple[frozenset[str], frozenset[str]]:
        if self._reads is None:
            reading = _Reading()
            for table in self.ruleset.tables:
                for chain in table.chains.values():
                    for rule in chain.rules:
                        reading.take(rule)
            self._reads = frozenset(reading.fields), frozenset(reading.sets)
        return self._reads


def _needs_conntrack(statement: Statement) -> bool:
    match statement:
        case Translate():
            return True
        case Opaque() | Unsure():
            return statement.kind is Doubt.MODULE or statement.text.startswith("ct ")  # what is not understood may
        case Assign() if statement.field.startswith("ct "):
            return True
    reading = _Reading()
    reading.take(statement)
    return any(name.startswith("ct ") for name in reading.fields)


class _Index:
    """Rules of a chain by the value that one of their first conditions asks for."""

    FIELDS = (
        "ip daddr", "ip6 daddr", "tcp dport", "udp dport", "th dport", "ip saddr", "ip6 saddr", "meta iifname",
        "meta oifname",
    )  # fmt: skip
    """Those that stay what they are while a chain is walked, the most telling first."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._always: list[int] = []
        self._by_value: dict[str, dict[Value, list[int]]] = {}
        for at, rule in enumerate(rules):
            key = self._key(rule)
            if key is None:
                self._always.append(at)
                continue
            name, values = key
            places = self._by_value.setdefault(name, {})
            for value in values:
                places.setdefault(value, []).append(at)

    def _key(self, rule: Rule) -> tuple[str, Sequence[Value]] | None:
        best: tuple[int, str, Sequence[Value]] | None = None
        for statement in rule.statements:
            if not isinstance(statement, Match):
                break
            left = statement.left
            if statement.operator != EQUAL or not isinstance(left, Field) or left.name not in self.FIELDS:
                continue
            values = _exact_values(statement)
            rank = self.FIELDS.index(left.name)
            if values is not None and (best is None or rank < best[0]):
                best = (rank, left.name, values)
        return None if best is None else best[1:]

    def candidates(self, flow: Flow) -> list[int]:
        found = list(self._always)
        for name, places in self._by_value.items():
            held = READERS[name](flow)
            if isinstance(held, Unsure):
                found += {at for several in places.values() for at in several}
            elif held is not None:
                found += places.get(held, ())
        found.sort()
        return found


def _exact_values(condition: Match) -> Sequence[Value] | None:
    right = condition.right
    if isinstance(right, Constant):
        return None if isinstance(right.value, Interval) else (right.value,)
    if isinstance(right, Elements) and right.complete and right.otherwise is None:
        values = tuple(right.exact)
        return values if len(values) == len(right) <= KEY_LIMIT else None
    return None


class _Reading:
    """Names of fields and sets that rules look at."""

    def __init__(self) -> None:
        self.fields: set[str] = set()
        self.sets: set[str] = set()

    def take(self, thing: object) -> None:
        match thing:
            case Rule():
                for statement in thing.statements:
                    self.take(statement)
            case Field():
                self.fields.add(thing.name)
            case SetName():
                self.sets.add(thing.name)
            case Match() | Bits():
                self.take(thing.left)
                self.take(thing.right)
            case Joined():
                for part in thing.parts:
                    self.take(part)
            case AnyOf():
                for condition in (each for group in thing.groups for each in group):
                    self.take(condition)
            case Mapped() | VerdictMap() | Update():
                self.take(thing.key)
                self.take(thing.data)
            case Translate():
                self.take(thing.address)
                self.take(thing.port)
            case Assign():
                self.take(thing.value)
