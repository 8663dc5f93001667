"""Matches of iptables, translated. A module or option that is not known here becomes a match that can't be known.

Meanings: iptables-extensions(8) and the kernel's own modules; which of them depend on more than the packet is said
with the doubt that they carry.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from ipaddress import ip_network
from typing import NamedTuple

from kubeshield_tui.evidence.netfilter import iptables_values as values
from kubeshield_tui.evidence.netfilter.elements import Key, beginning_with
from kubeshield_tui.evidence.netfilter.iptables_doubts import DOUBTFUL, doubtful
from kubeshield_tui.evidence.netfilter.iptables_options import Module, Option
from kubeshield_tui.evidence.netfilter.iptables_values import Unreadable
from kubeshield_tui.evidence.netfilter.ruleset import (
    ANY_BIT,
    EQUAL,
    NO_BIT,
    UNEQUAL,
    AnyOf,
    Bits,
    Condition,
    Constant,
    Doubt,
    Expression,
    Field,
    Joined,
    Match,
    SetName,
    Unsure,
)


class Context(NamedTuple):
    """What a match's meaning depends on beside its options."""

    family: str
    protocol: str
    """The rule's -p, empty without one or where it is negated."""
    sets: Mapping[str, SetKey]


class SetKey(NamedTuple):
    """How the elements of an ipset are made."""

    parts: tuple[str, ...]
    """`ip`, `net`, `port`, `iface`, `mark`, `mac`, one a dimension."""
    family: str
    """Of the addresses in it; empty where it has none. Packets of the other family are in no such set."""


Found = Condition | Unsure
NEVER = Match(left=Constant(value=1), operator=EQUAL, right=Constant(value=0))
ALWAYS: tuple[Found, ...] = ()
EXTENSION_HEADERS = frozenset({"rt", "hbh", "dst", "frag"})
"""Matches that need a header of IPv6 which a packet to a port does not have; negated options need it too."""


def general(option: Option, family: str) -> Iterator[Found]:
    """Translate -p, -s, -d, -i, -o and -f. Raises Unreadable."""
    text, negated = option.value, option.negated
    match option.name:
        case "-p":
            number = 0 if text.lower() == "all" else values.protocol(text)
            if number:
                yield values.one_of(Field(name="meta l4proto"), [number], negated)
        case "-s":
            yield values.address_match(Field(name=f"{family} saddr"), text, family, negated)
        case "-d":
            yield values.address_match(Field(name=f"{family} daddr"), text, family, negated)
        case "-i":
            yield from _interface("meta iifname", text, negated)
        case "-o":
            yield from _interface("meta oifname", text, negated)
        case "-f" if not negated:
            yield NEVER  # a handshake's packets are no fragments


def _interface(field: str, text: str, negated: bool) -> Iterator[Found]:
    name: Key = beginning_with(text[:-1]) if text.endswith("+") else text
    if text == "+" and not negated:
        return
    yield values.one_of(Field(name=field), [name], negated)


def translate(module: Module, context: Context) -> Iterator[Found]:
    """Translate one module. Raises Unreadable for a value that can't be read."""
    name = module.name or context.protocol
    if not module.name and not module.options:
        return
    if name in EXTENSION_HEADERS:
        yield NEVER
        return
    if name in DOUBTFUL:
        yield from doubtful(module, *DOUBTFUL[name])
        return
    if name == "rpfilter":
        yield from _rpfilter(module)
        return
    known = _MODULES.get(name)
    if known is None:
        yield Unsure(kind=Doubt.MODULE, text=module.text)
        return
    for option in module.options:
        found = known(option, context)
        if found is None:
            yield Unsure(kind=Doubt.MODULE, text=f"{name} {option.text}")
        else:
            yield from found


Translated = tuple[Found, ...] | None
"""None: an option that is not known."""


def _nothing(option: Option, context: Context) -> Translated:
    return ALWAYS


