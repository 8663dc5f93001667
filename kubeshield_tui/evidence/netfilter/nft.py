"""Read what `nft -j list ruleset` prints. Never raises: what is not understood is unknown, with its text."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from kubeshield_tui.evidence.netfilter import nft_values
from kubeshield_tui.evidence.netfilter.elements import Elements
from kubeshield_tui.evidence.netfilter.nft_text import expression_text, rule_text
from kubeshield_tui.evidence.netfilter.ruleset import (
    Assign,
    Chain,
    Constant,
    Doubt,
    Expression,
    Field,
    Match,
    NamedSet,
    Notrack,
    Opaque,
    Reject,
    Rule,
    Ruleset,
    SetName,
    Statement,
    Table,
    Translate,
    Unsure,
    Update,
    Verdict,
    VerdictMap,
)
from kubeshield_tui.evidence.netfilter.words import ICMP6_CODES, ICMP_CODES
from kubeshield_tui.model.text import printable

WRONG_SHAPE = (KeyError, TypeError, ValueError, IndexError, AttributeError, RecursionError)
SHOWN = 200
"""Characters shown of what was not understood."""
BEGINNING = re.compile(r'\{\s*"nftables"\s*:\s*\[')
UNSEEN_ELSEWHERE = ("nft does not show rules of iptables-legacy: collect iptables-legacy-save to see them",)

Statements = tuple[Statement, ...]


def looks_like_nft(text: str) -> bool:
    """Whether a text is, or begins as, nft's JSON."""
    return BEGINNING.search(text) is not None


def parse_nft(text: str) -> Ruleset:
    """Read a ruleset. What is cut off, or not JSON, is a doubt about the whole."""
    reading = _Reading()
    objects, cut = _objects(text)
    for each in objects:
        reading.take(each)
    if cut:
        reading.doubts.append(Unsure(kind=Doubt.MISSING, text=cut))
    return reading.ruleset()


def _objects(text: str) -> tuple[list[Any], str]:
    """Return the objects of a dump, and what is wrong with it; words before and after it are a pasted terminal's."""
    found = BEGINNING.search(text)
    if found is None:
        return [], "the text is not nft's JSON"
    decoder = json.JSONDecoder()
    try:
        told, _ = decoder.raw_decode(text, found.start())
        return told["nftables"], ""
    except (ValueError, RecursionError):
        pass
    objects: list[Any] = []
    at = found.end()
    while True:
        while at < len(text) and (text[at].isspace() or text[at] == ","):
            at += 1
        try:
            told, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            line = text.count("\n", 0, at) + 1
            rest = printable(text[at : at + 60].strip()) or "the end of the text"
            return objects, f"the ruleset is cut off or broken at line {line}: {rest}"
        objects.append(told)


class _Reading:
    """Collects tables, chains, sets and rules of a dump."""

    def __init__(self) -> None:
        self.tables: dict[tuple[str, str], dict[str, Any]] = {}
        self.chains: dict[tuple[str, str, str], tuple[dict[str, Any], list[Rule]]] = {}
        self.sets: dict[tuple[str, str], dict[str, NamedSet]] = {}
        self.doubts: list[Unsure] = []
        self.notes: list[str] = []

    def take(self, told: Any) -> None:
        try:
            kind, body = next(iter(told.items()))
            if kind == "rule":
                self._rule(body)
            elif kind == "chain":
                place = self._table(body)
                self.chains.setdefault((*place, printable(body["name"])), (body, []))
            elif kind in {"set", "map"}:
                self.sets.setdefault(self._table(body), {})[printable(body["name"])] = _named_set(body)
            elif kind == "table":
                self.tables[printable(body["family"]), printable(body["name"])] = body
            elif kind not in {"metainfo", "counter", "quota", "limit", "flowtable", "secmark", "synproxy"}:
                self.notes.append(f"not understood: {printable(expression_text(told), SHOWN)}")
        except (*WRONG_SHAPE, StopIteration):
            shown = printable(json.dumps(told, ensure_ascii=False, default=str), SHOWN)
            self.doubts.append(Unsure(kind=Doubt.MISSING, text=f"not understood: {shown}"))

    def _table(self, body: Mapping[str, Any]) -> tuple[str, str]:
        place = (printable(body["family"]), printable(body["table"]))
        self.tables.setdefault(place, {})
        return place

    def _rule(self, body: Mapping[str, Any]) -> None:
        family, table, name = body["family"], body["table"], body["chain"]
        found = self.chains.get((family, table, name))
        if found is None:
            place = (*self._table(body), printable(name))
            found = self.chains.setdefault(place, ({"name": name}, []))
        rules = found[1]
        told = body.get("expr") or []
        try:
            statements, counter = _statements(told, family)
        except WRONG_SHAPE:
            statements, counter = (Opaque(kind=Doubt.MODULE, text=rule_text(told)),), None
        handle = body.get("handle")
        rules.append(
            Rule(
                index=len(rules),
                statements=statements,
                handle=handle if isinstance(handle, int) else None,
                counter=counter,
                comment=printable(body["comment"]) if "comment" in body else "",
                source=told,
                render=rule_text,
            )
        )

    def ruleset(self) -> Ruleset:
        tables = []
        for (family, name), body in self.tables.items():
            chains = {
                own: _chain(own, told, rules, dormant="dormant" in (body.get("flags") or ()))
                for (chain_family, table, own), (told, rules) in self.chains.items()
                if (chain_family, table) == (family, name)
            }
            tables.append(Table(family=family, name=name, chains=chains, sets=self.sets.get((family, name), {})))
        return Ruleset(
            tables=tuple(tables),
            families=frozenset({"ip", "ip6"}),
            doubts=tuple(self.doubts),
            notes=(*self.notes, *UNSEEN_ELSEWHERE),
        )


