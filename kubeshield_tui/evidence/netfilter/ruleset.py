"""What a ruleset says, in one form for nftables and iptables: tables, chains, rules, and what a rule matches and does.

Front ends only translate into this. Fields carry nft's own words (`ip saddr`, `tcp dport`, `meta iifname`, `ct state`),
also where they were read from iptables. A front end never raises for what it does not know: it says `Unsure` or
`Opaque` with the text, and the evaluator forks there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any

from kubeshield_tui.evidence.netfilter.elements import Elements, Interval, Value
from kubeshield_tui.model.record import Record


class Doubt(StrEnum):
    """Why something can't be decided."""

    RATE = "rate"
    """limit, hashlimit, quota, connlimit, recent: depends on what came before."""
    RANDOM = "random"
    """numgen, jhash, statistic: every branch is real, one packet takes one."""
    TIME = "time"
    PAYLOAD = "payload"
    """What the packet carries beyond its addresses and ports."""
    LOCAL = "local-identity"
    """Owner, cgroup, socket: who on the host sends."""
    LINK = "link"
    """Hardware addresses, bridge ports, packet type."""
    SET = "set-content"
    """A set whose content is not there."""
    MODULE = "unknown-module"
    """A match, expression or target that is not understood, or whose options were not printed."""
    FIELD = "not-given"
    """A property of the packet that the question leaves open."""
    ROUTING = "routing"
    """Where the host would send it: routes were not collected."""
    MISSING = "not-collected"
    """Rules that were not collected or are cut off."""
    USERSPACE = "userspace"
    """A program decides: queue, synproxy."""
    BRANCHES = "too-many-branches"


class Unsure(Record, frozen=True):
    """A value or a match that can't be known. `text` as the ruleset prints it."""

    kind: Doubt
    text: str
    likely: bool | None = None
    """What a match most likely says: a limit's own side is below the limit."""


class SomeBits(Unsure, frozen=True, kw_only=True):
    """A number of which only the bits of `mask` are known; `bits` are those of them that are set."""

    mask: int
    bits: int


class Field(Record, frozen=True):
    """A property of the packet, in nft's words; `fields.py` lists those that can be read."""

    name: str


class Constant(Record, frozen=True):
    """A value that stands in the ruleset; `Interval` is any of its values."""

    value: Value | Interval
    text: str = ""
    """As the ruleset writes it, where that can't be told from the value."""


class Bits(Record, frozen=True):
    """`left operator right` of numbers; operator is `&`, `|`, `^`, `<<` or `>>`."""

    left: Expression
    operator: str
    right: Expression


class Joined(Record, frozen=True):
    """A concatenation."""

    parts: tuple[Expression, ...]


class Generated(Record, frozen=True):
    """One of `offset` to `offset + modulus - 1`, drawn a packet (numgen) or hashed (jhash, symhash)."""

    modulus: int
    offset: int
    text: str


class Mapped(Record, frozen=True):
    """What a map holds for a key; without such an element the rule does not match."""

    key: Expression
    data: Elements[Expression] | SetName


class SetName(Record, frozen=True):
    """A named set or map of the rule's table."""

    name: str


Expression = Field | Constant | Bits | Joined | Generated | Mapped | Unsure

EQUAL, UNEQUAL, ANY_BIT, NO_BIT, UNEQUAL_EACH = "==", "!=", "in", "!", "!= each"


class Match(Record, frozen=True):
    """A condition: `left operator right`. Without it being true the rest of the rule is not looked at.

    Operators: `==` and `!=` (with a set: is or is not a member), `<`, `>`, `<=`, `>=`, `in` (any bit of right is set)
    and `!` (none is). A field that the packet does not have makes every operator false, `!=` too. `!= each` is of a
    concatenation: it differs in all parts, and where only some differ it can't be known.
    """

    left: Expression
    operator: str
    right: Expression | Elements[bool] | SetName


class AnyOf(Record, frozen=True):
    """A condition that is met where all of one group's are: iptables' `--ports`, and states beside NAT."""

    groups: tuple[tuple[Match, ...], ...]


class Verdict(Record, frozen=True):
    """accept, drop, continue, return, jump, goto or queue; `target` is the chain of a jump or goto."""

    kind: str
    target: str = ""


class VerdictMap(Record, frozen=True):
    """The verdict that a map holds for a key; without such an element the rule does not match."""

    key: Expression
    data: Elements[Verdict] | SetName


