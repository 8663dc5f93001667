"""Write nft's JSON as nft itself writes rules, for people to read and to search their rulesets for."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from kubeshield_tui.model.text import printable

RULE_LIMIT = 4000
"""Characters shown of one rule."""
BITWISE = frozenset({"&", "|", "^", "<<", ">>"})
INTERFACES = frozenset({"iifname", "oifname", "iif", "oif"})
SET_LIMIT = 12
"""Elements shown of an anonymous set."""


def rule_text(statements: object) -> str:
    """Return a rule as nft prints it; parts that are not known as their JSON. Never raises."""
    parts = statements if isinstance(statements, list) else [statements]
    return printable(" ".join(filter(None, map(_statement, parts))), RULE_LIMIT)


def expression_text(told: object) -> str:
    """Return an expression as nft prints it. Never raises."""
    return printable(_guarded(_expression, told), RULE_LIMIT)


def _guarded(write: Callable[[Any], str], told: object) -> str:
    try:
        return write(told)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, RecursionError):
        return json.dumps(told, ensure_ascii=False, default=str)[:RULE_LIMIT]


def _statement(told: object) -> str:
    return _guarded(_written_statement, told)


def _written_statement(told: Any) -> str:
    if not isinstance(told, dict) or not told:
        return str(told)
    name, body = next(iter(told.items()))
    writer = STATEMENTS.get(name)
    return writer(body) if writer is not None else _plain(name, body)


def _plain(name: str, body: Any) -> str:
    if body is None:
        return name
    if isinstance(body, str):
        return f"{name} {body}"
    return f"{name} {json.dumps(body, ensure_ascii=False)}"


def _expression(told: Any) -> str:
    if isinstance(told, bool):
        return "exists" if told else "missing"
    if isinstance(told, list):
        return ",".join(map(_expression, told))
    if not isinstance(told, dict):
        return str(told)
    name, body = next(iter(told.items()))
    writer = EXPRESSIONS.get(name)
    return writer(body) if writer is not None else _plain(name, body)


def _match(body: Any) -> str:
    told = _as_typed(body["left"], {"left": body["left"], "right": body["right"]})
    left, right = _expression(told["left"]), _expression(told["right"])
    operator = body.get("op", "==")
    plain = operator in {"==", "in"} and next(iter(body["left"])) not in BITWISE
    return f"{left} {right}" if plain else f"{left} {'==' if operator == 'in' else operator} {right}"


def _mangle(body: Any) -> str:
    told = _as_typed(body["key"], body)
    return f"{_expression(told['key'])} set {_expression(told['value'])}"


def _as_typed(of: Any, told: Any) -> Any:
    """Write marks in hexadecimal and names of interfaces in quotes, as nft does; `of` tells what is compared."""
    while isinstance(of, dict) and next(iter(of)) in BITWISE:
        of = of[next(iter(of))][0]
    body = (of.get("meta") or of.get("ct") or {}) if isinstance(of, dict) else {}
    key = body.get("key")
    if key == "mark":
        return _each(told, lambda leaf: f"0x{leaf:08x}" if isinstance(leaf, int) else leaf)
    if key in INTERFACES:
        return {**told, "right": _each(told["right"], lambda leaf: leaf if str(leaf)[:1] == "@" else f'"{leaf}"')}
    return told


def _each(told: Any, write: Callable[[Any], Any]) -> Any:
    if isinstance(told, dict):
        return {name: _each(inner, write) for name, inner in told.items()}
    return [_each(inner, write) for inner in told] if isinstance(told, list) else write(told)


def _payload(body: Any) -> str:
    if "protocol" in body:
        return f"{body['protocol']} {body['field']}"
    return f"@{body['base']},{body['offset']},{body['len']}"


def _meta(body: Any) -> str:
    key = str(body["key"])
    return key if key in INTERFACES else f"meta {key}"


def _ct(body: Any) -> str:
    return " ".join(str(body[part]) for part in ("dir", "family", "key") if part in body).join(("ct ", ""))


def _fib(body: Any) -> str:
    flags = body.get("flags", ())
    return f"fib {flags if isinstance(flags, str) else ' . '.join(flags)} {body['result']}"


def _set(body: Any) -> str:
    shown = [_element(each) for each in body[:SET_LIMIT]]
    more = [f"... {len(body) - SET_LIMIT} more"] if len(body) > SET_LIMIT else []
    return f"{{ {', '.join(shown + more)} }}"


def _element(told: Any) -> str:
    if isinstance(told, list) and len(told) == 2:
        return f"{_expression(told[0])} : {_verdict(told[1])}"
    return _expression(told)


def _verdict(told: Any) -> str:
    if isinstance(told, dict) and next(iter(told)) in {"jump", "goto", "accept", "drop", "return", "continue"}:
        return _written_statement(told)
    return _expression(told)


def _elem(body: Any) -> str:
    return _expression(body["val"])


def _data(told: Any) -> str:
    return told if isinstance(told, str) else _set(told["set"])


def _bits(operator: str) -> Callable[[Any], str]:
    return lambda body: f" {operator} ".join(_part(part) for part in body)


def _part(told: Any) -> str:
    """Return a part of an operation; several flags are one number."""
    return f"({' | '.join(map(_expression, told))})" if isinstance(told, list) else _expression(told)


def _numgen(body: Any) -> str:
    return f"numgen {body.get('mode', 'random')} mod {body['mod']}" + _offset(body)


def _hash(name: str) -> Callable[[Any], str]:
    def write(body: Any) -> str:
        over = f" {_expression(body['expr'])}" if "expr" in body else ""
        return f"{name}{over} mod {body['mod']}{_offset(body)}"

    return write


def _offset(body: Any) -> str:
    return f" offset {body['offset']}" if body.get("offset") else ""


def _limit(body: Any) -> str:
    if not isinstance(body, dict):
        return f"limit name {body}"
    burst = f" burst {body['burst']} {body.get('burst_unit', 'packets')}" if "burst" in body else ""
    over = "over " if body.get("inv") else ""
    unit = f" {body['rate_unit']}" if body.get("rate_unit", "packets") != "packets" else ""
    return f"limit rate {over}{body['rate']}{unit}/{body.get('per', 'second')}{burst}"


def _counter(body: Any) -> str:
    if isinstance(body, str):
        return f"counter name {body}"
    return f"counter packets {body['packets']} bytes {body['bytes']}" if isinstance(body, dict) else "counter"


def _jump(name: str) -> Callable[[Any], str]:
    return lambda body: f"{name} {body['target']}"


def _nat(name: str) -> Callable[[Any], str]:
    def write(body: Any) -> str:
        if body is None:
            return name
        address = _expression(body["addr"]) if "addr" in body else ""
        port = f":{_expression(body['port'])}" if "port" in body else ""
        family = f" {body['family']}" if "family" in body else ""
        if port and ":" in address and not address.startswith("{"):
            address = f"[{address}]"
        flags = body.get("flags", ())
        words = [flags] if isinstance(flags, str) else list(flags)
        to = f" to {address}{port}" if address or port else ""
        return f"{name}{family}{to}{' ' + ','.join(words) if words else ''}"

    return write


def _reject(body: Any) -> str:
    if not isinstance(body, dict):
        return "reject"
    if body["type"] == "tcp reset":
        return "reject with tcp reset"
    return f"reject with {body['type']} {_expression(body['expr'])}" if "expr" in body else "reject"


def _update(name: str) -> Callable[[Any], str]:
    def write(body: Any) -> str:
        element = _expression(body["elem"])
        if "data" in body:
            element = f"{element} : {_verdict(body['data'])}"
        inner = "".join(f" {_written_statement(each)}" for each in body.get("stmt", ()))
        return f"{body['op']} {body[name]} {{ {element}{inner} }}"

    return write


def _log(body: Any) -> str:
    if not isinstance(body, dict):
        return "log"
    return "log" + "".join(f" {key} {json.dumps(value, ensure_ascii=False)}" for key, value in body.items())


def _quota(body: Any) -> str:
    if not isinstance(body, dict):
        return f"quota name {body}"
    return f"quota {'over ' if body.get('inv') else ''}{body['val']} {body.get('val_unit', 'bytes')}"


def _ct_count(body: Any) -> str:
    return f"ct count {'over ' if body.get('inv') else ''}{body['val']}"


EXPRESSIONS: Mapping[str, Callable[[Any], str]] = {
    "payload": _payload,
    "meta": _meta,
    "ct": _ct,
    "fib": _fib,
    "set": _set,
    "elem": _elem,
    "concat": _bits("."),
    "prefix": lambda body: f"{body['addr']}/{body['len']}",
    "range": lambda body: f"{_expression(body[0])}-{_expression(body[1])}",
    "&": _bits("&"),
    "|": _bits("|"),
    "^": _bits("^"),
    "<<": _bits("<<"),
    ">>": _bits(">>"),
    "numgen": _numgen,
    "jhash": _hash("jhash"),
    "symhash": _hash("symhash"),
    "map": lambda body: f"{_expression(body['key'])} map {_data(body['data'])}",
    "rt": lambda body: " ".join(["rt", *(str(body[part]) for part in ("family", "key") if part in body)]),
    "socket": lambda body: f"socket {body['key']}",
    "exthdr": lambda body: " ".join(["exthdr", *map(str, body.values())]),
    "tcp option": lambda body: " ".join(["tcp option", *map(str, body.values())]),
    "ip option": lambda body: " ".join(["ip option", *map(str, body.values())]),
}
STATEMENTS: Mapping[str, Callable[[Any], str]] = {
    "match": _match,
    "counter": _counter,
    "jump": _jump("jump"),
    "goto": _jump("goto"),
    "vmap": lambda body: f"{_expression(body['key'])} vmap {_data(body['data'])}",
    "limit": _limit,
    "quota": _quota,
    "ct count": _ct_count,
    "log": _log,
    "reject": _reject,
    "dnat": _nat("dnat"),
    "snat": _nat("snat"),
    "masquerade": _nat("masquerade"),
    "redirect": _nat("redirect"),
    "tproxy": _nat("tproxy"),
    "mangle": _mangle,
    "set": _update("set"),
    "map": _update("map"),
    "ct helper": lambda body: f"ct helper set {json.dumps(body, ensure_ascii=False)}",
    "xt": lambda body: f"xt {body.get('type', '')} {body.get('name', '')}",
}