def _chain(name: str, told: Mapping[str, Any], rules: list[Rule], *, dormant: bool) -> Chain:
    priority = told.get("prio", 0)
    devices = told.get("dev") or ()
    return Chain(
        name=name,
        rules=tuple(rules),
        type=printable(told.get("type", "")),
        hook="" if dormant else printable(told.get("hook", "")),
        priority=priority if isinstance(priority, int) else 0,
        policy=printable(told.get("policy", "accept")),
        devices=tuple(printable(each) for each in ([devices] if isinstance(devices, str) else devices)),
    )


def _named_set(body: Mapping[str, Any]) -> NamedSet:
    kind = nft_values.split_type(body.get("type", ""))
    told = body.get("elem") or []
    data = body.get("map")
    held: Elements[Any]
    if data is None:
        held = nft_values.elements(told, kind)
    elif data == "verdict":
        held = nft_values.verdicts(told, kind)
    else:
        held = nft_values.mapping(told, kind, nft_values.split_type(data))
    flags = body.get("flags") or ()
    return NamedSet(name=printable(body["name"]), elements=held, dynamic="timeout" in flags or "dynamic" in flags)


# --- statements


def _statements(told: list[Any], family: str) -> tuple[Statements, tuple[int, int] | None]:
    statements: list[Statement] = []
    counter = None
    for each in told:
        name = next(iter(each))
        body = each[name]
        if name == "match":
            statements.append(_match(body))
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
    kind = nft_values.type_of(left)
    if isinstance(right, dict) and "set" in right:
        return Match(left=left, operator=operator, right=nft_values.elements(right["set"], kind))
    if isinstance(right, bool) and isinstance(left, Field) and left.name.startswith("fib "):
        return Match(left=left, operator="!=" if right else "==", right=Constant(value=""))
    if operator not in OPERATORS:
        return Unsure(kind=Doubt.MODULE, text=rule_text([{"match": body}]))
    return Match(left=left, operator=operator, right=nft_values.operand(right, kind))


def _jump(kind: str) -> Callable[[Any], Statements]:
    return lambda body: (Verdict(kind=kind, target=printable(body["target"])),)


def _vmap(body: Any) -> Statements:
    by = nft_values.expression(body["key"])
    data = body["data"]
    if isinstance(data, str):
        return (VerdictMap(key=by, data=SetName(name=printable(data.removeprefix("@")))),)
    return (VerdictMap(key=by, data=nft_values.verdicts(data["set"], nft_values.type_of(by))),)


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
        isinstance(each, Match) and isinstance(each.left, Field) and each.left.name.startswith(("ip ", "ip6 "))
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
    if not isinstance(field, Field) or field.name in UNREAD:
        return ()
    return (Assign(field=field.name, value=nft_values.operand(body["value"], nft_values.type_of(field))),)


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
                over = bool(each[inner].get("inv")) if isinstance(each[inner], dict) else False
                made.append(Unsure(kind=Doubt.RATE, text=rule_text([{name: body}]), likely=not over))
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
        address = None if name == "MASQUERADE" else unknown
        port = None if name == "MASQUERADE" else unknown
        return (Translate(kind=XT_NAT[name], address=address, port=port),)
    if name in {"MARK", "CONNMARK"}:
        return (Assign(field="meta mark", value=unknown), Assign(field="ct mark", value=unknown))
    return (Opaque(kind=Doubt.MODULE, text=text),)


HIDDEN_FAMILY = "both families: nft's listing leaves out `meta nfproto` before `reject with tcp reset`"
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