def _ports(word: str) -> Callable[[Option, Context], Translated]:
    def tcp_or_udp(option: Option, context: Context) -> Translated:
        match option.name:
            case "--dport" | "--destination-port":
                name = f"{word} dport"
            case "--sport" | "--source-port":
                name = f"{word} sport"
            case "--syn":
                return (_flags(0x17, 0x02, option.negated),)
            case "--tcp-flags" if len(option.values) == 2:
                mask, comparison = (values.bits_of(text, values.TCP_FLAGS) for text in option.values)
                return (_flags(mask, comparison, option.negated),)
            case _:
                return None
        return (values.one_of(Field(name=name), [values.span(option.value, ":")], option.negated),)

    return tcp_or_udp


def _flags(mask: int, comparison: int, negated: bool) -> Match:
    left = Bits(left=Field(name="tcp flags"), operator="&", right=Constant(value=mask))
    return Match(left=left, operator=UNEQUAL if negated else EQUAL, right=Constant(value=comparison))


def _icmp(word: str, names: dict[str, str]) -> Callable[[Option, Context], Translated]:
    def icmp(option: Option, context: Context) -> Translated:
        if option.name not in {"--icmp-type", "--icmpv6-type"}:
            return None
        text = names.get(option.value.lower(), option.value)
        if text == "any":
            return (NEVER,) if option.negated else ALWAYS
        kind, slash, code = text.partition("/")
        if not slash or code == "any":
            return (values.one_of(Field(name=f"{word} type"), [values.number(kind, 255)], option.negated),)
        pair = (values.number(kind, 255), values.number(code, 255))
        left = Joined(parts=(Field(name=f"{word} type"), Field(name=f"{word} code")))
        return (Match(left=left, operator=UNEQUAL if option.negated else EQUAL, right=Constant(value=pair)),)

    return icmp


def _multiport(option: Option, context: Context) -> Translated:
    spans: list[Key] = [values.span(text, ":") for text in option.value.split(",")]
    source = values.one_of(Field(name="th sport"), spans, option.negated)
    target = values.one_of(Field(name="th dport"), spans, option.negated)
    match option.name:
        case "--dports" | "--destination-ports":
            return (target,)
        case "--sports" | "--source-ports":
            return (source,)
        case "--ports" | "--port" if option.negated:
            return (source, target)
        case "--ports" | "--port":
            return (AnyOf(groups=((source,), (target,))),)
    return None


def _conntrack(option: Option, context: Context) -> Translated:
    match option.name:
        case "--ctstate" | "--state":
            return _states(option)
        case "--ctstatus":
            bits = values.bits_of(option.value, values.STATUSES)
            # NONE stands for no bit, and of those none is ever set: the kernel's module has it so.
            operator = NO_BIT if option.negated else ANY_BIT
            return (Match(left=Field(name="ct status"), operator=operator, right=Constant(value=bits)),)
        case "--ctdir":
            way = {"ORIGINAL": 0, "REPLY": 1}.get(option.value.upper())
            return None if way is None else (values.one_of(Field(name="ct direction"), [way], option.negated),)
        case "--ctproto":
            return (values.one_of(Field(name="meta l4proto"), [values.protocol(option.value)], option.negated),)
    found = _CT_END.fullmatch(option.name)
    if found is None:
        return None
    direction, end = {"orig": "original", "repl": "reply"}[found[1]], found[2]
    if found[3]:
        field = Field(name=f"ct {direction} proto-{end}")
        return (values.one_of(field, [values.span(option.value, ":")], option.negated),)
    field = Field(name=f"ct {direction} {context.family} {end[0]}addr")
    return (values.address_match(field, option.value, context.family, option.negated),)


_CT_END = re.compile("--ct(orig|repl)(src|dst)(port)?")


