"""Targets of iptables, translated. What only watches or marks for others says nothing; what is not known stays open."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from kubeshield_tui.evidence.netfilter import iptables_values as values
from kubeshield_tui.evidence.netfilter.elements import Interval
from kubeshield_tui.evidence.netfilter.iptables_matches import Context, set_key
from kubeshield_tui.evidence.netfilter.iptables_options import Module
from kubeshield_tui.evidence.netfilter.iptables_values import ALL_BITS, Unreadable
from kubeshield_tui.evidence.netfilter.ruleset import (
    Assign,
    Bits,
    Constant,
    Doubt,
    Expression,
    Field,
    Notrack,
    Opaque,
    Reject,
    Statement,
    Translate,
    Update,
    Verdict,
)

WATCHING = frozenset(
    {
        "LOG", "NFLOG", "ULOG", "TRACE", "AUDIT", "TCPMSS", "TCPOPTSTRIP", "CLASSIFY", "CHECKSUM", "SECMARK",
        "CONNSECMARK", "IDLETIMER", "LED", "RATEEST", "DSCP", "TOS", "TTL", "HL", "ECN", "TEE", "HMARK",
    }
)  # fmt: skip
"""They change nothing that a rule for our packets asks, or send a copy."""
ANSWERS = {
    "icmp-net-unreachable": "icmp-net-unreachable", "net-unreach": "icmp-net-unreachable",
    "icmp-host-unreachable": "icmp-host-unreachable", "host-unreach": "icmp-host-unreachable",
    "icmp-proto-unreachable": "icmp-prot-unreachable", "proto-unreach": "icmp-prot-unreachable",
    "icmp-port-unreachable": "icmp-port-unreachable", "port-unreach": "icmp-port-unreachable",
    "icmp-net-prohibited": "icmp-net-prohibited", "net-prohib": "icmp-net-prohibited",
    "icmp-host-prohibited": "icmp-host-prohibited", "host-prohib": "icmp-host-prohibited",
    "icmp-admin-prohibited": "icmp-admin-prohibited", "admin-prohib": "icmp-admin-prohibited",
    "tcp-reset": "tcp-reset", "tcp-rst": "tcp-reset",
    "icmp6-no-route": "icmpv6-no-route", "no-route": "icmpv6-no-route",
    "icmp6-adm-prohibited": "icmpv6-admin-prohibited", "adm-prohibited": "icmpv6-admin-prohibited",
    "icmp6-addr-unreachable": "icmpv6-addr-unreachable", "addr-unreach": "icmpv6-addr-unreachable",
    "icmp6-port-unreachable": "icmpv6-port-unreachable",
    "icmp6-policy-fail": "icmpv6-policy-fail", "policy-fail": "icmpv6-policy-fail",
    "icmp6-reject-route": "icmpv6-reject-route", "reject-route": "icmpv6-reject-route",
}  # fmt: skip
"""From iptables' words to nft's, both families."""
MARK, CT_MARK = "meta mark", "ct mark"


def translate(module: Module, goto: bool, context: Context, chains: frozenset[str], hook: str) -> Iterator[Statement]:
    """Translate a rule's target. Raises Unreadable."""
    name = module.name
    if name in chains:
        yield Verdict(kind="goto" if goto else "jump", target=name)
        return
    if name in {"ACCEPT", "DROP", "RETURN"}:
        yield Verdict(kind=name.lower())
    elif name in {"QUEUE", "NFQUEUE", "SYNPROXY", "MIRROR"}:
        yield Opaque(kind=Doubt.USERSPACE, text=module.text)
    elif name in _TARGETS:
        found = _TARGETS[name](_options(module), context, hook)
        if found is None:
            yield Opaque(kind=Doubt.MODULE, text=module.text)
        else:
            yield found
    elif name == "CT":
        if "--notrack" in _options(module):
            yield Notrack()
    elif name not in WATCHING:
        yield Opaque(kind=Doubt.MODULE, text=module.text)


Options = dict[str, tuple[str, ...]]


def _options(module: Module) -> Options:
    found: Options = {}
    for option in module.options:
        found[option.name] = (*found.get(option.name, ()), *option.values)
    return found


def _first(options: Options, *names: str) -> str:
    return next((options[name][0] for name in names if options.get(name)), "")


def _reject(options: Options, context: Context, hook: str) -> Statement:
    default = "icmp6-port-unreachable" if context.family == "ip6" else "icmp-port-unreachable"
    wanted = _first(options, "--reject-with") or default
    if context.family == "ip6" and wanted == "port-unreach":
        wanted = default
    return Reject(answer=ANSWERS.get(wanted, ""))


def _xmark(old: Expression, value: int, mask: int) -> Expression:
    """(old & ~mask) ^ value, as xt_MARK does."""
    if mask == ALL_BITS:
        return Constant(value=value)
    kept = Bits(left=old, operator="&", right=Constant(value=ALL_BITS & ~mask))
    return Bits(left=kept, operator="^", right=Constant(value=value))


