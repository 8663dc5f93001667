"""Lines of iptables-save for tests, and the rules that are made of them as short lines in nft's words."""

from __future__ import annotations

from ipaddress import ip_address

from kubeshield_tui.evidence.netfilter import ipset, iptables
from kubeshield_tui.evidence.netfilter.elements import Elements, Interval
from kubeshield_tui.evidence.netfilter.ruleset import (
    AnyOf,
    Assign,
    Bits,
    Chain,
    Constant,
    Expression,
    Field,
    Joined,
    Match,
    Notrack,
    Opaque,
    Reject,
    Rule,
    SetName,
    Statement,
    Translate,
    Unsure,
    Update,
    Verdict,
)

NET_10 = (int(ip_address("10.0.0.0")), int(ip_address("10.255.255.255")))


def shown(statement: Statement) -> str:
    """A statement as a short line: what a reader compares."""
    match statement:
        case Match():
            return f"{side(statement.left)} {statement.operator} {side(statement.right)}"
        case AnyOf():
            return "(" + " | ".join(" & ".join(map(shown, group)) for group in statement.groups) + ")"
        case Unsure():
            guess = {True: " likely", False: " unlikely", None: ""}[statement.likely]
            return f"?{statement.kind}{guess}"
        case Verdict():
            return f"{statement.kind} {statement.target}".strip()
        case Reject():
            return f"reject {statement.answer}"
        case Translate():
            parts = [statement.kind, *(side(each) for each in (statement.address, statement.port) if each)]
            return " ".join([*parts, *(["netmap"] if statement.netmap else [])])
        case Assign():
            return f"{statement.field} = {side(statement.value)}"
        case Update():
            return f"{statement.operation} @{statement.set} {side(statement.key)}"
        case Notrack():
            return "notrack"
        case Opaque():
            return f"opaque {statement.kind}"
    raise AssertionError(statement)


def span(value: object) -> str:
    return f"{value.low}-{value.high}" if isinstance(value, Interval) else str(value)


def side(value: Expression | Elements[bool] | SetName) -> str:
    match value:
        case Field():
            return value.name
        case Constant():
            return span(value.value)
        case Bits():
            return f"({side(value.left)} {value.operator} {side(value.right)})"
        case Joined():
            return " . ".join(side(part) for part in value.parts)
        case SetName():
            return f"@{value.name}"
        case Elements():
            return f"{{{len(value)}}}"
    raise AssertionError(value)


SETS = ipset.parse(
    "create nets hash:net family inet\nadd nets 10.0.0.0/8\nadd nets 10.1.0.0/16 nomatch\nadd nets 10.1.2.0/24\n"
    "create pairs hash:ip,port family inet\nadd pairs 10.0.0.1,udp:53\nadd pairs 10.0.0.2,80\n"
    "create ports bitmap:port range 0-100\nadd ports 22-25\n"
    "create links hash:net,iface family inet\nadd links 10.0.0.0/8,eth0\n"
    "create all list:set size 8\nadd all nets6\ncreate nets6 hash:net family inet6\nadd nets6 fe80::/10\n"
    "create marked hash:ip,mark family inet\nadd marked 10.0.0.1,0x5\n"
    "create macs hash:mac\nadd macs 01:02:03:04:05:06\n"
)


def chain_of(lines: str, table: str = "filter", chain: str = "INPUT", family: str = "ip") -> Chain:
    text = f"*{table}\n:{chain} ACCEPT [0:0]\n:USER - [0:0]\n{lines}\nCOMMIT\n"
    found = iptables.parse(text, family, SETS)
    assert found.doubts == ()
    return found.tables[0].chains[chain]


def rules_of(line: str, **where: str) -> tuple[Rule, ...]:
    return chain_of(f"-A {where.get('chain', 'INPUT')} {line}", **where).rules
