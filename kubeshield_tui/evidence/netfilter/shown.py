"""Say a condition or value in the words that rulesets use: for assumptions, near misses and traces."""

from __future__ import annotations

from collections.abc import Mapping

from kubeshield_tui.evidence.netfilter.elements import LAST_CHARACTER, Elements, Interval
from kubeshield_tui.evidence.netfilter.ruleset import (
    AnyOf,
    Bits,
    Constant,
    Expression,
    Field,
    Generated,
    Joined,
    Mapped,
    Match,
    SetName,
    Unsure,
    Verdict,
)
from kubeshield_tui.evidence.netfilter.words import NAMES, address_text, type_of_field, width

Type = str | tuple[str, ...]
"""nft's data type of a value; several for a concatenation."""
FAMILY_OF_TYPE = {"ipv4_addr": "ip", "ipv6_addr": "ip6"}
IN_HEXADECIMAL = "mark"
SET_LIMIT = 4
"""Elements shown of a set."""


def type_of(what: Expression) -> Type:
    """Return the data type of what an expression gives."""
    match what:
        case Field():
            return type_of_field(what.name)
        case Joined():
            kinds = [type_of(part) for part in what.parts]
            return tuple(kind if isinstance(kind, str) else "" for kind in kinds)
        case Bits():
            return type_of(what.left)
        case Generated():
            return "integer"
        case _:
            return ""


def shown(thing: object, kind: Type = "") -> str:
    """Return a condition, an expression, a verdict or a value in few words."""
    match thing:
        case Match():
            return f"{shown(thing.left)} {thing.operator} {shown(thing.right, type_of(thing.left))}"
        case AnyOf():
            return " or ".join(" and ".join(map(shown, group)) for group in thing.groups)
        case Field():
            return thing.name
        case Constant():
            return thing.text or value_text(thing.value, kind)
        case Joined():
            return " . ".join(map(shown, thing.parts))
        case Bits():
            return f"{shown(thing.left)} {thing.operator} {shown(thing.right, type_of(thing.left))}"
        case SetName():
            return f"@{thing.name}"
        case Elements():
            return _elements(thing, kind)
        case Unsure() | Generated():
            return thing.text
        case Mapped():
            return f"{shown(thing.key)} map"
        case Verdict():
            return f"{thing.kind} {thing.target}".strip()
    return value_text(thing, kind)


def value_text(value: object, kind: Type) -> str:
    """Return a value of a data type as rulesets write it."""
    if isinstance(value, tuple):
        kinds = kind if isinstance(kind, tuple) else ("",) * len(value)
        return " . ".join(value_text(part, own) for part, own in zip(value, kinds, strict=False))
    own = kind if isinstance(kind, str) else ""
    if isinstance(value, Interval):
        return _interval(value, own)
    if not isinstance(value, int):
        return str(value)
    if own in FAMILY_OF_TYPE:
        return address_text(value, FAMILY_OF_TYPE[own])
    if own == IN_HEXADECIMAL:
        return hex(value)
    return _named(value, NAMES.get(own, {}))


def _named(value: int, names: Mapping[str, int]) -> str:
    exact = next((name for name, number in names.items() if number == value), None)
    if exact is not None:
        return exact
    bits = [name for name, number in names.items() if number & value]
    return "|".join(bits) if bits and sum(names[name] for name in bits) == value else str(value)


def _interval(interval: Interval, kind: str) -> str:
    low, high = interval.low, interval.high
    if isinstance(high, str) and high.endswith(LAST_CHARACTER):
        return f"{low}*"
    if kind in FAMILY_OF_TYPE and isinstance(low, int) and isinstance(high, int):
        free = (low ^ high).bit_length()
        if low & ((1 << free) - 1) == 0 and high - low == (1 << free) - 1:
            return f"{value_text(low, kind)}/{width(FAMILY_OF_TYPE[kind]) - free}"
    return f"{value_text(low, kind)}-{value_text(high, kind)}"


def _elements(elements: Elements[object], kind: Type) -> str:
    keys = elements.some(SET_LIMIT)
    more = len(elements) - len(keys)
    texts = [value_text(key, kind) for key in keys] + ([f"{more} more"] if more > 0 else [])
    return f"{{ {', '.join(texts)} }}"
