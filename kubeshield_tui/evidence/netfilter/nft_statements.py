"""Read the statements of a rule in nft's JSON: what it matches and what it does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kubeshield_tui.evidence.netfilter import nft_values
from kubeshield_tui.evidence.netfilter.elements import Scalar
from kubeshield_tui.evidence.netfilter.nft_text import rule_text
from kubeshield_tui.evidence.netfilter.ruleset import (
    EQUAL,
    UNEQUAL,
    UNEQUAL_EACH,
    Assign,
    Constant,
    Doubt,
    Expression,
    Field,
    Joined,
    Match,
    Notrack,
    Opaque,
    Reject,
    SetName,
    Statement,
    Translate,
    Unsure,
    Update,
    Verdict,
    VerdictMap,
)
from kubeshield_tui.evidence.netfilter.shown import type_of
from kubeshield_tui.evidence.netfilter.words import ICMP6_CODES, ICMP_CODES
from kubeshield_tui.model.text import printable

Statements = tuple[Statement, ...]


def read_statements(told: list[Any], family: str) -> tuple[Statements, tuple[int, int] | None]:
    """Return what a rule matches and does, and its counter. Raises what a wrong shape raises."""
    statements: list[Statement] = []
    counter = None
    for each in told:
        name = next(iter(each))
        body = each[name]
        if name == "match":
            made = _match(body)
            if not _joins(statements, made):
                statements.append(made)
        elif name == "counter":
            if isinstance(body, dict):
                counter = (int(body["packets"]), int(body["bytes"]))
        elif name in PLAIN:
            statements.append(PLAIN[name])
        elif name == "reject":
            statements.append(_reject(body, hidden=family == "inet" and not _names_family(statements)))
        elif name in READERS:
            statements += READERS[name](body)
        elif name not in WITHOUT_EFFECT:
            statements.append(Opaque(kind=Doubt.MODULE, text=rule_text([each])))
    return tuple(statements), counter


def _match(body: Any) -> Statement:
    left = nft_values.expression(body["left"])
    right, operator = body["right"], body.get("op", "==")
    if isinstance(right, str) and right.startswith("@"):
        return Match(left=left, operator=operator, right=SetName(name=printable(right[1:])))
    kind = type_of(left)
    if isinstance(right, dict) and "set" in right:
        return Match(left=left, operator=operator, right=nft_values.elements(right["set"], kind))
    if isinstance(right, bool) and isinstance(left, Field) and left.name.startswith("fib "):
        is_there = right if operator == EQUAL else not right
        return Match(left=left, operator=UNEQUAL if is_there else EQUAL, right=Constant(value="", text="missing"))
    if operator not in OPERATORS:
        return Unsure(kind=Doubt.MODULE, text=rule_text([{"match": body}]))
    return Match(left=left, operator=operator, right=nft_values.operand(right, kind))


def _joins(statements: list[Statement], made: Statement) -> bool:
    """Join a `!=` to that of the neighbouring header field right before it, as nft 1.0.6 does when it loads them.

    The kernel then has one comparison of both fields, which holds where either differs. Listed they are two again.
    """
    both = [_denied(each) for each in (*statements[-1:], made)]
    match both:
        case [(before, one), (behind, other)] if (before, behind) in NEIGHBOURS:
            left = Joined(parts=(Field(name=before), Field(name=behind)))
            statements[-1] = Match(left=left, operator=UNEQUAL_EACH, right=Constant(value=(one, other)))
            return True
    return False


def _denied(statement: Statement) -> tuple[str, Scalar] | None:
    """Return the field and the value of a `field != value`, None of anything else."""
    match statement:
        case Match(left=Field(name=name), operator="!=", right=Constant(value=int() | str() as value)):
            return name, value
    return None


def _jump(kind: str) -> Callable[[Any], Statements]:
    return lambda body: (Verdict(kind=kind, target=printable(body["target"])),)


def _vmap(body: Any) -> Statements:
    by = nft_values.expression(body["key"])
    data = body["data"]
    if isinstance(data, str):
        return (VerdictMap(key=by, data=SetName(name=printable(data.removeprefix("@")))),)
    return (VerdictMap(key=by, data=nft_values.verdicts(data["set"], type_of(by))),)


def _rate(name: str) -> Callable[[Any], Statements]:
    """A match that depends on what came before; below its rate is what is likely."""

    def reader(body: Any) -> Statements:
        over = isinstance(body, dict) and bool(body.get("inv"))
        return (Unsure(kind=Doubt.RATE, text=rule_text([{name: body}]), likely=not over),)

    return reader


def _reject(body: Any, *, hidden: bool) -> Reject:
    if not isinstance(body, dict) or "type" not in body:
        return Reject(answer="icmpx-port-unreachable")
    kind = printable(body["type"])
    if kind == "tcp reset":
        return Reject(answer="tcp-reset", presumes=HIDDEN_FAMILY if hidden else "")
    code = body.get("expr", "port-unreachable")
    if isinstance(code, int):
        names = ICMP6_CODES if kind == "icmpv6" else ICMP_CODES
        code = next((name for name, number in names.items() if number == code), "")
    return Reject(answer=f"{kind}-{printable(code)}" if code else "")


def _names_family(statements: list[Statement]) -> bool:
    """Whether a condition tells the family, so that nft had nothing to leave out."""
    return any(
        isinstance(each, Match)
        and isinstance(each.left, Field)
        and each.left.name.startswith(("ip ", "ip6 ", "meta nfproto"))
        for each in statements
    )


def _nat(kind: str) -> Callable[[Any], Statements]:
    def reader(body: Any) -> Statements:
        told = body if isinstance(body, dict) else {}
        flags = told.get("flags", ())
        address = nft_values.operand(told["addr"], "ip_addr") if "addr" in told else None
        return (
            Translate(
                kind=kind,
                address=address,
                port=nft_values.operand(told["port"], "inet_service") if "port" in told else None,
                netmap="netmap" in flags,
                family=printable(told.get("family", "")),
                random_port=kind in {"snat", "masquerade"} and ("random" in flags or "fully-random" in flags),
            ),
        )

    return reader


def _mangle(body: Any) -> Statements:
    field = nft_values.expression(body["key"])
    if not isinstance(field, Field):
        return (Opaque(kind=Doubt.MODULE, text=rule_text([{"mangle": body}])),)
    if field.name in UNREAD:
        return ()
    return (Assign(field=field.name, value=nft_values.operand(body["value"], type_of(field))),)


def _update(name: str) -> Callable[[Any], Statements]:
    def reader(body: Any) -> Statements:
        element = body["elem"]
        if isinstance(element, dict) and "elem" in element:
            element = element["elem"]["val"]
        data: Expression | Verdict | None = None
        if "data" in body:
            data = nft_values.verdict(body["data"]) or nft_values.operand(body["data"], "ip_addr")
        made: list[Statement] = [
            Update(
                operation=printable(body["op"]),
                set=printable(body[name].removeprefix("@")),
                key=nft_values.expression(element),
                data=data,
            )
        ]
        for each in body.get("stmt", ()):
            inner = next(iter(each))
            if inner in RATES:
                likely = not each[inner].get("inv")
                made.append(Unsure(kind=Doubt.RATE, text=rule_text([{name: body}]), likely=likely))
        return tuple(made)

    return reader


def _xt(body: Any) -> Statements:
    """What iptables-nft put in: nft's JSON leaves its options out, so that only iptables-save tells what it does."""
    name, kind = printable(body.get("name", "")), body.get("type", "")
    text = f"xt {printable(kind)} {name}: nft does not print its options"
    if name == "comment" or kind == "watcher" or name in XT_WITHOUT_EFFECT:
        return ()
    unknown = Unsure(kind=Doubt.MODULE, text=text)
    if kind == "match":
        return (unknown,)
    if name == "REJECT":
        return (Reject(answer=""),)
    if name in XT_NAT:
        return (Translate(kind=XT_NAT[name], address=unknown, port=unknown),)
    if name in {"MARK", "CONNMARK"}:
        return (Assign(field="meta mark", value=unknown), Assign(field="ct mark", value=unknown))
    return (Opaque(kind=Doubt.MODULE, text=text),)