def _set_mark(field: str, options: Options) -> Statement | None:
    old = Field(name=field)
    for name, values_ in options.items():
        text = values_[0] if values_ else ""
        match name:
            case "--set-xmark":
                return Assign(field=field, value=_xmark(old, *values.masked(text)))
            case "--set-mark":
                value, mask = values.masked(text)
                if mask == ALL_BITS:
                    return Assign(field=field, value=Constant(value=value))
                kept = Bits(left=old, operator="&", right=Constant(value=ALL_BITS & ~(mask | value)))
                return Assign(field=field, value=Bits(left=kept, operator="|", right=Constant(value=value)))
            case "--and-mark" | "--or-mark" | "--xor-mark":
                operator = {"--and-mark": "&", "--or-mark": "|", "--xor-mark": "^"}[name]
                right = Constant(value=values.number(text))
                return Assign(field=field, value=Bits(left=old, operator=operator, right=right))
    return None


def _mark(options: Options, context: Context, hook: str) -> Statement | None:
    return _set_mark(MARK, options)


def _connmark(options: Options, context: Context, hook: str) -> Statement | None:
    both = _first(options, "--mask")
    packet_mask = values.number(_first(options, "--nfmask") or both or hex(ALL_BITS))
    ct_mask = values.number(_first(options, "--ctmask") or both or hex(ALL_BITS))
    if "--restore-mark" in options:
        return Assign(field=MARK, value=_moved(MARK, packet_mask, CT_MARK, ct_mask), breaks=False)
    if "--save-mark" in options:
        return Assign(field=CT_MARK, value=_moved(CT_MARK, ct_mask, MARK, packet_mask))
    return _set_mark(CT_MARK, options)


def _moved(to: str, to_mask: int, source: str, source_mask: int) -> Expression:
    """(to & ~to_mask) ^ (source & source_mask), as xt_CONNMARK does."""
    brought = Bits(left=Field(name=source), operator="&", right=Constant(value=source_mask))
    if to_mask == ALL_BITS:
        return Field(name=source) if source_mask == ALL_BITS else brought
    kept = Bits(left=Field(name=to), operator="&", right=Constant(value=ALL_BITS & ~to_mask))
    return Bits(left=kept, operator="^", right=brought)


def _to(kind: str, option: str) -> Callable[[Options, Context, str], Statement | None]:
    def translated(options: Options, context: Context, hook: str) -> Statement | None:
        place = _first(options, option)
        if not place or len(options[option]) > 1:
            return None
        address, port = _place(place)
        return Translate(
            kind=kind,
            address=Constant(value=values.address_span(address, context.family)) if address else None,
            port=_ports(port),
        )

    return translated


def _place(text: str) -> tuple[str, str]:
    """Split ADDRESS[-ADDRESS][:PORT[-PORT]]; IPv6 addresses with ports stand in brackets."""
    if text.startswith("["):
        inside, _, behind = text[1:].partition("]")
        return inside, behind.removeprefix(":")
    if text.count(":") > 1:
        return text, ""
    address, _, port = text.partition(":")
    return address, port


def _ports(text: str) -> Expression | None:
    if not text:
        return None
    if "/" in text:
        raise Unreadable(text)  # shifted ranges: which port comes out depends on which went in
    return Constant(value=values.span(text, "-"))


def _local_ports(kind: str) -> Callable[[Options, Context, str], Statement | None]:
    def translated(options: Options, context: Context, hook: str) -> Statement | None:
        return Translate(kind=kind, port=_ports(_first(options, "--to-ports", "--to-port")))

    return translated


def _netmap(options: Options, context: Context, hook: str) -> Statement | None:
    if not hook:
        return None  # a chain of the user's: which way it maps depends on where it is called from
    key = values.network(_first(options, "--to"), context.family)
    whole = key if isinstance(key, Interval) else Interval(low=key, high=key)  # type: ignore[arg-type]
    address = Constant(value=whole)
    return Translate(kind="dnat" if hook in {"prerouting", "output"} else "snat", address=address, netmap=True)


def _set(options: Options, context: Context, hook: str) -> Statement | None:
    for name, operation in (("--add-set", "add"), ("--del-set", "delete")):
        if name in options and len(options[name]) == 2:
            set_name, ends = options[name]
            key = set_key(set_name, ends.split(","), context)
            return None if key is None else Update(operation=operation, set=set_name, key=key)
    return None


def _notrack(options: Options, context: Context, hook: str) -> Statement:
    return Notrack()


_TARGETS: dict[str, Callable[[Options, Context, str], Statement | None]] = {
    "REJECT": _reject,
    "MARK": _mark,
    "CONNMARK": _connmark,
    "DNAT": _to("dnat", "--to-destination"),
    "SNAT": _to("snat", "--to-source"),
    "MASQUERADE": _local_ports("masquerade"),
    "REDIRECT": _local_ports("redirect"),
    "NETMAP": _netmap,
    "SET": _set,
    "NOTRACK": _notrack,
}
