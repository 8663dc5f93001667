"""Read values and expressions of nft's JSON: addresses, ports, names, ranges, sets, fields and what is made of them.

Nothing here raises for what it does not know: an expression becomes `Unsure`, a set with an element that can't be read
is not complete. Wrong shapes raise ordinary errors, which the reader of the rule turns into an unknown rule.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kubeshield_tui.evidence.netfilter.elements import Elements, Interval, Key, Range, Scalar, beginning_with
from kubeshield_tui.evidence.netfilter.nft_text import expression_text
from kubeshield_tui.evidence.netfilter.ruleset import (
    Bits,
    Constant,
    Doubt,
    Expression,
    Field,
    Generated,
    Joined,
    Mapped,
    SetName,
    Unsure,
    Verdict,
)
from kubeshield_tui.evidence.netfilter.shown import Type, type_of
from kubeshield_tui.evidence.netfilter.words import (
    NAMES,
    PROTOCOLS,
    TEXTS,
    address,
    prefix_bounds,
)
from kubeshield_tui.model.text import printable

ADDRESS_TYPES = frozenset({"ipv4_addr", "ipv6_addr", "ip_addr"})
NO_INTERFACE = "0"
"""How nft lists the index that no interface has: `oif 0`, `fib saddr . iif oif 0`."""
RAW_PORTS = {("th", 0, 16): "th sport", ("th", 16, 16): "th dport"}


def split_type(told: object) -> Type:
    """Return the data type of a set: a name, several, or the expression whose type it has."""
    if isinstance(told, dict):
        told_of = told.get("typeof", told)
        return type_of(expression(told_of))
    names = [str(each) for each in told] if isinstance(told, list) else str(told).split(" . ")
    return names[0] if len(names) == 1 else tuple(names)


# --- values


def key(told: Any, kind: Type) -> Key | None:
    """Return a value, interval or concatenation; None where it is not understood."""
    if isinstance(told, dict):
        if "elem" in told:
            return key(told["elem"]["val"], kind)
        if "concat" in told:
            return _concatenation(told["concat"], kind)
    return value_range(told, kind if isinstance(kind, str) else "")


def _concatenation(parts: Sequence[Any], kind: Type) -> Key | None:
    kinds = kind if isinstance(kind, tuple) else ()
    if len(parts) != len(kinds):
        return None  # nft leaves parts out where it does not know how to print them
    read = tuple(map(value_range, parts, kinds))
    return None if None in read else read  # type: ignore[return-value]


def value_range(told: Any, kind: str) -> Range | None:
    """Return one value or an interval of values; None where it is not understood."""
    if isinstance(told, dict):
        if "prefix" in told:
            low = scalar(told["prefix"]["addr"], kind)
            if not isinstance(low, int):
                return None
            bits = 128 if ":" in str(told["prefix"]["addr"]) else 32
            first, last = prefix_bounds(low, int(told["prefix"]["len"]), bits)
            return Interval(low=first, high=last)
        if "range" in told:
            low, high = scalar(told["range"][0], kind), scalar(told["range"][1], kind)
            return None if low is None or high is None else Interval(low=low, high=high)
        if "|" in told:
            return _united(told["|"], kind)
        if "elem" in told:
            return value_range(told["elem"]["val"], kind)
        return None
    if isinstance(told, list):
        return _united(told, kind)
    if kind == "ifname" and isinstance(told, str) and told.endswith("*") and not told.endswith("\\*"):
        return beginning_with(printable(told[:-1]))
    return scalar(told, kind)


def _united(parts: Sequence[Any], kind: str) -> int | None:
    """Return several flags as one number."""
    bits = 0
    for part in parts:
        read = value_range(part, kind)
        if not isinstance(read, int):
            return None
        bits |= read
    return bits


def scalar(told: Any, kind: str) -> Scalar | None:
    """Return one value of a data type as it is kept; None where it is not understood."""
    if kind in ADDRESS_TYPES:
        return address(told) if isinstance(told, str) else told if isinstance(told, int) else None
    if kind in TEXTS:
        name = printable(told).replace("\\*", "*")
        return "" if kind == "iface_index" and name == NO_INTERFACE else name
    if isinstance(told, bool):
        return int(told)
    if isinstance(told, int):
        return told
    if not isinstance(told, str):
        return None
    names = NAMES.get(kind)
    if names is None:
        return printable(told)
    found = names.get(told)
    if found is None:
        try:
            return int(told, 0)
        except ValueError:
            return PROTOCOLS.get(told.lower()) if kind == "inet_proto" else None
    return found


def elements(told: Any, kind: Type) -> Elements[bool]:
    """Return the members of a set."""
    pairs: list[tuple[Key, bool]] = []
    complete, everything = True, None
    for each in told if isinstance(told, list) else [told]:
        if each == "*":
            everything = True
            continue
        read = key(each, kind)
        if read is None:
            complete = False
        else:
            pairs.append((read, True))
    return Elements(pairs, complete=complete, otherwise=everything)


def verdicts(told: Any, kind: Type) -> Elements[Verdict]:
    """Return a map to verdicts."""
    pairs: list[tuple[Key, Verdict]] = []
    complete, otherwise = True, None
    for each, data in told if isinstance(told, list) else ():
        said = verdict(data)
        if each == "*":
            otherwise = said
            continue
        read = key(each, kind)
        if read is None or said is None:
            complete = False
        else:
            pairs.append((read, said))
    return Elements(pairs, complete=complete and isinstance(told, list), otherwise=otherwise)


def mapping(told: Any, kind: Type, data_kind: Type) -> Elements[Expression]:
    """Return a map to values."""
    pairs: list[tuple[Key, Expression]] = []
    complete, otherwise = True, None
    for each, data in told if isinstance(told, list) else ():
        said = operand(data, data_kind)
        if each == "*":
            otherwise = said
            continue
        read = key(each, kind)
        if read is None:
            complete = False
        else:
            pairs.append((read, said))
    return Elements(pairs, complete=complete and isinstance(told, list), otherwise=otherwise)


def verdict(told: Any) -> Verdict | None:
    """Return a verdict; None where it is not one that is known."""
    if not isinstance(told, dict) or not told:
        return None
    kind = next(iter(told))
    if kind in {"accept", "drop", "continue", "return"}:
        return Verdict(kind=kind)
    if kind in {"jump", "goto"}:
        return Verdict(kind=kind, target=printable(told[kind]["target"]))
    return Verdict(kind="queue") if kind == "queue" else None


# --- expressions


def operand(told: Any, kind: Type) -> Expression:
    """Return the right side of a comparison or what is assigned: a value of a type, or an expression."""
    if isinstance(told, dict):
        name = next(iter(told), "")
        if name in READERS and not (name in {"|", "concat"} and _are_plain(told[name])):
            return expression(told)
    read = key(told, kind)
    if read is None:
        return Unsure(kind=Doubt.MODULE, text=expression_text(told))
    text = expression_text(told) if kind in {"ip_addr", "iface_index"} or isinstance(kind, tuple) else ""
    return Constant(value=read, text=text)  # type: ignore[arg-type]


def _are_plain(parts: Any) -> bool:
    return not any(isinstance(part, dict) and next(iter(part), "") in READERS for part in parts)


def expression(told: Any) -> Expression:
    """Return an expression; `Unsure` with its text where it is not known."""
    if isinstance(told, dict) and told:
        name = next(iter(told))
        reader = READERS.get(name)
        if reader is not None:
            made: Expression = reader(told[name])
            return made
    elif isinstance(told, int):
        return Constant(value=told)
    return Unsure(kind=Doubt.MODULE, text=expression_text(told))


def _payload(told: Any) -> Expression:
    if "protocol" in told:
        return Field(name=f"{printable(told['protocol'])} {printable(told['field'])}")
    raw = RAW_PORTS.get((told["base"], told["offset"], told["len"]))
    return Field(name=raw or f"@{told['base']},{told['offset']},{told['len']}")


def _meta(told: Any) -> Expression:
    return Field(name=f"meta {printable(told['key'])}")


def _ct(told: Any) -> Expression:
    direction = f"{told['dir']} " if "dir" in told else ""
    family = f"{told['family']} " if "family" in told else ""
    return Field(name=printable(f"ct {direction}{family}{told['key']}"))


def _fib(told: Any) -> Expression:
    flags = told.get("flags", ())
    words = " ".join([flags] if isinstance(flags, str) else flags)
    return Field(name=printable(f"fib {words} {told['result']}"))


def _named(prefix: str) -> Any:
    def reader(told: Any) -> Expression:
        words = [str(part) for part in told.values() if isinstance(part, str | int)]
        return Field(name=printable(" ".join([prefix, *words])))

    return reader


def _concat(told: Any) -> Expression:
    return Joined(parts=tuple(expression(part) for part in told))


def _bits(operator: str) -> Any:
    def reader(told: Any) -> Expression:
        left = expression(told[0])
        kind = type_of(left)
        for part in told[1:]:
            left = Bits(left=left, operator=operator, right=operand(part, kind))
        return left

    return reader


def _numgen(told: Any) -> Expression:
    text = expression_text({"numgen": told})
    return Generated(modulus=int(told["mod"]), offset=int(told.get("offset") or 0), text=text)


def _hash(name: str) -> Any:
    def reader(told: Any) -> Expression:
        text = expression_text({name: told})
        return Generated(modulus=int(told["mod"]), offset=int(told.get("offset") or 0), text=text)

    return reader


def _map(told: Any) -> Expression:
    by = expression(told["key"])
    data = told["data"]
    if isinstance(data, str):
        return Mapped(key=by, data=SetName(name=printable(data.removeprefix("@"))))
    pairs = data["set"]
    return Mapped(key=by, data=mapping(pairs, type_of(by), _data_type(pairs)))


def _data_type(pairs: Sequence[Any]) -> Type:
    """Tell the type of an anonymous map's data from how they look; what looks like an address is one."""
    first = pairs[0][1]
    if isinstance(first, dict) and "concat" in first:
        return tuple("ip_addr" if isinstance(part, str) else "inet_service" for part in first["concat"])
    while isinstance(first, dict | list):
        first = next(iter(first.values() if isinstance(first, dict) else first))
    return "ip_addr" if isinstance(first, str) and address(first) is not None else "integer"


READERS: dict[str, Any] = {
    "payload": _payload,
    "meta": _meta,
    "ct": _ct,
    "fib": _fib,
    "concat": _concat,
    "numgen": _numgen,
    "jhash": _hash("jhash"),
    "symhash": _hash("symhash"),
    "map": _map,
    "rt": _named("rt"),
    "socket": _named("socket"),
    "osf": _named("osf"),
    "exthdr": _named("exthdr"),
    "tcp option": _named("tcp option"),
    "ip option": _named("ip option"),
    "sctp chunk": _named("sctp chunk"),
    "ipsec": _named("ipsec"),
    "&": _bits("&"),
    "|": _bits("|"),
    "^": _bits("^"),
    "<<": _bits("<<"),
    ">>": _bits(">>"),
}