HIDDEN_FAMILY = "both families: nft's listing leaves out `meta nfproto` before `reject with tcp reset`"
NEIGHBOURS = frozenset(
    {("ip saddr", "ip daddr"), ("ip ttl", "ip protocol"), ("icmp type", "icmp code"), ("icmpv6 type", "icmpv6 code")}
    | {(f"{name} sport", f"{name} dport") for name in ("tcp", "udp", "th", "sctp", "dccp", "udplite")}
)
"""Fields that follow each other in a header and fit one register together."""
OPERATORS = frozenset({"==", "!=", "<", ">", "<=", ">=", "in", "!"})
RATES = frozenset({"limit", "quota", "ct count", "connlimit"})
PLAIN: Mapping[str, Statement] = {
    "accept": Verdict(kind="accept"),
    "drop": Verdict(kind="drop"),
    "continue": Verdict(kind="continue"),
    "return": Verdict(kind="return"),
    "notrack": Notrack(),
    "synproxy": Opaque(kind=Doubt.USERSPACE, text="synproxy", effects=("accept", "drop")),
    "tproxy": Unsure(kind=Doubt.LOCAL, text="tproxy finds a socket"),
    "fwd": Opaque(kind=Doubt.MODULE, text="fwd to another device", effects=("accept", "drop")),
    "queue": Verdict(kind="queue"),
}
READERS: Mapping[str, Callable[[Any], Statements]] = {
    "jump": _jump("jump"),
    "goto": _jump("goto"),
    "vmap": _vmap,
    "dnat": _nat("dnat"),
    "snat": _nat("snat"),
    "masquerade": _nat("masquerade"),
    "redirect": _nat("redirect"),
    "mangle": _mangle,
    "set": _update("set"),
    "map": _update("map"),
    "limit": _rate("limit"),
    "quota": _rate("quota"),
    "ct count": _rate("ct count"),
    "meter": _rate("meter"),
    "xt": _xt,
}
WITHOUT_EFFECT = frozenset(
    {"counter", "log", "ct helper", "ct timeout", "ct expectation", "secmark", "last", "flow", "dup"}
)
UNREAD = frozenset({"meta nftrace", "meta priority", "meta secmark", "ct event", "ct zone", "ct secmark"})
"""Fields whose setting changes nothing for a packet's way."""
XT_NAT = {"DNAT": "dnat", "SNAT": "snat", "MASQUERADE": "masquerade", "REDIRECT": "redirect"}
XT_WITHOUT_EFFECT = frozenset(
    {"LOG", "NFLOG", "ULOG", "TCPMSS", "CLASSIFY", "TOS", "DSCP", "TTL", "HL", "AUDIT", "TRACE", "CHECKSUM",
     "IDLETIMER", "LED", "RATEEST", "SECMARK", "CONNSECMARK"}
)  # fmt: skip