def _states(option: Option) -> Translated:
    """SNAT and DNAT stand among the states but are told by the connection's status."""
    state, status = 0, 0
    for name in option.value.upper().split(","):
        if name in {"SNAT", "DNAT"}:
            status |= values.STATUSES[name]
        elif name in values.STATES:
            state |= values.STATES[name]
        else:
            raise Unreadable(option.value)
    in_state, not_in_state = (
        Match(left=Field(name="ct state"), operator=operator, right=Constant(value=state))
        for operator in (ANY_BIT, NO_BIT)
    )
    in_status, not_in_status = (
        Match(left=Field(name="ct status"), operator=operator, right=Constant(value=status))
        for operator in (ANY_BIT, NO_BIT)
    )
    if not status:
        return (not_in_state if option.negated else in_state,)
    if not option.negated:
        return (AnyOf(groups=((in_state,), (in_status,))) if state else in_status,)
    # Without a connection there is no status, and so neither of the two: the kernel then lets the negation hold.
    untracked = Match(left=Field(name="ct state"), operator=ANY_BIT, right=Constant(value=NO_CONNECTION))
    neither = AnyOf(groups=((not_in_status,), (untracked,)))
    return (not_in_state, neither) if state else (neither,)


NO_CONNECTION = values.STATES["INVALID"] | values.STATES["UNTRACKED"]


def _mark(field: str) -> Callable[[Option, Context], Translated]:
    def mark(option: Option, context: Context) -> Translated:
        if option.name != "--mark":
            return None
        value, mask = values.masked(option.value)
        left: Expression = Field(name=field)
        if mask != values.ALL_BITS:
            left = Bits(left=left, operator="&", right=Constant(value=mask))
        return (Match(left=left, operator=UNEQUAL if option.negated else EQUAL, right=Constant(value=value)),)

    return mark


def _addrtype(option: Option, context: Context) -> Translated:
    fields = {"--src-type": "fib saddr type", "--dst-type": "fib daddr type"}
    if option.name in {"--limit-iface-in", "--limit-iface-out"}:
        return (Unsure(kind=Doubt.ROUTING, text=f"addrtype {option.name}"),)
    if option.name not in fields:
        return None
    names = option.value.upper().split(",")
    if any(name not in values.ADDRESS_TYPES for name in names):
        raise Unreadable(option.value)
    if context.family == "ip6":
        return _addrtype6(option, names)
    kinds: list[Key] = [values.ADDRESS_TYPES[name] for name in names]
    return (values.one_of(Field(name=fields[option.name]), kinds, option.negated),)


FORMS6 = ("UNICAST", "MULTICAST")
ROUTED6 = ("LOCAL", "ANYCAST", "UNREACHABLE")
MULTICAST6 = values.as_key(ip_network("ff00::/8"))


def _addrtype6(option: Option, names: list[str]) -> Translated:
    """In IPv6 the form of the address tells unicast (its own addresses too) and multicast, the routes the rest."""
    end = "saddr" if option.name == "--src-type" else "daddr"
    address = Field(name=f"ip6 {end}")
    found: list[Found] = [
        values.one_of(address, [MULTICAST6], option.negated is not (name == "UNICAST"))
        for name in FORMS6
        if name in names
    ]
    routed: list[Key] = [values.ADDRESS_TYPES[name] for name in names if name in ROUTED6]
    if routed:
        found.append(values.one_of(Field(name=f"fib {end} type"), routed, option.negated))
    if not {*FORMS6, *ROUTED6}.issuperset(names) or (option.negated and len(found) > 1):
        return (Unsure(kind=Doubt.ROUTING, text=f"addrtype {option.text}"),)
    return tuple(found)


def _rpfilter(module: Module) -> Iterator[Found]:
    """Ask the routes whether the way back to the source leads over the device it came by."""
    names = {option.name for option in module.options}
    if names - {"--invert", "--validmark", "--loose"}:
        yield Unsure(kind=Doubt.ROUTING, text=module.text, likely="--invert" not in names)
        return
    flags = ["saddr", *(["mark"] if "--validmark" in names else []), *(["iif"] if "--loose" not in names else [])]
    way = Field(name=f"fib {' '.join(flags)} oif")
    yield Match(left=way, operator=EQUAL if "--invert" in names else UNEQUAL, right=Constant(value=""))