class Reject(Record, frozen=True):
    """Refuse with an answer: `tcp-reset`, `icmp-X`, `icmpv6-X`, or `icmpx-X` which takes the packet's family.

    Empty: how is not known.
    """

    answer: str
    presumes: str = ""
    """What is taken for granted here, since the tool's listing may leave a condition out."""


class Translate(Record, frozen=True):
    """Address translation: kind is dnat, snat, masquerade or redirect; None keeps what is there."""

    kind: str
    address: Expression | None = None
    port: Expression | None = None
    netmap: bool = False
    """The address is a prefix, given as the interval of its addresses: the bits behind it stay what they are."""
    family: str = ""
    """ip or ip6 where only packets of that family are meant: `dnat ip to`."""
    random_port: bool = False
    """The source port is drawn, not kept."""


class Assign(Record, frozen=True):
    """Set a field: `meta mark`, `ct mark`, `ip daddr` and the like."""

    field: str
    value: Expression
    breaks: bool = True
    """Whether without the value the rule does not match; iptables' targets do nothing then, and the rule does."""


class Update(Record, frozen=True):
    """Add to, renew in or delete from a named set while packets pass; operation is add, update or delete."""

    operation: str
    set: str
    key: Expression
    data: Expression | Verdict | None = None


class Notrack(Record, frozen=True):
    """Leave the packet out of connection tracking."""


class Opaque(Record, frozen=True):
    """A statement that does one of `effects` (continue, accept, drop, reject), and which one is not known."""

    kind: Doubt
    text: str
    effects: tuple[str, ...] = ("continue", "accept", "drop", "reject")


Condition = Match | AnyOf
Statement = Condition | Unsure | Verdict | VerdictMap | Reject | Translate | Assign | Update | Notrack | Opaque
"""`Unsure` is a match that can't be known. What changes nothing for a packet (log, counter) is left out."""


class Rule(Record, frozen=True):
    """One rule. Its text is rendered when somebody reads it: most rules are never shown."""

    index: int
    """Place in its chain, from 0, as `nft add rule ... index N` counts."""
    statements: tuple[Statement, ...]
    handle: int | None = None
    counter: tuple[int, int] | None = None
    """Packets and bytes; None where the rule does not count."""
    comment: str = ""
    source: object = ""
    """The rule as it was read: iptables' line, or nft's list of expressions."""
    render: Callable[[object], str] = str
    """Makes text of `source`."""

    @property
    def text(self) -> str:
        """The rule as its own tool writes it; printable."""
        return self.render(self.source)


class Chain(Record, frozen=True):
    """A chain; one with a hook is a base chain and is entered by packets there."""

    name: str
    rules: tuple[Rule, ...] = ()
    type: str = ""
    """filter, nat, or route: of the hook output; a new mark or address is routed anew (iptables' mangle OUTPUT)."""
    hook: str = ""
    """ingress, prerouting, input, forward, output, postrouting or egress; empty: only jumps lead here."""
    priority: int = 0
    """Chains of type nat are ordered by it among themselves alone: all run where the kernel translates."""
    policy: str = "accept"
    devices: tuple[str, ...] = ()
    """Of an ingress or egress chain."""


class NamedSet(Record, frozen=True):
    """A named set or map."""

    name: str
    elements: Elements[Any]
    """True for the members of a set, `Verdict` or `Expression` for what a map holds."""
    dynamic: bool
    """Packets or timeouts change it: the content is of the moment it was read."""


class Table(Record, frozen=True):
    """A table with its chains and sets. Tables of one name can stand in nftables and in the legacy iptables both."""

    family: str
    """ip, ip6, inet, netdev, bridge or arp."""
    name: str
    chains: Mapping[str, Chain]
    sets: Mapping[str, NamedSet]
    origin: str = "nft"
    """nft, iptables-save, or iptables-legacy-save."""


class Ruleset(Record, frozen=True):
    """All that is known of a host's packet filter."""

    tables: tuple[Table, ...] = ()
    """In the order of their making."""
    families: frozenset[str] = frozenset()
    """ip, ip6: those whose rules were read; another one is unknown, never `accept`."""
    doubts: tuple[Unsure, ...] = ()
    """What is wrong with the whole of it (cut off, lines not understood): it may hold more than what is here."""
    notes: tuple[str, ...] = ()
    """What a reader should know: what was not collected, what another tool would show."""