def _iprange(option: Option, context: Context) -> Translated:
    ends = {"--src-range": "saddr", "--dst-range": "daddr"}
    if option.name not in ends:
        return None
    field = Field(name=f"{context.family} {ends[option.name]}")
    return (values.one_of(field, [values.address_span(option.value, context.family)], option.negated),)


def _set(option: Option, context: Context) -> Translated:
    if option.name in {"--return-nomatch", "--packets-eq", "--bytes-eq"}:
        return (Unsure(kind=Doubt.SET, text=f"set {option.text}"),)
    if option.name in {"--update-counters", "--update-subcounters"}:
        return ALWAYS
    if option.name not in {"--match-set", "--set"} or len(option.values) != 2:
        return None
    name, ends = option.values
    key = set_key(name, ends.split(","), context)
    if key is None:
        return (Unsure(kind=Doubt.SET, text=f"set {option.text}"),)
    kind = context.sets[name]
    if kind.family not in {"", context.family}:
        return ALWAYS if option.negated else (NEVER,)
    member = Match(left=key, operator=UNEQUAL if option.negated else EQUAL, right=SetName(name=name))
    if kind.parts != ("port",):
        return (member,)
    # A port alone is looked up of TCP and UDP; what else a packet carries is in no such set.
    has_port, has_none = (values.one_of(Field(name="meta l4proto"), [6, 17], negated) for negated in (False, True))
    return (AnyOf(groups=((has_none,), (has_port, member))),) if option.negated else (has_port, member)


def set_key(name: str, ends: list[str], context: Context) -> Expression | None:
    """What of a packet is looked up in an ipset; None where the set's kind is not known or has no such field."""
    kind = context.sets.get(name)
    if kind is None or len(ends) < len(kind.parts):
        return None
    fields: list[Expression] = []
    for part, end in zip(kind.parts, ends, strict=False):
        way = "s" if end == "src" else "d"
        match part:
            case "ip" | "net":
                fields.append(Field(name=f"{context.family} {way}addr"))
            case "port":
                fields.append(Field(name=f"th {way}port"))
            case "protoport":
                fields += [Field(name="meta l4proto"), Field(name=f"th {way}port")]
            case "iface":
                fields.append(Field(name="meta iifname" if end == "src" else "meta oifname"))
            case "mark":
                fields.append(Field(name="meta mark"))
            case _:
                return None
    return fields[0] if len(fields) == 1 else Joined(parts=tuple(fields))


def _number(field: str, *names: str) -> Callable[[Option, Context], Translated]:
    def number(option: Option, context: Context) -> Translated:
        value = values.number(option.value, 255)
        match option.name.rpartition("-")[2]:
            case "eq" | "dscp":
                return (values.one_of(Field(name=field), [value], option.negated),)
            case "lt":
                return (Match(left=Field(name=field), operator="<", right=Constant(value=value)),)
            case "gt":
                return (Match(left=Field(name=field), operator=">", right=Constant(value=value)),)
        return None

    return number


_MODULES: dict[str, Callable[[Option, Context], Translated]] = {
    "tcp": _ports("tcp"),
    "udp": _ports("udp"),
    "udplite": _ports("udplite"),
    "sctp": _ports("sctp"),
    "dccp": _ports("dccp"),
    "icmp": _icmp("icmp", values.ICMP_TYPES),
    "icmp6": _icmp("icmpv6", values.ICMPV6_TYPES),
    "icmpv6": _icmp("icmpv6", values.ICMPV6_TYPES),
    "ipv6-icmp": _icmp("icmpv6", values.ICMPV6_TYPES),
    "multiport": _multiport,
    "mport": _multiport,
    "state": _conntrack,
    "conntrack": _conntrack,
    "mark": _mark("meta mark"),
    "connmark": _mark("ct mark"),
    "addrtype": _addrtype,
    "iprange": _iprange,
    "set": _set,
    "ttl": _number("ip ttl"),
    "hl": _number("ip6 hoplimit"),
    "dscp": _number("ip dscp"),
    "comment": _nothing,
    "nfacct": _nothing,
}
